package e2e

import (
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// A desk phone fetches from a host that hangs: it is told after the time for a fetch, and the host's late answer
// brings the caller back into an orbit.
func TestFetchFromAHostThatHangs(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "[lot]\nfetch_timeout = \"2s\"\n")
	caller := parkedAt701(p)
	p.hook(p.dock1(), false)
	p.signal(p.dock1(), syscall.SIGSTOP)
	fetcher := p.call(p.office(), "701", 12, "refused")
	fetcher.ended()
	p.signal(p.dock1(), syscall.SIGCONT)
	p.everywhere("701", "parked-elsewhere", "parked-elsewhere", "parked-here")
	p.music(caller)
}

// A fetcher whose ACK comes after the time for a fetch, at the host or at another appliance, is hung up on, and not left in
// silence: the caller waits again.
func TestFetcherAcknowledgesTooLate(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "[lot]\nfetch_timeout = \"10s\"\n") // within that the fetch by way of dock-2 is answered
	g := p.waiting(p.dock1(), "701")
	for _, a := range []*site.Appliance{p.dock1(), p.dock2()} {
		from := time.Now()
		fetcher := p.guest(a, "701", visit{scenario: "slow"})
		fetcher.gets(200)
		p.loggedAt(a, from, "reason=timeout")
		g.waitsOn("701", a)
		p.hearsMusic(g)
		fetcher.act("INFO")
		fetcher.ended()
	}
	g.hangUp()
}

// A fetcher who hangs up before he has acknowledged the 200, at the host or at another appliance, leaves the caller in the orbit.
func TestFetcherHangsUpUnacknowledged(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	g := p.waiting(p.dock1(), "701")
	for _, a := range []*site.Appliance{p.dock1(), p.dock2()} {
		fetcher := p.guest(a, "701", visit{scenario: "slow"})
		fetcher.gets(200)
		fetcher.act("MESSAGE")
		fetcher.ended()
		g.waitsOn("701", a)
		p.hearsMusic(g)
	}
	g.hangUp()
}

// An appliance that has no place for the media of a fetch gives the caller, whom the host has let go of, back to the orbit.
func TestFetchWithoutRoomForItsMedia(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.kill(p.dock2(), func() { p.configure(p.dock2(), "[media]\n", "[media]\nmax_sessions = 1\n") })
	g := p.waiting(p.dock1(), "701")
	fetcher := p.guest(p.dock2(), "701", visit{})
	if m := fetcher.final(); m.Status() < 400 {
		t.Errorf("the fetcher got %q", m.StartLine())
	}
	g.waitsOn("701", p.dock2())
	p.hearsMusic(g)
	g.hangUp()
}

// An INVITE by UDP can come from anywhere and name anybody as the receiver of music. Who does not confirm our answer, as only
// somebody can who has seen it, is sent nothing while that is repeated; his ACK brings him the music.
func TestNoMediaBeforeTheACK(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	g := p.guest(p.dock1(), "*68", visit{scenario: "slow"})
	expect(t, g.SIPp, "the answer three times", func(all []peer.Message) (struct{}, bool) {
		n := 0
		for _, m := range all {
			if answers(m) {
				n++
			}
		}
		return struct{}{}, n >= 3 // RFC 3261 §13.3.1.4: 1.5 s
	})
	if n := len(g.Heard(time.Time{})); n > 0 {
		t.Errorf("%d packets went to somebody who has confirmed nothing", n)
	}
	g.act("INFO")
	p.hearsMusic(g)
	p.kill(p.dock1(), nil) // the journal is from before the ACK, and the next life's re-INVITE is refused
	again := time.Now()
	expect(t, g.SIPp, "music in the next life", func([]peer.Message) (struct{}, bool) { return struct{}{}, len(g.Heard(again)) > 50 })
}

// The appliance that fetched loses its power in the middle of the conversation: the caller, whose line ends at the host,
// waits again where he was.
func TestFetcherLosesPower(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	caller := parkedAt701(p)
	p.hook(p.dock1(), false)
	p.fetch(p.dock2(), "701")
	p.everywhere("701", "free")
	p.conversation(p.dock2(), caller)
	p.cut(p.dock2())
	waits := func(a *site.Appliance) {
		t.Helper()
		p.await(a, "the caller in 701", func(st panel.Status) bool { return st.Orbits[0].Host == "dock-1" })
	}
	waits(p.dock1())
	waits(p.office())
	p.music(caller)
	p.await(p.dock1(), "one call", func(st panel.Status) bool { return len(st.Calls) == 1 })

	// The same with an appliance that is back before anybody misses it.
	p.fetch(p.office(), "701")
	p.conversation(p.office(), caller)
	p.cut(p.office())
	if err := p.office().Start(); err != nil {
		t.Fatal(err)
	}
	waits(p.dock1())
	p.music(caller)
}

// The same when somebody has been parked in that orbit meanwhile: both wait there.
func TestFetcherLosesPowerAndTheOrbitIsTaken(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	caller := parkedAt701(p)
	p.hook(p.dock1(), false)
	p.fetch(p.dock2(), "701")
	p.everywhere("701", "free")
	p.call(p.dock1(), "*68701", 13, "caller")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.cut(p.dock2())
	p.await(p.dock1(), "two callers in 701", func(st panel.Status) bool { return len(st.Orbits[0].Calls) == 2 && len(st.Calls) == 2 })
	p.music(caller)
}
