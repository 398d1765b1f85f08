package e2e

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/mediatest"
	"parklamp/parkd/panel"
)

// TestHandOver lets dock-1 go for good, or for a reboot, with one caller whose phone moves and one whose phone does not. The
// first is at a peer before dock-1 has gone.
func TestHandOver(t *testing.T) {
	t.Parallel()
	for _, by := range []syscall.Signal{toReboot, syscall.SIGTERM} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "")
			m, since := p.mover(0)
			g := p.waiting(p.dock1(), "702")
			p.listen(g.hearing(music()))
			never := p.neverDark(p.dock2(), p.office())

			from := time.Now()
			p.goes(p.dock1(), by)
			p.loggedAt(p.dock1(), from, "end=rescued caller="+moverNumber) // before it went
			p.moves(m)
			host := p.takenOver(p.dock1(), p.dock2())
			p.at(moverNumber, host, since, p.dock2(), p.office())
			p.listen(m.hearing(music()))
			gap, err := m.LongestGap(from)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s has the caller; the music was away for %v", host.Name, gap.Round(time.Millisecond))
			if ended := <-m.Ended; ended.Code != 0 {
				t.Errorf("the first call ended with %+v", ended)
			}
			if n := said(p.dock1(), "parked call ended"); by == toReboot && n != 1 {
				t.Errorf("dock-1 reports the ends of %d calls, want 1", n)
			}
			if by == syscall.SIGTERM {
				g.ended() // by BYE: nobody can take him
			}

			p.comes(p.dock1())
			p.at(moverNumber, host, since, p.Appliances...)
			if by == toReboot {
				g.waitsOn("702", p.dock1())
				p.hearsMusic(g)
				p.oneStream(g.outside, from)
				g.heardNo("BYE")
				g.hangUp()
			}
			p.await(p.dock1(), "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 })
			never()
			p.fetchedAt(p.dock1(), m.hearing(speech.Worker()))
		})
	}
}

// TestHandOverOfALinphone: the same with a phone that is not ours.
func TestHandOverOfALinphone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	l, since := p.parkedLinphone()
	number := orbitOf(p.status(p.dock2()), "701").Caller.Number
	never := p.neverDark(p.dock2(), p.office())

	before := len(l.Heard())
	from := time.Now()
	p.goes(p.dock1(), toReboot)
	host := p.takenOver(p.dock1(), p.dock2())
	p.at(number, host, since, p.dock2(), p.office())
	p.await(host, "RTP of linphone", func(st panel.Status) bool { return len(st.Calls) == 1 && st.Calls[0].Media.Received > 50 })
	p.listen(l.hearing(music()))
	t.Logf("%s has linphone, which heard nothing for %v", host.Name, longestSilence(l.Heard()[before:]))
	p.loggedAt(p.dock1(), from, "end=rescued")

	p.comes(p.dock1())
	p.at(number, host, since, p.Appliances...)
	p.await(p.dock1(), "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 })
	never()
	p.fetchedAt(p.dock1(), handsetOf(p.dock1(), clerk()))
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
	m, since := p.mover(0)
	var gaps []time.Duration
	host := p.dock1()
	for range 6 {
		goes := host
		others := slices.DeleteFunc(slices.Clone(p.Appliances), func(a *site.Appliance) bool { return a == goes })
		never := p.neverDark(others...)
		from := time.Now()
		p.goes(goes, toReboot)
		host = p.takenOver(goes, others[0])
		p.comes(goes)
		p.at(moverNumber, host, since, p.Appliances...)
		p.await(goes, "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 && alivePeers(st) == 2 })
		p.listen(m.hearing(music()))
		gap, err := m.LongestGap(from)
		if err != nil {
			t.Fatal(err)
		}
		gaps = append(gaps, gap.Round(time.Millisecond))
		never()
		if n := said(goes, "end=abandoned") + said(goes, "end=lost"); n > 0 {
			t.Errorf("%s reports %d ends that were none", goes.Name, n)
		}
	}
	t.Logf("the music was away for %v", gaps)
	p.fetchedAt(p.dock1(), m.hearing(speech.Worker()))
}

// TestHandOverToNobody has a caller whose phone says that it moves, and does not: dock-1 does not wait for what no peer can
// do, and goes on with the caller when it is back.
func TestHandOverToNobody(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	m, since := p.mover(488)
	p.goes(p.dock1(), toReboot)
	p.comes(p.dock1())
	p.at(moverNumber, p.dock1(), since, p.Appliances...)
	p.listen(m.hearing(music()))
	select {
	case ended := <-m.Ended:
		t.Errorf("the call has ended: %+v", ended)
	default:
	}
	m.first.Hangup("")
	p.idle(p.Appliances...)
}
