package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/mover"
	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/moh"
	"parklamp/parkd/panel"
	"parklamp/sip/call"
)

// rescuedBy waits until one of some appliances has the call on an orbit that another one parked, and returns it.
func (p *place) rescuedBy(orbit string, others ...*site.Appliance) *site.Appliance {
	p.Helper()
	st := p.await(others[0], "the call on "+orbit+" at another host", func(st panel.Status) bool {
		o := orbitOf(st, orbit)
		return len(o.Calls) == 1 && o.State != panel.StateUnknown && o.Host != "dock-1"
	})
	for _, a := range p.Appliances {
		if a.Name == orbitOf(st, orbit).Host {
			return a
		}
	}
	p.Fatalf("nobody is %q", orbitOf(st, orbit).Host)
	return nil
}

// TestRescueOfALinphone kills the host of a parked linphone for good. One of the others goes on with the call.
func TestRescueOfALinphone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	l := p.linphone("yard")
	l.calls(uri("*68701", p.dock1()))
	p.everywhere("701", "parked-here", "parked-elsewhere")
	since := p.since(p.dock2())

	killed := time.Now()
	if err := p.dock1().Kill(); err != nil {
		t.Fatal(err)
	}
	host := p.rescuedBy("701", p.dock2(), p.office())
	t.Logf("%s has the call %v after the kill", host.Name, time.Since(killed).Round(time.Millisecond))
	if at := p.since(host); !at.Equal(since) {
		t.Errorf("parked since %v, before the kill %v", at, since)
	}
	p.listen(growingOf("linphone", l.Heard, moh.BuiltIn().Samples()))
	p.await(host, "RTP of linphone", func(st panel.Status) bool { return len(st.Calls) == 1 && st.Calls[0].Media.Received > 50 })
}

// TestRescueThroughTheRegistrar has a linphone call the worker at dock-1 through Kamailio, where the appliances have their
// accounts. It is parked and outlives dock-1: dock-2 calls it through Kamailio with its own account and password.
func TestRescueThroughTheRegistrar(t *testing.T) {
	t.Parallel()
	p := &place{T: t, network: newNetwork(), dir: t.TempDir()}
	r := p.registrar()
	var members []site.Member
	for i, name := range []string{"dock-1", "dock-2"} {
		members = append(members, site.Member{Name: name, Number: fmt.Sprint(201 + i), Addr: p.addr(i + 1), LogLevel: "debug",
			Extra: dies + p.worker() + r.account(name, passwords[name], "")})
	}
	p.start(members)
	p.registered(p.dock1())
	p.registered(p.dock2())
	l := p.linphone("yard")
	if err := l.Command("call " + r.uri("dock-1")); err != nil {
		t.Fatal(err)
	}
	p.answer(p.dock1())
	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")

	killed := time.Now()
	if err := p.dock1().Kill(); err != nil {
		t.Fatal(err)
	}
	host := p.rescuedBy("701", p.dock2())
	p.await(host, "RTP of linphone", func(st panel.Status) bool { return len(st.Calls) == 1 && st.Calls[0].Media.Received > 0 })
	t.Logf("linphone hears %s %v after dock-1 was killed", host.Name, time.Since(killed).Round(time.Millisecond))
	p.listen(growingOf("linphone", l.Heard, moh.BuiltIn().Samples()))
	r.passed(t, "INVITE", p.dock2().Addr, 1)
	p.fetch(p.dock2(), "701")
	p.handset(p.dock2(), clerk())
	p.hook(p.dock2(), false)
	p.await(p.dock2(), "no call", func(st panel.Status) bool { return len(st.Calls) == 0 })
}

// movingCaller is a caller's phone that moves, with its sound.
type movingCaller struct {
	*peer.Talker
	*mover.Phone
	first *call.Call
}

// mover calls user at an appliance from address .last.
func (p *place) mover(a *site.Appliance, user string, last int) *movingCaller {
	p.Helper()
	return p.phoneThatMoves(a, user, last, 0)
}

