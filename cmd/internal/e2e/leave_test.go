package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// ten is a lot for ten callers.
const ten = "[lot]\norbits = [\"701\", \"702\", \"703\", \"704\", \"705\", \"706\", \"707\", \"708\", \"709\", \"710\"]\n"

// TestRestartKeepsTenCallers restarts dock-1 as an update of its program does: nobody is told good-bye, each of its ten
// callers hears the same stream go on, and nobody else sees anything of it.
func TestRestartKeepsTenCallers(t *testing.T) {
	t.Parallel()
	p := newPlace(t, ten)
	var guests []*guest
	var sinces []time.Time
	orbits := []string{"701", "702", "703", "704", "705", "706", "707", "708", "709", "710"}
	for _, orbit := range orbits {
		guests = append(guests, p.parkedGuest(p.dock1(), orbit, visit{}))
	}
	for i, g := range guests {
		g.waitsOn(orbits[i], p.dock1())
		sinces = append(sinces, orbitOf(p.status(p.office()), orbits[i]).Since)
	}
	p.listen(hearingMusic(guests)...)
	missed := []int{said(p.dock2(), "peer is not there"), said(p.office(), "peer is not there")}
	from := time.Now()
	p.goes(p.dock1(), toRestart)
	p.comes(p.dock1())
	p.listen(hearingMusic(guests)...)
	var gaps []time.Duration
	for i, g := range guests {
		gap, err := g.LongestGap(from)
		if err != nil {
			t.Fatal(err)
		}
		gaps = append(gaps, gap)
		p.oneStream(g.outside, from)
		g.heardNo("BYE")
		g.waitsOn(orbits[i], p.dock1())
		if at := orbitOf(p.status(p.office()), orbits[i]).Since; !at.Equal(sinces[i]) {
			t.Errorf("%s is parked since %v, before the restart %v", orbits[i], at, sinces[i])
		}
	}
	slices.Sort(gaps)
	t.Logf("the music was away for %v to %v", gaps[0], gaps[len(gaps)-1])
	for i, a := range []*site.Appliance{p.dock2(), p.office()} {
		if n := said(a, "peer is not there"); n != missed[i] {
			t.Errorf("%s has missed dock-1 while it restarted", a.Name)
		}
	}
	for _, g := range guests[1:] {
		g.hangUp()
	}
	p.fetch(p.dock2(), "701")
	p.talk(p.dock2(), guests[0])
	p.hook(p.dock2(), false)
	guests[0].ended()
	p.idle(p.Appliances...)
}

// TestRebootKeepsCallers: the same with some time between, in which the others show the caller's place as unknown.
func TestRebootKeepsCallers(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	g := p.waiting(p.dock1(), "701")
	talks := p.visitor(p.dock1(), visit{})
	from := time.Now()
	p.goes(p.dock1(), toReboot)
	talks.ended() // nobody would ever speak to him again
	for _, a := range []*site.Appliance{p.dock2(), p.office()} {
		p.await(a, "701 unknown", func(st panel.Status) bool { return lamp(st, "orbit-701").Pattern == panel.StateUnknown })
	}
	p.comes(p.dock1())
	g.waitsOn("701", p.dock1())
	p.wait(g)
	p.oneStream(g.outside, from)
}

// TestStopsAtOnce: who keeps his callers for a machine that starts anew still keeps them when he is ended with the rest of it.
func TestStopsAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	g := p.waiting(p.dock1(), "701")
	for _, s := range []syscall.Signal{toReboot, syscall.SIGTERM, toRestart} {
		p.signal(p.dock1(), s)
	}
	<-p.dock1().Done()
	p.comes(p.dock1())
	g.waitsOn("701", p.dock1())
	for range 3 { // as often as you like
		p.goes(p.dock1(), toRestart)
		p.comes(p.dock1())
	}
	p.wait(g)
}

