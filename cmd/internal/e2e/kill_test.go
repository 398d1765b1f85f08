package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// TestOthersGoOnWithoutTheHost kills dock-1, where two calls are parked. The others show them as unknown, go on parking
// and fetching between themselves, and see everything as it was when dock-1 is back; dock-1 learns what it has missed.
func TestOthersGoOnWithoutTheHost(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	others := []*site.Appliance{p.dock2(), p.office()}
	one := p.waiting(p.dock1(), "701")
	two := p.waiting(p.dock1(), "702")

	killed := time.Now()
	p.cut(p.dock1())
	for _, a := range others {
		for _, orbit := range []string{"orbit-701", "orbit-702"} {
			st := p.await(a, orbit+" unknown", func(st panel.Status) bool { return lamp(st, orbit).Pattern == panel.StateUnknown })
			if l := lamp(st, orbit); l.Colour != panel.Amber || len(l.Cadence) > 0 {
				t.Errorf("%s: %s is %s %v, want steady amber", a.Name, orbit, l.Colour, l.Cadence)
			}
		}
		t.Logf("%s shows unknown after %v", a.Name, time.Since(killed).Round(time.Millisecond))
	}

	// Nobody is put where somebody may wait, and nobody is promised whom nobody can reach.
	since := p.status(p.office()).At
	p.hook(p.office(), true)
	p.press(p.office(), "orbit-701")
	p.phone(p.office(), "failure")
	p.told(p.office(), since, "seven zero one cannot be reached")
	p.hook(p.office(), false)
	refused := p.guest(p.dock2(), "702", visit{header: "Referred-By: <sip:foreman@127.0.0.1>"})
	if m := refused.final(); m.Status() < 400 {
		t.Errorf("a park on an unknown orbit got %q", m.StartLine())
	}
	p.guest(p.office(), "701", visit{}).gets(480)
	three := p.parkedGuest(p.dock2(), "*68", visit{})
	p.await(p.office(), "a call on 703", func(st panel.Status) bool { return orbitOf(st, "703").Caller.Number == three.number })
	p.fetch(p.office(), "703")
	p.talk(p.office(), three)
	p.hook(p.office(), false)
	three.ended()
	four := p.parkedGuest(p.dock2(), "704", visit{})
	five := p.parkedGuest(p.office(), "*68705", visit{})

	started := time.Now()
	p.comes(p.dock1())
	for orbit, where := range map[string]struct {
		g    *guest
		host *site.Appliance
	}{"701": {one, p.dock1()}, "702": {two, p.dock1()}, "704": {four, p.dock2()}, "705": {five, p.office()}} {
		where.g.waitsOn(orbit, where.host)
	}
	p.free("703")
	t.Logf("all lamps are right %v after dock-1 was started again", time.Since(started).Round(time.Millisecond))
	p.hearsMusic(one)
	for _, g := range []*guest{one, two, four, five} {
		g.hangUp()
	}
	p.idle(p.Appliances...)
}

// TestGoodbye stops an appliance politely: its callers are told, parked or talking, and the others show at once that it
// has left.
func TestGoodbye(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	parked := p.waiting(p.dock1(), "701")
	talking := p.visitor(p.dock1(), visit{})
	p.signal(p.dock1(), syscall.SIGTERM)
	for _, g := range []*guest{parked, talking} {
		bye := g.expect("BYE", func(m peer.Message) bool { return !m.Sent && m.Status() == 0 && m.Method() == "BYE" })
		if !strings.HasPrefix(bye.StartLine(), "BYE sip:"+g.number+"@") {
			t.Errorf("the guest was told %q", bye.StartLine())
		}
		g.ended()
	}
	select {
	case <-p.dock1().Done():
	case <-time.After(limit):
		t.Fatalf("dock-1 still runs %v after SIGTERM", limit)
	}
	for _, a := range []*site.Appliance{p.dock2(), p.office()} {
		// The caller of 701 has hung up as he was told to, so nobody waits there.
		p.await(a, "dock-1 gone and 701 free", func(st panel.Status) bool {
			return alivePeers(st) == 1 && lamp(st, "orbit-701").Pattern == panel.StateFree
		})
	}
}
