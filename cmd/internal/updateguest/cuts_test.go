//go:build uboot

package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/slots"
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
			card := filepath.Join(b.dir, "card.img")
			d := b.card(card, old, x.bundle)
			lines, off := b.guest(card, 0, limit, nil)
			if !off || !has(lines, x.want...) {
				t.Errorf("want %q, switched off: %v\n%s", x.want, off, strings.Join(lines, "\n"))
			}
			if st, err := d.State(); err != nil || st.Good != x.good {
				t.Errorf("state %+v, %v", st, err)
			}
		})
	}
}

// Power is cut at PARKLAMP_CUTS random moments (10) between power-on and the confirmation of an update, on the real loader and
// kernel. Then the card is started again and left alone: it has a good system at once, and the update comes to its end.
func TestCuts(t *testing.T) {
	cuts := 10
	if n, err := strconv.Atoi(os.Getenv("PARKLAMP_CUTS")); err == nil {
		cuts = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("PARKLAMP_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("PARKLAMP_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	b := newBench(t)
	old, next := b.system(1, "well", b.kernel, "again"), b.system(2, "well", b.kernel, "again")
	bundle := b.bundle(2, next)
	card := filepath.Join(b.dir, "card.img")
	b.card(card, old, bundle)
	begin := time.Now()
	if lines, off := b.guest(card, 0, limit, nil); !off || !has(lines, "confirmed v1.2.0") {
		t.Fatalf("without a cut:\n%s", strings.Join(lines, "\n"))
	}
	whole := time.Since(begin)
	t.Logf("without a cut %v from power-on to the confirmation", whole.Round(100*time.Millisecond))
	phases := map[string]int{}
	for n := 0; n < cuts; {
		d := b.card(card, old, bundle)
		at := time.Duration(r.Int64N(int64(whole)))
		begin := time.Now()
		before, off := b.guest(card, at, limit, nil)
		if off { // the machine has become faster: that was no cut
			whole = time.Since(begin)
			continue
		}
		n++
		phase := phaseOf(before, off)
		phases[phase]++
		check(t, d, old, next)
		after, off := b.guest(card, 0, limit, nil)
		if !off || len(after) < 2 || !has(after, "GUEST up", "v1.2.0") || has(after, "cannot be started") || has(after, "GUEST error") || has(after, "GUEST refused the bundle") {
			t.Errorf("cut %d at %v (%s): before\n%s\nafter\n%s", n, at, phase, strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
		check(t, d, old, next)
		if st, err := d.State(); err != nil || st.Good != slots.B && phase != "confirmed" {
			t.Errorf("cut %d at %v (%s): ends with %+v, %v\n%s", n, at, phase, st, err, strings.Join(after, "\n"))
		}
	}
	t.Logf("%d cuts: %v", cuts, phases)
}

// phaseOf names the moment of a cut by what was said before it.
func phaseOf(lines []string, off bool) string {
	for _, p := range [][2]string{{"confirmed", "confirmed"}, {"trial=true", "in the trial"}, {"slot b, trial 1", "in the loader of the trial"}, {"GUEST on trial", "before the restart"},
		{"GUEST install", "while writing"}, {"GUEST up", "before the update"}} {
		if has(lines, p[0]) {
			return p[1]
		}
	}
	if off {
		return "off"
	}
	return "in the loader"
}

// check reads the slots of a card without power: one with a boot sector holds a whole system.
func check(t *testing.T, d *slots.Disk, systems ...[]byte) {
	t.Helper()
	for _, s := range []slots.Slot{slots.A, slots.B} {
		place := d.Slot(s)
		got := make([]byte, place.Size)
		if _, err := d.ReadAt(got, place.Start); err != nil {
			t.Fatal(err)
		}
		whole := bytes.Equal(got[:slots.Sector], make([]byte, slots.Sector))
		for _, system := range systems {
			whole = whole || bytes.Equal(got, system)
		}
		if !whole {
			t.Errorf("slot %s has a boot sector and is no whole system", s)
		}
	}
}
