//go:build uboot

package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/slots/slotstest"
)

// limit is for a start, an update, a restart and a trial on a loaded machine.
const limit = 4 * time.Minute

// has reports whether the lines contain each of the wanted, in this order.
func has(lines []string, want ...string) bool {
	for _, l := range lines {
		if len(want) > 0 && strings.Contains(l, want[0]) {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// What may be wrong with an update, on a real loader and a real kernel: the appliance comes back with the system that it had.
func TestFallsBack(t *testing.T) {
	b := newBench(t)
	old := b.system(1, "well", b.kernel)
	well := b.bundle(2, b.system(2, "well", b.kernel))
	tampered := bytes.Clone(well)
	tampered[len(tampered)/2] ^= 1
	forged := bytes.Clone(well)
	forged[40] ^= 1
	for name, x := range map[string]struct {
		bundle []byte
		want   []string
		good   slots.Slot
	}{
		"a good one":           {well, []string{"up version=v1.1.0 slot=a", "on trial", "slot b, trial 1", "up version=v1.2.0 slot=b trial=true", "confirmed v1.2.0"}, slots.B},
		"tampered image":       {tampered, []string{"refused update to v1.2.0: the bundle is damaged"}, slots.A},
		"tampered manifest":    {forged, []string{"refused the bundle's signature is wrong"}, slots.A},
		"cut off":              {well[:len(well)/2], []string{"refused update to v1.2.0: the bundle is cut off"}, slots.A},
		"older":                {b.bundle(0, old), []string{"refused the bundle is older than what runs"}, slots.A},
		"unbootable kernel":    {b.bundle(2, b.system(2, "well", bytes.Repeat([]byte("no kernel "), 1000))), []string{"slot b, trial 1", "slot b cannot be started", "slot a, trial 0", "version=v1.1.0", "told"}, slots.A},
		"kernel panic":         {b.bundle(2, b.system(2, "dead", b.kernel)), []string{"version=v1.2.0 slot=b trial=true", "panic", "slot a, trial 0", "version=v1.1.0", "told"}, slots.A},
		"never healthy":        {b.bundle(2, b.system(2, "ill", b.kernel)), []string{"version=v1.2.0 slot=b trial=true", "restart the update is not healthy", "slot a, trial 0", "told"}, slots.A},
		"hangs until watchdog": {b.bundle(2, b.system(2, "hangs", b.kernel)), []string{"version=v1.2.0 slot=b trial=true", "hangs", "slot a, trial 0", "told"}, slots.A},
	} {
		t.Run(name, func(t *testing.T) {
			card, w := b.card(t, slots.A, old, old, x.bundle), &watch{}
			b.power(t, card, w)
			if w.dead || !has(w.lines, x.want...) {
				t.Errorf("want %q, switched off: %v\n%s", x.want, !w.dead, strings.Join(w.lines, "\n"))
			}
			if st, err := disk(t, card).State(); err != nil || st.Good != x.good {
				t.Errorf("state %+v, %v", st, err)
			}
		})
	}
}

// tally counts the cuts of all lives.
type tally struct {
	sync.Mutex
	left, done    int
	judged        int // starts after a cut, up to the system
	again, fallen int // cuts before the start after the cut before was judged; in starts that fall back
	refused       int // damaged slots that the loader refuses
	at            map[stage]int
}

// Power is cut PARKLAMP_CUTS times (10) between power-on and the end of an update, on the real loader and kernel: in half of the
// stages' cuts at one of the writes and flushes, which then is torn with all that was not flushed, in the other half at a moment.
// Each start after a cut is the next one's beginning, so that power is also lost while the appliance falls back. What starts is
// what the model of the boot script says, and in the end of each life the update is the good system.
func TestCuts(t *testing.T) {
	cuts := 10
	if n, err := strconv.Atoi(os.Getenv("PARKLAMP_CUTS")); err == nil {
		cuts = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("PARKLAMP_SEED"), 10, 64); err == nil {
		seed = n
	}
	b := newBench(t)
	l := life{b: b, old: b.system(1, "well", b.kernel, "again"), next: b.system(2, "well", b.kernel, "again"), tally: &tally{left: cuts, at: map[stage]int{}}}
	l.bundle = b.bundle(2, l.next)
	w := &watch{}
	begin := time.Now()
	b.power(t, b.card(t, slots.A, l.old, l.old, l.bundle), w)
	if w.dead || !has(w.lines, "confirmed v1.2.0") {
		t.Fatalf("without a cut:\n%s", strings.Join(w.lines, "\n"))
	}
	l.whole = w.seen
	l.whole[settling] = extent{4, 0} // two copies, each flushed; it comes only after a trial that failed
	t.Logf("PARKLAMP_SEED=%d; without a cut %v from power-on to the end", seed, time.Since(begin).Round(100*time.Millisecond))
	for _, s := range stages {
		if l.whole[s] == (extent{}) {
			t.Errorf("stage %q was not seen", s)
		}
		t.Logf("  %s: %d writes and flushes, %v", s, l.whole[s].changes, l.whole[s].time.Round(time.Millisecond))
	}
	begin = time.Now()
	t.Run("lives", func(t *testing.T) {
		for n := range runtime.NumCPU() {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				for r := rand.New(rand.NewPCG(seed, uint64(n))); !t.Failed() && l.live(t, r); {
				}
			})
		}
	})
	for _, s := range slices.Sorted(maps.Keys(l.tally.at)) {
		t.Logf("  cuts: %3d  %s", l.tally.at[s], s)
	}
	t.Logf("%d cuts, %d of them before the system was up after the cut before, %d while falling back; %d starts judged; %d damaged slots, refused; %v a cut", l.tally.done, l.tally.again, l.tally.fallen, l.tally.judged, l.tally.refused,
		(time.Since(begin) / time.Duration(max(1, l.tally.done))).Round(100*time.Millisecond))
}

// life is what the lives of cards have in common.
type life struct {
	b                 *bench
	old, next, bundle []byte
	whole             map[stage]extent
	tally             *tally
}

// take takes one of the cuts that are left.
func (l *life) take() bool {
	l.tally.Lock()
	defer l.tally.Unlock()
	l.tally.left--
	return l.tally.left >= 0
}

// draw plans a cut; often while it falls back if it does.
func (l *life) draw(r *rand.Rand, fallback bool) plan {
	from := stages
	if fallback && r.IntN(2) == 0 {
		from = []stage{inLoader, inKernel, inSystem, settling}
	}
	p := plan{stage: from[r.IntN(len(from))]}
	e := l.whole[p.stage]
	if e.changes > 0 && (r.IntN(2) == 0 || e.time == 0) {
		p.changes = 1 + r.IntN(e.changes)
	} else {
		p.after = time.Duration(r.Int64N(int64(e.time) + 1))
	}
	return p
}

// live is the life of a card from the factory to the end of its update, with losses of power. False: no cut is left.
func (l *life) live(t *testing.T, r *rand.Rand) bool {
	good := []slots.Slot{slots.A, slots.B}[r.IntN(2)]
	card := l.b.card(t, good, l.old, l.old, l.bundle)
	var story []string
	for cut := false; ; cut = true {
		more := l.take()
		if !more && !cut {
			return false
		}
		want, fallback := l.expect(t, card)
		w := &watch{}
		if more {
			w.plan = l.draw(r, fallback)
		}
		l.b.power(t, card, w)
		card.Cut(r) // also of a machine that has switched itself off
		l.check(t, card)
		judged := l.judge(t, w, want)
		l.count(t, w, more, cut, judged, fallback)
		story = append(story, fmt.Sprintf("-- planned %+v, cut %v in %s, awaited %q", w.plan, w.dead, w.now, want))
		story = append(story, w.lines...)
		if st, err := disk(t, card).State(); !w.dead && (err != nil || st.Good != good.Other() || st.Try != slots.None || has(w.lines, "GUEST refused the bundle")) {
			t.Errorf("ends with %+v, %v", st, err)
		}
		if t.Failed() {
			t.Log(strings.Join(story, "\n"))
		}
		if t.Failed() || !w.dead {
			return more
		}
	}
}

// count writes down what became of a start; a cut that did not come to be is given back.
func (l *life) count(t *testing.T, w *watch, taken, afterCut, judged, fallback bool) {
	l.tally.Lock()
	defer l.tally.Unlock()
	if afterCut && judged {
		l.tally.judged++
	}
	if w.dead {
		l.tally.done++
		l.tally.at[w.now]++
		t.Logf("cut %d: %s; after a cut: %v, up: %v, falling back: %v", l.tally.done, w.now, afterCut, judged, fallback)
		if afterCut && !judged {
			l.tally.again++
		}
		if fallback {
			l.tally.fallen++
		}
	} else if taken {
		l.tally.left++
	}
}

// expect is what the next start must say, by the model of the boot script, and whether it falls back.
func (l *life) expect(t *testing.T, card *slotstest.Card) (want string, fallback bool) {
	t.Helper()
	st, err := disk(t, card).State()
	if err != nil {
		t.Fatal(err) // both copies lost by one cut
	}
	boot, err := slotstest.Load(card.Clone(), func(s slots.Slot, _ bool) bool { return l.version(t, card, s) != "" })
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("GUEST up version=%s slot=%s trial=%v ", l.version(t, card, boot.Slot), boot.Slot, boot.Trial), !boot.Trial && st.Try != slots.None
}

// judge reports whether the machine has come so far as to show its system; it must be the awaited one.
func (l *life) judge(t *testing.T, w *watch, want string) bool {
	i := slices.IndexFunc(w.lines, func(s string) bool { return strings.HasPrefix(s, "GUEST up") })
	if i >= 0 && !strings.HasPrefix(w.lines[i], want) || has(w.lines, "cannot be started") || has(w.lines, "GUEST error") || has(w.lines, "panic") || !w.dead && i < 0 {
		t.Errorf("awaited %q, came\n%s", want, strings.Join(w.lines, "\n"))
	}
	return i >= 0
}

// version is of the whole system in a slot; "" if none is there.
func (l *life) version(t *testing.T, card *slotstest.Card, s slots.Slot) string {
	got := card.Bytes(disk(t, card).Slot(s))
	switch {
	case bytes.Equal(got, l.old):
		return version(1)
	case bytes.Equal(got, l.next):
		return version(2)
	}
	return ""
}

// check reads the slots of a card without power. The good one and the one on trial hold a whole system. Another one that has the
// boot sector of a system and not all of it is no harm as long as the loader refuses it.
func (l *life) check(t *testing.T, card *slotstest.Card) {
	t.Helper()
	st, err := disk(t, card).State()
	if err != nil {
		t.Error(err)
	}
	for _, s := range []slots.Slot{slots.A, slots.B} {
		if l.version(t, card, s) != "" {
			continue
		}
		head := card.Bytes(disk(t, card).Slot(s))[:slots.Sector]
		switch {
		case s == st.Good || s == st.Try:
			t.Errorf("slot %s is no whole system, with %+v", s, st)
		case !bytes.Equal(head, l.old[:slots.Sector]) && !bytes.Equal(head, l.next[:slots.Sector]):
		case l.b.refuses(t, card, s):
			t.Logf("slot %s has a boot sector and is no whole system; the loader refuses it", s)
			l.tally.Lock()
			l.tally.refused++
			l.tally.Unlock()
		default:
			t.Errorf("slot %s has a boot sector, is no whole system, and would be started", s)
		}
	}
}

// refuses asks the loader itself: with slot s as the good one it must not start it but the other one.
func (b *bench) refuses(t *testing.T, card *slotstest.Card, s slots.Slot) bool {
	t.Helper()
	card = card.Clone()
	if err := disk(t, card).Store(slots.State{Good: s}); err != nil {
		t.Fatal(err)
	}
	w := &watch{plan: plan{stage: inSystem}}
	b.power(t, card, w)
	o := s.Other()
	return has(w.lines, fmt.Sprintf("slot %s, trial 0", s), fmt.Sprintf("slot %s cannot be started", s), fmt.Sprintf("slot %s, trial 0", o)) &&
		slices.ContainsFunc(w.lines, func(line string) bool {
			return strings.HasPrefix(line, "GUEST up") && strings.Contains(line, fmt.Sprintf("slot=%s trial=false", o))
		})
}

// What TestCuts asks of the loader about a damaged slot: no where its files are touched, and yes where it starts all the same.
func TestRefuses(t *testing.T) {
	b := newBench(t)
	system := b.system(1, "well", b.kernel)
	for name, x := range map[string]struct {
		at   int // of the damage
		want bool
	}{
		"list of clusters": {bytes.Index(system, []byte{0xf8, 0xff, 0xff}), true},
		"names of files":   {bytes.Index(system, []byte("SLOT    ENV")) &^ (slots.Sector - 1), true},
		"slot.env":         {bytes.Index(system, []byte("board="+machine)), true},
		"kernel":           {bytes.Index(system, b.kernel[:slots.Sector]) + len(b.kernel)/2, true},
		"a file besides":   {bytes.Index(system, bytes.Repeat([]byte{1}, slots.Sector)), false},
		"nothing":          {-1, false},
	} {
		t.Run(name, func(t *testing.T) {
			card := b.card(t, slots.A, system, system, nil)
			if x.at >= 0 {
				at := card.Bytes(disk(t, card).Slot(slots.B))[x.at&^(slots.Sector-1):][:slots.Sector]
				for i := range at {
					at[i] ^= 0x5a
				}
			} else if name != "nothing" {
				t.Fatal("the system has no such place")
			}
			if got := b.refuses(t, card, slots.B); got != x.want {
				t.Errorf("refused: %v", got)
			}
		})
	}
}
