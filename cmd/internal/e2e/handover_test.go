package e2e

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/mediatest"
	"parklamp/media/moh"
	"parklamp/parkd/panel"
)

// neverFree watches the lamp of an orbit at an appliance until the function that it returns is called, which fails if the
// lamp was dark at any time.
func (p *place) neverFree(a *site.Appliance, orbit string) (check func()) {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	var wg sync.WaitGroup
	var seen []string // owned by the goroutine until it has ended
	watches := make(chan struct{})
	wg.Go(func() {
		tell := sync.OnceFunc(func() { close(watches) })
		defer tell()
		_ = a.Watch(ctx, func(st panel.Status) bool { // it ends with ctx
			tell()
			if now := lamp(st, "orbit-"+orbit).Pattern; len(seen) == 0 || seen[len(seen)-1] != now {
				seen = append(seen, now)
			}
			return true
		})
	})
	p.Cleanup(wg.Wait)
	p.Cleanup(cancel)
	<-watches
	return func() {
		p.Helper()
		cancel()
		wg.Wait()
		p.Logf("%s: lamp %s went %v", a.Name, orbit, seen)
		for _, pattern := range seen {
			if pattern == panel.StateFree {
				p.Errorf("%s: the lamp of %s was dark for a moment: %v", a.Name, orbit, seen)
			}
		}
	}
}

// handedOver checks that an appliance that has gone did not wait for peers in vain.
func (p *place) handedOver(a *site.Appliance) {
	p.Helper()
	if said(a, "the peers have not taken over everybody in time") > 0 {
		p.Errorf("%s has waited for peers until it had to go", a.Name)
	}
}

// at checks that an orbit holds one call, the same everywhere.
func (p *place) at(orbit, caller string, host *site.Appliance, since time.Time, all ...*site.Appliance) {
	p.Helper()
	for _, a := range all {
		st := p.await(a, caller+" on "+orbit+" at "+host.Name, func(st panel.Status) bool {
			o := orbitOf(st, orbit)
			return o.Host == host.Name && len(o.Calls) == 1 && o.State != panel.StateUnknown && o.State != panel.StateQueued
		})
		if o := orbitOf(st, orbit); o.Caller.Number != caller || !o.Since.Equal(since) {
			p.Errorf("%s: on %s is %+v since %v, want %s since %v", a.Name, orbit, o.Caller, o.Since, caller, since)
		}
	}
}

// TestHandOver lets dock-1 go for good, or for a reboot, with one caller whose phone moves and one whose phone does not. The
// first is at a peer before dock-1 has gone.
func TestHandOver(t *testing.T) {
	t.Parallel()
	for _, by := range []syscall.Signal{toReboot, syscall.SIGTERM} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "")
			m := p.mover(p.dock1(), "*68701", 11)
			g := p.parkedGuest(p.dock1(), "702", visit{})
			g.waitsOn("702", p.dock1())
			p.everywhere("701", "parked-here", "parked-elsewhere")
			since := p.since(p.dock2())
			p.listen(recordingOf("the caller", m.Audio, music()), g.hearing(music()))
			watched := []func(){p.neverFree(p.dock2(), "701"), p.neverFree(p.office(), "701")}

			from := time.Now()
			p.goes(p.dock1(), by)
			p.handedOver(p.dock1())
			select {
			case <-m.Moved:
			default:
				t.Fatal("dock-1 has gone, and nobody has called the caller")
			}
			host := p.rescuedBy("701", p.dock2(), p.office())
			p.at("701", "5550011", host, since, p.dock2(), p.office())
			p.listen(recordingOf("the caller", m.Audio, music()))
			gap, err := m.LongestGap(from)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s has the caller; the music was away for %v", host.Name, gap.Round(time.Millisecond))
			if ended := <-m.Ended; ended.Code != 0 {
				t.Errorf("the first call ended with %+v", ended)
			}
			p.loggedAt(p.dock1(), from, "end=rescued caller=5550011")
			if n := said(p.dock1(), "parked call ended"); by == toReboot && n != 1 {
				t.Errorf("dock-1 reports the ends of %d calls, want 1", n)
			}
			if by == syscall.SIGTERM {
				g.ended() // by BYE: nobody can take him
			}

			p.comes(p.dock1())
			p.at("701", "5550011", host, since, p.Appliances...)
			if by == toReboot {
				g.waitsOn("702", p.dock1())
				p.hearsMusic(g)
				p.oneStream(g.outside, from)
				g.heardNo("BYE")
				g.hangUp()
			}
			p.await(p.dock1(), "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 })
			for _, check := range watched {
				check()
			}
			p.fetch(p.dock1(), "701")
			p.listen(recordingOf("the caller", m.Audio, speech.Worker()))
			p.hook(p.dock1(), false)
			p.idle(p.Appliances...)
		})
	}
}

