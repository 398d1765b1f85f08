package e2e

import (
	"bytes"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/parkd/journal"
	"parklamp/parkd/panel"
)

// parkedForGood parks a caller that answers re-INVITEs on orbit 701 of dock-1 and returns when it is on the disk: peers
// are told after that.
func parkedForGood(p *place, scenario string) *outside {
	p.Helper()
	o := p.call(p.dock1(), "201", 11, scenario)
	p.answer(p.dock1())
	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.hook(p.dock1(), false)
	p.music(o)
	return o
}

// since is when an appliance says that the call on orbit 701 was parked.
func (p *place) since(a *site.Appliance) time.Time {
	p.Helper()
	return p.await(a, "somebody on 701", func(st panel.Status) bool { return len(st.Orbits[0].Calls) == 1 }).Orbits[0].Since
}

// oneStream checks that what a caller heard from a moment on is one RTP stream of one source that never goes back.
func (p *place) oneStream(o *outside, from time.Time) {
	p.Helper()
	heard := o.Heard(from)
	if len(heard) < 2 {
		p.Fatalf("%d packets came", len(heard))
	}
	missing := 0
	for i, h := range heard[1:] {
		before := heard[i]
		switch {
		case h.SSRC != before.SSRC || h.From != before.From:
			p.Fatalf("the stream changed from SSRC %08x of %v to %08x of %v", before.SSRC, before.From, h.SSRC, h.From)
		case int16(h.Sequence-before.Sequence) <= 0 || int32(h.Timestamp-before.Timestamp) <= 0:
			p.Fatalf("the stream went back: sequence %d to %d, timestamp %d to %d", before.Sequence, h.Sequence, before.Timestamp, h.Timestamp)
		}
		jump := h.Sequence - before.Sequence
		// A process that had to wait for its turn skips frames, and what it skipped after it was stored last its next life cannot
		// know: then the clock has gone on by so much less.
		if clock := h.Timestamp - before.Timestamp; jump > 1 && math.Abs(float64(clock)-float64(jump)*160) > 8000/2 {
			p.Errorf("%d packets are missing, and the timestamp has gone on by %d", jump-1, clock)
		}
		missing += int(jump) - 1
	}
	// The clock of the stream has gone on while nobody sent. A packet may be late, by a program that had to wait for its turn;
	// none is early: the least late of the beginning and the least late of the end tell.
	first, last := heard[0], heard[len(heard)-1]
	late := func(part []peer.Heard) time.Duration {
		least := time.Duration(math.MaxInt64)
		for _, h := range part {
			least = min(least, h.At.Sub(first.At)-time.Duration(h.Timestamp-first.Timestamp)*time.Second/8000)
		}
		return least
	}
	if off := late(heard[3*len(heard)/4:]) - late(heard[:len(heard)/4+1]); off.Abs() > time.Second/2 {
		p.Errorf("the stream's clock has gone wrong by %v", off)
	}
	took := last.At.Sub(first.At)
	p.Logf("%d packets in %v, %d of them missing", last.Sequence-first.Sequence+1, took.Round(time.Millisecond), missing)
}

// A caller is parked, the appliance is killed twice in a row, and the caller hears the music go on and is fetched.
func TestParkedCallerOutlivesKill(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	o := parkedForGood(p, "caller-reinvite")
	since, start := p.since(p.dock2()), time.Now()
	for range 2 {
		p.kill(p.dock1(), nil)
		p.await(p.dock1(), "the call again", func(st panel.Status) bool { return len(st.Calls) == 1 && st.Calls[0].State == "parked" })
	}
	p.music(o)
	gap, err := o.LongestGap(start)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("longest gap in the music, with the start of the process: %v", gap)
	p.oneStream(o, start)
	p.everywhere("701", "parked-here", "parked-elsewhere")
	for _, a := range p.Appliances {
		if at := p.since(a); !at.Equal(since) {
			t.Errorf("%s says parked since %v, before the kill %v", a.Name, at, since)
		}
		p.await(a, "the caller's number", func(st panel.Status) bool {
			return st.Orbits[0].Caller.Number == "5550011" && st.Orbits[0].Parker.Number == "201" && st.Orbits[0].Host == "dock-1"
		})
	}
	p.fetch(p.dock2(), "701")
	p.everywhere("701", "free")
	p.conversation(p.dock2(), o)
	p.oneStream(o, start)
	p.hook(p.dock2(), false)
	o.ended()
	p.idle(p.Appliances...)
}