// TestEndsWhileItRestarts: who goes because another process follows, is held up by a call, and hears that none will follow,
// tells his callers good-bye.
func TestEndsWhileItRestarts(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "[lot]\norbits = [\"701\", \"702\", \"703\"]\n")
	caller := p.left()
	fetched := p.parkedGuest(p.dock1(), "702", visit{})
	p.call(p.dock1(), "702", 13, "never-acks")
	p.await(p.dock1(), "fetching", func(st panel.Status) bool { return orbitOf(st, "702").State == panel.StateFetching })
	p.signal(p.dock1(), toRestart)
	<-time.After(100 * time.Millisecond) // of the 3 s that the call has
	p.signal(p.dock1(), syscall.SIGTERM)
	<-p.dock1().Done()
	caller.ended()
	fetched.ended()
}

// TestKilledWhileLeaving kills dock-1 at moments of its polite stop.
func TestKilledWhileLeaving(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	g := p.waiting(p.dock1(), "701")
	p.stored(p.dock1(), `"state":"parked"`)
	for _, s := range []syscall.Signal{toRestart, toReboot} {
		for _, after := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond} {
			p.signal(p.dock1(), s)
			<-time.After(after)
			p.cut(p.dock1())
			p.comes(p.dock1())
		}
	}
	g.waitsOn("701", p.dock1())
	p.wait(g)
}

// TestLeavingInTheMiddle lets dock-1 go while a recall rings, a caller is being fetched, and another one is being parked:
// each way there is one end for each of them, and the callers are where they would be without.
func TestLeavingInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, by := range []syscall.Signal{toRestart, toReboot, syscall.SIGTERM} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "[lot]\norbits = [\"701\", \"702\", \"703\"]\ntimeout = \"4s\"\n")
			stays := by != syscall.SIGTERM
			rung := p.left()
			p.rings(p.dock1(), "recall", rung)
			caller := p.parkedGuest(p.dock1(), "702", visit{})
			p.call(p.dock1(), "702", 13, "never-acks")
			p.await(p.dock1(), "fetching", func(st panel.Status) bool { return orbitOf(st, "702").State == panel.StateFetching })
			p.goes(p.dock1(), by)
			for _, g := range []*guest{rung, caller} {
				if !stays {
					g.ended()
				}
			}
			if !stays {
				if n := said(p.dock1(), "callers=2"); n != 1 {
					t.Errorf("%d lines count the two parked callers", n)
				}
				return
			}
			p.comes(p.dock1())
			p.rings(p.dock1(), "recall", rung) // again
			p.wait(rung, caller)
		})
	}
}

// TestLeavingWhileClaiming lets dock-1 go while the peers that are to say which orbits are free hang: whoever was on the way
// into one is in it afterwards.
func TestLeavingWhileClaiming(t *testing.T) {
	t.Parallel()
	for _, by := range []syscall.Signal{toRestart, toReboot} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "[federation]\nclaim_wait = \"2s\"\n")
			for _, a := range []*site.Appliance{p.dock2(), p.office()} {
				p.signal(a, syscall.SIGSTOP)
			}
			var guests []*guest
			orbits := []string{"701", "702", "703", "704", "705", "706", "707", "708", "709", "710"}
			// One after the other, until the last of them is on the way: his orbit belongs to a peer that hangs.
			for claiming := 0; claiming == 0 || len(guests) < 5; {
				guests = append(guests, p.guest(p.dock1(), orbits[len(guests)], visit{header: "Referred-By: <sip:foreman@127.0.0.1>"}))
				p.await(p.dock1(), "his call", func(st panel.Status) bool {
					claiming = len(st.Calls) - len(taken(st))
					return len(st.Calls) == len(guests)
				})
			}
			p.goes(p.dock1(), by)
			for _, a := range []*site.Appliance{p.dock2(), p.office()} {
				p.signal(a, syscall.SIGCONT)
			}
			p.comes(p.dock1())
			for i, g := range guests {
				g.gets(200)
				g.waitsOn(orbits[i], p.dock1())
			}
			p.wait(guests...)
		})
	}
}

// TestFetcherRestarts: somebody at dock-1 talks with a caller of dock-2's when dock-1 is restarted all the same. He is parked
// again where he was, as when dock-1 dies.
func TestFetcherRestarts(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	g := p.waiting(p.dock2(), "701")
	p.hook(p.dock1(), true)
	p.press(p.dock1(), "orbit-701")
	p.talk(p.dock1(), g)
	p.goes(p.dock1(), toRestart)
	p.comes(p.dock1())
	g.waitsOn("701", p.dock2())
	p.wait(g)
}