// TestHandOverOfALinphone: the same with a phone that is not ours.
func TestHandOverOfALinphone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	l := p.linphone("yard")
	l.calls(uri("*68701", p.dock1()))
	p.everywhere("701", "parked-here", "parked-elsewhere")
	since := p.since(p.dock2())
	number := orbitOf(p.status(p.dock2()), "701").Caller.Number
	p.listen(growingOf("linphone", l.Heard, moh.BuiltIn().Samples()))
	watched := []func(){p.neverFree(p.dock2(), "701"), p.neverFree(p.office(), "701")}

	before := len(l.Heard())
	from := time.Now()
	p.goes(p.dock1(), toReboot)
	p.handedOver(p.dock1())
	host := p.rescuedBy("701", p.dock2(), p.office())
	p.at("701", number, host, since, p.dock2(), p.office())
	p.await(host, "RTP of linphone", func(st panel.Status) bool { return len(st.Calls) == 1 && st.Calls[0].Media.Received > 50 })
	p.listen(growingOf("linphone", l.Heard, moh.BuiltIn().Samples()))
	t.Logf("%s has linphone, which heard nothing for %v", host.Name, longestSilence(l.Heard()[before:]))
	p.loggedAt(p.dock1(), from, "end=rescued")

	p.comes(p.dock1())
	p.at("701", number, host, since, p.Appliances...)
	p.await(p.dock1(), "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 })
	for _, check := range watched {
		check()
	}
	p.fetch(p.dock1(), "701")
	p.handset(p.dock1(), clerk())
	p.hook(p.dock1(), false)
	p.idle(p.Appliances...)
}

// longestSilence is the longest time without sound in a recording.
func longestSilence(pcm []int16) time.Duration {
	longest, now := 0, 0
	for ; len(pcm) >= 160; pcm = pcm[160:] {
		if now++; mediatest.RMS(pcm[:160]) >= quiet {
			now = 0
		}
		longest = max(longest, now)
	}
	return time.Duration(longest) * 20 * time.Millisecond
}

// TestHandOverRound reboots the host of a parked caller again and again, as an update of a whole site does.
func TestHandOverRound(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	m := p.mover(p.dock1(), "*68701", 11)
	p.everywhere("701", "parked-here", "parked-elsewhere")
	since := p.since(p.dock2())
	p.listen(recordingOf("the caller", m.Audio, music()))
	var gaps []time.Duration
	host := p.dock1()
	for range 6 {
		goes := host
		var others []*site.Appliance
		var watched []func()
		for _, a := range p.Appliances {
			if a != goes {
				others = append(others, a)
				watched = append(watched, p.neverFree(a, "701"))
			}
		}
		from := time.Now()
		p.goes(goes, toReboot)
		st := p.await(others[0], "the call at another host", func(st panel.Status) bool {
			o := orbitOf(st, "701")
			return len(o.Calls) == 1 && o.State != panel.StateUnknown && o.Host != goes.Name
		})
		for _, a := range others {
			if a.Name == orbitOf(st, "701").Host {
				host = a
			}
		}
		p.comes(goes)
		p.at("701", "5550011", host, since, p.Appliances...)
		p.await(goes, "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 && alivePeers(st) == 2 })
		p.listen(recordingOf("the caller", m.Audio, music()))
		gap, err := m.LongestGap(from)
		if err != nil {
			t.Fatal(err)
		}
		gaps = append(gaps, gap.Round(time.Millisecond))
		for _, check := range watched {
			check()
		}
		if n := said(goes, "end=abandoned") + said(goes, "end=lost"); n > 0 {
			t.Errorf("%s reports %d ends that were none", goes.Name, n)
		}
	}
	t.Logf("the music was away for %v", gaps)
	p.fetch(p.dock1(), "701")
	p.listen(recordingOf("the caller", m.Audio, speech.Worker()))
	p.hook(p.dock1(), false)
	p.idle(p.Appliances...)
}

// TestHandOverToNobody has a caller whose phone says that it moves, and does not: dock-1 does not wait for what no peer can
// do, and goes on with the caller when it is back.
func TestHandOverToNobody(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	m := p.phoneThatMoves(p.dock1(), "*68701", 11, 488)
	p.everywhere("701", "parked-here", "parked-elsewhere")
	since := p.since(p.dock2())
	p.goes(p.dock1(), toReboot)
	p.handedOver(p.dock1())
	p.comes(p.dock1())
	p.at("701", "5550011", p.dock1(), since, p.Appliances...)
	p.listen(recordingOf("the caller", m.Audio, music()))
	select {
	case ended := <-m.Ended:
		t.Errorf("the call has ended: %+v", ended)
	default:
	}
	m.first.Hangup("")
	p.idle(p.Appliances...)
}