// Phones behind a NAT repeat their private address when they are asked after a kill. The callers hear music on at the public
// one, also who has said nothing since, and who was parked before he was heard; and are heard when somebody fetches them.
func TestParkedCallersBehindNATOutliveKill(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	behind := visit{private: netip.MustParseAddr("192.168.1.20")} // out of reach of sockets on loopback
	parked := func(orbit string) (g *guest, at netip.AddrPort) {
		g = p.visitor(p.dock1(), behind)
		at = mediaIn(t, g.final().Body())
		g.Aim(at)
		p.talk(p.dock1(), g)
		p.press(p.dock1(), "orbit-"+orbit)
		g.waitsOn(orbit, p.dock1())
		p.hook(p.dock1(), false)
		return g, at
	}
	talks, _ := parked("701")
	silent, at := parked("702")
	silent.Aim(p.sip(9)) // where nobody is
	// He is heard for the first time when he is parked.
	himself := p.parkedGuest(p.dock1(), "703", behind)
	itsPort := mediaIn(t, himself.final().Body())
	himself.Aim(itsPort)
	p.hearsMusic(himself)
	himself.Aim(p.sip(9))
	for n := range 2 {
		p.kill(p.dock1(), nil)
		for _, g := range []*guest{talks, silent, himself} {
			expect(t, g.SIPp, "that its answer was taken", func([]peer.Message) (int, bool) { got := g.got("ACK"); return got, got > n })
		}
		p.listen(hearingMusic([]*guest{talks, silent, himself})...)
	}
	silent.Aim(at)
	himself.Aim(itsPort)
	for orbit, g := range map[string]*guest{"701": talks, "702": silent, "703": himself} {
		p.fetch(p.dock1(), orbit)
		p.talk(p.dock1(), g)
		p.hook(p.dock1(), false)
		g.ended()
	}
	p.idle(p.Appliances...)
}

// An appliance of its own image is given another identity while somebody is parked: she stays parked, at the new name. On a
// machine that may have several, the journal of another name is left alone.
func TestParkedCallerOutlivesAnotherIdentity(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	o := parkedForGood(p, "caller-reinvite")
	gate := p.dock1()
	p.kill(gate, func() { p.configure(gate, `name = "dock-1"`, `name = "gate-1"`) })
	p.await(gate, "that the journal is not its own", func(st panel.Status) bool { return len(st.Calls) == 0 && ails(st, "journal") })
	gate.Under = []string{"env", "PARKLAMP_INIT=" + filepath.Join(t.TempDir(), "init.sock")}
	p.kill(gate, nil)
	p.await(gate, "the call again", func(st panel.Status) bool {
		return len(st.Calls) == 1 && st.Calls[0].State == "parked" && !ails(st, "journal") && ails(st, "journal.owner")
	})
	p.music(o)
	gate.Under = nil // the journal is its own now
	p.kill(gate, nil)
	p.await(gate, "the call once more", func(st panel.Status) bool { return len(st.Calls) == 1 && !ails(st, "journal.owner") })
	p.fetch(gate, "701")
	p.conversation(gate, o)
	p.hook(gate, false)
	o.ended()
}

func ails(st panel.Status, code string) bool {
	return slices.ContainsFunc(st.Health, func(c panel.Condition) bool { return c.Code == code })
}

// While the appliance is away its lamp is unknown at the others, and comes back as it was.
func TestLampsWhileTheHostIsAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	o := parkedForGood(p, "caller-reinvite")
	since := p.since(p.dock2())
	p.kill(p.dock1(), func() {
		for _, a := range []*site.Appliance{p.dock2(), p.office()} {
			p.await(a, "lamp 701 unknown", func(st panel.Status) bool { return lamp(st, "orbit-701").Pattern == "unknown" })
		}
	})
	p.everywhere("701", "parked-here", "parked-elsewhere")
	if at := p.since(p.dock2()); !at.Equal(since) {
		t.Errorf("parked since %v, before the kill %v", at, since)
	}
	p.music(o)
	p.fetch(p.dock1(), "701")
	p.conversation(p.dock1(), o)
	p.hook(p.dock1(), false)
	o.ended()
	p.idle(p.Appliances...)
}