// TestPartThatFails: an appliance whose panel has no socket, or whose other parts fail, ends with an error, and its callers
// wait for the next life.
func TestPartThatFails(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	g := p.waiting(p.dock1(), "701")
	own, taken := p.dock1().Socket, p.dock2().Socket
	p.cut(p.dock1())
	p.configure(p.dock1(), own, taken)
	if err := p.dock1().Start(); err != nil {
		t.Fatal(err)
	}
	<-p.dock1().Done()
	if err := p.dock1().Err(); err == nil || !strings.Contains(err.Error(), "status 1") {
		t.Errorf("ended with %v", err)
	}
	p.configure(p.dock1(), taken, own)
	p.comes(p.dock1())
	g.waitsOn("701", p.dock1())
	p.wait(g)
}

// TestLeavingWithoutAJournal: whoever the next life could not go on with is told good-bye, and the log says why.
func TestLeavingWithoutAJournal(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.kill(p.dock1(), func() { p.configure(p.dock1(), journalOf(p.dock1()), "/proc/parklamp/journal") })
	g := p.waiting(p.dock1(), "701")
	p.goes(p.dock1(), toRestart)
	g.ended()
	if g.got("BYE") != 1 || said(p.dock1(), "the journal does not have him") != 1 {
		t.Errorf("%d good-byes, %d reasons", g.got("BYE"), said(p.dock1(), "the journal does not have him"))
	}
	p.comes(p.dock1())
	p.free("701")
}

// TestStopWithADeadPeer: a peer that does not answer holds up nobody, and nothing is said of calls that are not there.
func TestStopWithADeadPeer(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	g := p.waiting(p.dock2(), "701")
	p.fetch(p.dock1(), "701")
	p.everywhere("701", "free") // dock-2 has told it, too
	p.cut(p.dock2())
	p.hook(p.dock1(), false)
	p.idle(p.office())
	p.await(p.dock1(), "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 })
	p.goes(p.dock1(), syscall.SIGTERM)
	if said(p.dock1(), "calls are cut off") > 0 {
		t.Error("the log says that calls were cut off; there were none")
	}
	g.Stop()
}

// TestFetcherStops: an appliance that goes for good in the middle of a fetch, or with somebody parked whom it fetched from a peer,
// leaves the caller to that peer.
func TestFetcherStops(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	for orbit, begin := range map[string]func(g *guest){
		"701": func(g *guest) {
			fetcher := p.guest(p.dock2(), "701", visit{scenario: "slow"})
			fetcher.gets(200)
			// The third comes T1 and 2*T1 later (RFC 3261 §13.3.1.4): until then dock-1 takes a BYE for a CANCEL that came too late.
			expect(t, fetcher.SIPp, "the 200 three times", func(all []peer.Message) (n int, done bool) {
				for _, m := range all {
					if !m.Sent && m.Status() == 200 && strings.HasSuffix(m.Header("CSeq"), "INVITE") {
						n++
					}
				}
				return n, n >= 3
			})
		},
		"702": func(g *guest) {
			p.fetch(p.dock2(), "701")
			p.talk(p.dock2(), g)
			p.press(p.dock2(), "orbit-702")
			g.waitsOn("702", p.dock2())
			p.hook(p.dock2(), false)
		},
	} {
		g := p.waiting(p.dock1(), "701")
		begin(g)
		from := time.Now()
		p.goes(p.dock2(), syscall.SIGTERM)
		for _, a := range []*site.Appliance{p.dock1(), p.office()} {
			p.await(a, "the caller at dock-1 again", func(st panel.Status) bool {
				o := orbitOf(st, orbit)
				return o.Host == p.dock1().Name && o.Caller.Number == g.number
			})
		}
		p.comes(p.dock2())
		g.waitsOn(orbit, p.dock1())
		p.hearsMusic(g)
		gap, err := g.LongestGap(from)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: the longest time between two packets was %v", orbit, gap.Round(time.Millisecond))
		g.heardNo("BYE")
		g.hangUp()
		p.idle(p.Appliances...)
	}
}
