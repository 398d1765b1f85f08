package update

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/slots/slotstest"
)

// life is a card on which power is lost again and again.
type life struct {
	t       *testing.T
	card    *slotstest.Card
	r       *rand.Rand
	bundles map[int][]byte
	images  map[int][]byte
}

// in returns the version that a slot holds, whole; 0 if none.
func (l *life) in(s slots.Slot) int {
	got := l.card.Bytes(open(l.t, l.card).Slot(s))
	for n, image := range l.images {
		if bytes.Equal(got[:imageSize], image) {
			return n
		}
	}
	return 0
}

// boot loads what the boot script would. A slot that is not whole and has a boot sector of any system is a failure by
// itself: it could be started.
func (l *life) boot(what string) (slots.Boot, int) {
	for _, s := range []slots.Slot{slots.A, slots.B} {
		if head := l.card.Bytes(open(l.t, l.card).Slot(s)); bytes.HasPrefix(head, []byte("boot sector of version")) && l.in(s) == 0 {
			l.t.Fatalf("%s: slot %s has a boot sector and is not whole", what, s)
		}
	}
	b, err := slotstest.Load(l.card, func(s slots.Slot, care bool) bool { return l.in(s) != 0 })
	if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
	return b, l.in(b.Slot)
}

// update runs version n's appliance until its update to version to is done or power is lost.
func (l *life) update(b slots.Boot, n, to int) error {
	u := updater(l.t, l.card, b, system(n), &phone{})
	if err := u.Settle(); err != nil {
		return err
	}
	return u.Install(l.t.Context(), bytes.NewReader(l.bundles[to]), false)
}

func newLife(t *testing.T, seed uint64) *life {
	l := &life{t: t, r: rand.New(rand.NewPCG(seed, 5)), bundles: map[int][]byte{}, images: map[int][]byte{}}
	for n := 1; n <= 4; n++ {
		l.images[n] = image(n)
		l.bundles[n] = bundle(t, manifest(n), l.images[n])
	}
	l.reset()
	return l
}

// reset is a card as the factory makes it: version 1 in both slots.
func (l *life) reset() {
	l.card = slotstest.NewCard(slotSize, slots.State{Seq: 1, Good: slots.A})
	for _, s := range []slots.Slot{slots.A, slots.B} {
		copy(l.card.Bytes(open(l.t, l.card).Slot(s)), l.images[1])
	}
}

// Power is lost at each write and sync of an update, many times with other outcomes. The next start is one of whole systems;
// a trial has the new one; the update done again succeeds.
func TestCutAtEveryWrite(t *testing.T) {
	l := newLife(t, 1)
	if err := l.update(slots.Boot{Slot: slots.A}, 1, 2); err != nil {
		t.Fatal(err)
	}
	steps := l.card.Changes
	cuts, trials := 0, 0
	for step := 1; step <= steps+1; step++ {
		for range 25 {
			l.reset()
			l.card.PowerFor(step)
			err := l.update(slots.Boot{Slot: slots.A}, 1, 2)
			if (err == nil) != (step > steps) {
				t.Fatalf("step %d: %v", step, err)
			}
			l.card.Cut(l.r)
			cuts++
			b, n := l.boot("after the cut")
			if b.Trial {
				trials++
			}
			if want := map[bool]int{true: 2, false: 1}[b.Trial]; n != want {
				t.Fatalf("step %d: starts version %d from %+v", step, n, b)
			}
			if b.Trial { // it dies before it is confirmed
				if b, n = l.boot("after the trial"); b.Trial || n != 1 {
					t.Fatalf("step %d: a second trial, %+v of version %d", step, b, n)
				}
			}
			if err := l.update(b, 1, 2); err != nil {
				t.Fatalf("step %d: again: %v", step, err)
			}
			if b, n := l.boot("after the second update"); !b.Trial || n != 2 {
				t.Fatalf("step %d: again starts version %d from %+v", step, n, b)
			}
		}
	}
	if trials < 25 {
		t.Errorf("%d of %d cuts led to a trial", trials, cuts)
	}
	t.Logf("%d writes and syncs, %d cuts, %d of them with the update on trial", steps, cuts, trials)
}

// Lives of many updates, confirmations, ill systems and cuts at random, also in the loader: what starts is always whole, and
// after a confirmation never older than what was confirmed.
func TestCutsForLife(t *testing.T) {
	lives, rounds := uint64(60), 40
	if testing.Short() {
		lives = 10
	}
	cuts := 0
	l := newLife(t, 2)
	for seed := range lives {
		l.r = rand.New(rand.NewPCG(seed, 77))
		l.reset()
		confirmed := 1
		for range rounds {
			if l.r.IntN(4) == 0 { // the loader's own write is cut off
				l.card.PowerFor(1 + l.r.IntN(2))
				if _, err := slotstest.Load(l.card, func(s slots.Slot, _ bool) bool { return l.in(s) != 0 }); err != nil && !errors.Is(err, slotstest.ErrPower) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				l.card.Cut(l.r)
				cuts++
			}
			b, n := l.boot("life")
			if n < confirmed {
				t.Fatalf("seed %d: version %d starts from %+v after %d was confirmed", seed, n, b, confirmed)
			}
			if l.r.IntN(3) > 0 {
				l.card.PowerFor(1 + l.r.IntN(20))
				cuts++
			}
			if b.Trial {
				ill := l.r.IntN(3) == 0
				synctest.Test(t, func(t *testing.T) {
					p := &phone{}
					if ill {
						p.ill = "ill"
					}
					u := updater(t, l.card, b, system(n), p)
					err := u.Confirm(t.Context())
					if err == nil && !ill {
						confirmed = n
					}
				})
				// A cut in the middle may or may not have confirmed it; what is on the card counts.
				l.card.Cut(l.r)
				if st, err := open(t, l.card).State(); err == nil && st.Good == b.Slot {
					confirmed = n
				}
				continue
			}
			to := 1 + l.r.IntN(4)
			err := l.update(b, n, to)
			if err == nil && to < n {
				t.Fatalf("seed %d: version %d over %d", seed, to, n)
			}
			l.card.Cut(l.r)
		}
	}
	t.Logf("%d lives, %d losses of power", lives, cuts)
}