// The caller has hung up while nobody listened: the far end knows nothing of the call any more.
func TestCallerGoneWhileTheHostWasAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	o := parkedForGood(p, "caller-forgets")
	p.kill(p.dock1(), nil)
	p.everywhere("701", "free")
	o.ended()
	p.idle(p.Appliances...)
	log, err := os.ReadFile(p.dock1().Log)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log, []byte(`msg="parked call ended" orbit=701`)) || !bytes.Contains(log, []byte("end=lost caller=5550011")) {
		t.Error("the log does not report the caller as lost, with the number to ring back")
	}
}

// Somebody was fetching in the moment of the kill: he is told good-bye, and the caller waits again. A call at the desk
// phone is not resumed, and its far end does not sit in silence.
func TestKillInTheMiddleOfAFetch(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	o := parkedForGood(p, "caller-reinvite")
	desk := p.call(p.dock1(), "201", 12, "caller")
	p.answer(p.dock1())
	fetcher := p.call(p.dock1(), "701", 13, "never-acks")
	p.await(p.dock1(), "fetching", func(st panel.Status) bool { return st.Orbits[0].State == panel.StateFetching })
	p.await(p.dock1(), "three calls", func(st panel.Status) bool { return len(st.Calls) == 3 })
	p.stored(p.dock1(), `"state":"fetching"`, `:5550012@`, `:5550013@`)
	p.kill(p.dock1(), nil)
	fetcher.ended()
	desk.ended()
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.music(o)
	p.fetch(p.dock2(), "701")
	p.conversation(p.dock2(), o)
	p.hook(p.dock2(), false)
	o.ended()
	p.await(p.dock2(), "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 })
	p.everywhere("701", "free")
}

// Who is stopped says good-bye himself, and has nothing to go on with at the next start.
func TestStoppedApplianceForgetsItsCalls(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	o := parkedForGood(p, "caller")
	if err := syscall.Kill(p.dock1().PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.dock1().Done()
	o.ended()
	c, err := journal.New(journalOf(p.dock1()), "dock-1").Load()
	if err != nil || len(c.Entries) != 0 {
		t.Errorf("%d calls are left in the journal, %v", len(c.Entries), err)
	}
}

// A journal that is too old, garbage, or nowhere to be written does not stop the appliance, and never the parking.
func TestJournalThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	o := parkedForGood(p, "caller")
	p.kill(p.dock1(), func() {
		p.configure(p.dock1(), "[journal]\n", "[journal]\nmax_age = \"1s\"\n")
		<-time.After(1500 * time.Millisecond) // it is away for longer than that
	})
	o.ended() // told good-bye, and not resumed
	p.everywhere("701", "free")

	condition := func(code, text string) {
		t.Helper()
		p.await(p.dock1(), code, func(st panel.Status) bool {
			for _, c := range st.Health {
				if c.Code == code && strings.Contains(c.Text, text) && c.Hint != "" {
					return true
				}
			}
			return false
		})
	}
	parks := func(last int) {
		t.Helper()
		o := p.call(p.dock1(), "201", last, "caller")
		p.answer(p.dock1())
		p.press(p.dock1(), "park")
		p.everywhere("701", "parked-here", "parked-elsewhere")
		p.press(p.dock1(), "orbit-701")
		p.talking(p.dock1())
		p.hook(p.dock1(), false)
		o.ended()
		p.idle(p.Appliances...)
	}
	p.kill(p.dock1(), func() {
		if err := os.WriteFile(journalOf(p.dock1()), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	condition("journal.read", "does not begin as a journal does")
	if b, err := os.ReadFile(journalOf(p.dock1()) + ".bad"); err != nil || string(b) != "garbage" {
		t.Errorf("the bad file is not kept: %q, %v", b, err)
	}
	parks(12)
	p.kill(p.dock1(), func() { p.configure(p.dock1(), journalOf(p.dock1()), "/proc/parklamp/journal") })
	condition("journal", "parked calls would not outlive a crash")
	parks(13)
}
