package e2e

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/parkd/panel"
)

// TestRescueOfALinphone kills the host of a parked linphone for good. One of the others goes on with the call.
func TestRescueOfALinphone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	l, since := p.parkedLinphone()
	killed := time.Now()
	p.cut(p.dock1())
	host := p.takenOver(p.dock1(), p.dock2())
	t.Logf("%s has the call %v after the kill", host.Name, time.Since(killed).Round(time.Millisecond))
	if at := p.since(host); !at.Equal(since) {
		t.Errorf("parked since %v, before the kill %v", at, since)
	}
	p.listen(l.hearing(music()))
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
	p.cut(p.dock1())
	host := p.takenOver(p.dock1(), p.dock2())
	p.await(host, "RTP of linphone", func(st panel.Status) bool { return len(st.Calls) == 1 && st.Calls[0].Media.Received > 0 })
	t.Logf("linphone hears %s %v after dock-1 was killed", host.Name, time.Since(killed).Round(time.Millisecond))
	p.listen(l.hearing(music()))
	r.passed(t, "INVITE", p.dock2().Addr, 1)
	p.fetch(p.dock2(), "701")
	p.handset(p.dock2(), clerk())
	p.hook(p.dock2(), false)
	p.await(p.dock2(), "no call", func(st panel.Status) bool { return len(st.Calls) == 0 })
}

// TestRescueOfAFrozenHost stops dock-1 as if its network were cut: it lives, and nobody hears it. The caller moves once; when
// dock-1 is back it learns that, and nobody is told that the caller is in two places, or has hung up.
func TestRescueOfAFrozenHost(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	m, since := p.mover(0)
	start := time.Now().Add(-100 * time.Millisecond)
	p.signal(p.dock1(), syscall.SIGSTOP)
	c := p.moves(m)
	info, first := c.Info(), m.first.Dialog()
	want := fmt.Sprintf("%s;to-tag=%s;from-tag=%s", first.CallID, first.LocalTag, first.RemoteTag)
	if got := info.Header("Replaces"); got != want || info.Header("Require") != "replaces" {
		t.Errorf("Replaces: %s, Require: %s; want %s, replaces", got, info.Header("Require"), want)
	}
	host := p.takenOver(p.dock1(), p.dock2())
	p.listen(m.hearing(music()))
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
	p.fetchedAt(p.dock1(), m.hearing(speech.Worker()))
}

// TestRescueOfWhomTheRescuerForgot kills an appliance that has taken a caller over and told of it, before its disk had him: its next
// life does not know him. Another one goes on with him.
func TestRescueOfWhomTheRescuerForgot(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	m, since := p.mover(0)
	p.cut(p.dock1())
	p.moves(m)
	host := p.takenOver(p.dock1(), p.dock2())
	other := p.dock2()
	if other == host {
		other = p.office()
	}
	p.takenOver(p.dock1(), other)
	p.kill(host, func() {
		if err := os.Remove(journalOf(host)); err != nil {
			t.Fatal(err)
		}
	})
	start := time.Now()
	p.moves(m)
	if got := p.takenOver(host, other); got != other {
		t.Errorf("%s has him", got.Name)
	}
	t.Logf("%s has the call %v after the next life of %s answers", other.Name, time.Since(start).Round(time.Millisecond), host.Name)
	if at := p.since(other); !at.Equal(since) {
		t.Errorf("parked since %v, before %v", at, since)
	}
	p.listen(m.hearing(music()))
	p.await(host, "the call at "+other.Name, func(st panel.Status) bool {
		return orbitOf(st, "701").Host == other.Name && len(orbitOf(st, "701").Calls) == 1
	})
	p.fetch(host, "701")
	p.listen(m.hearing(speech.Worker()))
}

// TestRescueOfACallerWhoHungUp kills the host, and the caller hangs up before anybody calls him: lost, with the number to
// ring back on every panel.
func TestRescueOfACallerWhoHungUp(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	m, _ := p.mover(0)
	p.cut(p.dock1())
	m.first.Hangup("")
	for _, a := range []*site.Appliance{p.dock2(), p.office()} {
		p.await(a, "a free orbit and the number to ring back", func(st panel.Status) bool {
			return orbitOf(st, "701").State == panel.StateFree &&
				slices.ContainsFunc(st.Health, func(c panel.Condition) bool { return strings.Contains(c.Hint, "ring back 5550011") })
		})
	}
}

// TestForgottenCallsEnd fetches a caller from dock-1 at dock-2, where he is parked again by way of dock-1, and lets dock-1 call the
// office. Dock-1 then forgets both, and a network that was cut meanwhile has its good-bye: the orbit does not go on showing a
// caller whom nobody can talk to, nor the office a call with nobody, until the silence is noticed.
func TestForgottenCallsEnd(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	g := p.waiting(p.dock1(), "701")
	fetcher := p.guest(p.dock2(), "701", visit{scenario: "slow"})
	fetcher.gets(200)
	fetcher.act("MESSAGE")
	fetcher.ended()
	g.waitsOn("701", p.dock2())
	p.hook(p.dock1(), true)
	p.dial(p.dock1(), "203")
	p.answer(p.office())
	since := time.Now()
	p.kill(p.dock1(), func() {
		if err := os.Remove(journalOf(p.dock1())); err != nil {
			t.Fatal(err)
		}
	})
	for a, text := range map[*site.Appliance]string{p.dock2(): "end=lost caller=" + g.number, p.office(): "cause=gone"} {
		if took := p.loggedAt(a, since, text).Sub(since); took >= 30*time.Second { // after 60 s without RTP it would ask anyway
			t.Errorf("%s has found out after %v", a.Name, took)
		} else {
			t.Logf("%s has found out after %v", a.Name, took.Round(time.Millisecond))
		}
	}
	p.everywhere("701", "free")
}