// phoneThatMoves is mover, or, if refuses is the code of an answer, one that only says that it moves.
func (p *place) phoneThatMoves(a *site.Appliance, user string, last, refuses int) *movingCaller {
	p.Helper()
	m := &movingCaller{Talker: p.talker(last, speech.Caller())}
	var err error
	m.Phone, err = mover.New(mover.Options{Number: fmt.Sprint(5550000 + last), Local: p.sip(last), Media: m.Addr(), Refuse: refuses})
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.Context()))
	done := make(chan error, 1)
	go func() { done <- m.Phone.Run(ctx) }()
	p.Cleanup(func() { cancel(); <-done })
	m.first, err = m.Call(gosip.Uri{Scheme: "sip", User: user, Host: a.Addr.String(), Port: 5060})
	if err != nil {
		p.Fatal(err)
	}
	return m
}

// TestRescueOfAFrozenHost stops dock-1 as if its network were cut: it lives, and nobody hears it. The caller moves once; when
// dock-1 is back it learns that, and nobody is told that the caller is in two places, or has hung up.
func TestRescueOfAFrozenHost(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	m := p.mover(p.dock1(), "*68701", 11)
	p.everywhere("701", "parked-here", "parked-elsewhere")
	since := p.since(p.dock2())

	p.listen(recordingOf("the caller", m.Audio, music()))
	start := time.Now().Add(-100 * time.Millisecond)
	p.signal(p.dock1(), syscall.SIGSTOP)
	var c *call.Call
	select {
	case c = <-m.Moved:
	case <-time.After(limit):
		t.Fatal("nobody calls the caller")
	}
	info, first := c.Info(), m.first.Dialog()
	want := fmt.Sprintf("%s;to-tag=%s;from-tag=%s", first.CallID, first.LocalTag, first.RemoteTag)
	if got := info.Header("Replaces"); got != want || info.Header("Require") != "replaces" {
		t.Errorf("Replaces: %s, Require: %s; want %s, replaces", got, info.Header("Require"), want)
	}
	host := p.rescuedBy("701", p.dock2(), p.office())
	p.listen(recordingOf("the caller", m.Audio, music()))
	gap, err := m.LongestGap(start)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s went on with the music after %v", host.Name, gap.Round(time.Millisecond))
	if at := p.since(host); !at.Equal(since) {
		t.Errorf("parked since %v, before %v", at, since)
	}

	p.signal(p.dock1(), syscall.SIGCONT)
	p.await(p.dock1(), "the call at "+host.Name, func(st panel.Status) bool {
		return orbitOf(st, "701").Host == host.Name && len(st.Calls) == 0 && len(orbitOf(st, "701").Calls) == 1
	})
	p.loggedAt(p.dock1(), start, "end=rescued caller=5550011")
	log, err := os.ReadFile(p.dock1().Log)
	if err != nil || bytes.Contains(log, []byte("end=abandoned")) {
		t.Errorf("dock-1 reports the call as abandoned (%v)", err)
	}
	for _, a := range p.Appliances {
		if st := p.status(a); len(orbitOf(st, "701").Calls) != 1 || ailment(st, "caller.") != nil {
			t.Errorf("%s shows %+v, %+v", a.Name, orbitOf(st, "701"), st.Health)
		}
	}
	p.fetch(p.dock1(), "701")
	p.listen(recordingOf("the caller", m.Audio, speech.Worker()))
	p.hook(p.dock1(), false)
	p.idle(p.Appliances...)
}

// TestRescueOfACallerWhoHungUp kills the host, and the caller hangs up before anybody calls him: lost, with the number to
// ring back on every panel.
func TestRescueOfACallerWhoHungUp(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	m := p.mover(p.dock1(), "*68701", 11)
	p.everywhere("701", "parked-here", "parked-elsewhere")
	if err := p.dock1().Kill(); err != nil {
		t.Fatal(err)
	}
	m.first.Hangup("")
	for _, a := range []*site.Appliance{p.dock2(), p.office()} {
		p.await(a, "a free orbit and the number to ring back", func(st panel.Status) bool {
			return orbitOf(st, "701").State == panel.StateFree &&
				slices.ContainsFunc(st.Health, func(c panel.Condition) bool { return strings.Contains(c.Hint, "ring back 5550011") })
		})
	}
}
