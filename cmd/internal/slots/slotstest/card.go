// Package slotstest has a card that loses power and a model of the boot script, for tests of those who write slots and states.
//
// Card is an in-memory slots.Device. What was written since the last Sync is in doubt: when power is lost each sector of it
// is, independently, new, old or, rarely, garbage, which covers torn writes and any order. Load is buildroot/boot/boot.cmd in
// Go; the test of this package with the tag "uboot" holds the two together under U-Boot itself. Serve (nbd.go) gives the card to an
// emulated machine. No goroutines.
package slotstest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"

	"parklamp/cmd/internal/mbr"
	"parklamp/cmd/internal/slots"
)

// ErrPower is the answer of a card without power.
var ErrPower = errors.New("slotstest: no power")

// filler is the size of a small card's boot partition; the data partition is as large or as a slot.
const filler = 1 << 20

// garbage is one in how many sectors in doubt is neither old nor new.
const garbage = 16

var _ slots.Device = (*Card)(nil)

// Card is a card of three or four partitions in memory.
type Card struct {
	data    []byte           // as it lies on the medium
	doubt   map[int64][]byte // sector number to what was written since the last Sync
	left    int              // operations until power is lost; negative: never
	Changes int              // writes and syncs that were done
	Written int64            // bytes
}

// NewCard returns a card with empty slots of size bytes each and a state.
func NewCard(size int64, s slots.State) *Card {
	begin := int64(slots.BootStart)
	table := mbr.Table{Signature: slots.Signature}
	for i, n := range []int64{filler, size, size, max(filler, size)} {
		table.Partitions[i] = mbr.Partition{Type: 0xe, Start: begin, Size: n}
		begin += n
	}
	table.Partitions[0].Status = mbr.Active
	c := &Card{data: make([]byte, begin), doubt: map[int64][]byte{}, left: -1}
	table.Put(c.data)
	if sector, err := s.Sector(); err == nil {
		copy(c.data[slots.StateA:], sector)
		copy(c.data[slots.StateB:], sector)
	}
	return c
}

// Bytes is the medium from at on, for a test to read and to spoil.
func (c *Card) Bytes(e slots.Extent) []byte { return c.data[e.Start : e.Start+e.Size] }

// Clone returns a card with the same medium, on which nothing is in doubt.
func (c *Card) Clone() *Card {
	return &Card{data: bytes.Clone(c.data), doubt: map[int64][]byte{}, left: -1}
}

// PowerFor lets n more writes and syncs be done; after that each operation fails with ErrPower until Cut.
func (c *Card) PowerFor(n int) { c.left = n }

func (c *Card) spend() error {
	if c.left == 0 {
		return ErrPower
	}
	if c.left > 0 {
		c.left--
	}
	c.Changes++
	return nil
}

// ReadAt reads what was written last, as a system with its caches sees it.
func (c *Card) ReadAt(p []byte, off int64) (int, error) {
	if c.left == 0 {
		return 0, ErrPower
	}
	if off < 0 || off > int64(len(c.data)) {
		return 0, io.EOF
	}
	n := copy(p, c.data[off:])
	for s := off / slots.Sector; s*slots.Sector < off+int64(n); s++ {
		if new, in := c.doubt[s]; in {
			at := s*slots.Sector - off
			if at < 0 {
				copy(p[:n], new[-at:])
			} else {
				copy(p[at:n], new)
			}
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt puts whole sectors in doubt. The write on which power is lost is in doubt too: some of it may have been done.
func (c *Card) WriteAt(p []byte, off int64) (int, error) {
	if off%slots.Sector != 0 || len(p)%slots.Sector != 0 || off+int64(len(p)) > int64(len(c.data)) {
		return 0, errors.New("slotstest: a write that is not of whole sectors on the card")
	}
	dead := c.left == 0
	if !dead {
		if c.left > 0 {
			c.left--
		}
		c.Changes++
		c.Written += int64(len(p))
		for i := 0; i < len(p); i += slots.Sector {
			c.doubt[(off+int64(i))/slots.Sector] = append([]byte(nil), p[i:i+slots.Sector]...)
		}
	}
	if c.left == 0 {
		return 0, ErrPower
	}
	return len(p), nil
}

// Sync makes everything last. The one on which power is lost has not been done.
func (c *Card) Sync() error {
	if err := c.spend(); err != nil {
		return err
	}
	if c.left == 0 {
		return ErrPower
	}
	for s, new := range c.doubt {
		copy(c.data[s*slots.Sector:], new)
	}
	clear(c.doubt)
	return nil
}

// Cut is the loss of power and its return.
func (c *Card) Cut(r *rand.Rand) {
	// In the order of places, so that a seed tells the whole story.
	for s := int64(0); s*slots.Sector < int64(len(c.data)) && len(c.doubt) > 0; s++ {
		new, in := c.doubt[s]
		if !in {
			continue
		}
		delete(c.doubt, s)
		switch at := c.data[s*slots.Sector:][:slots.Sector]; {
		case r.IntN(garbage) == 0:
			for i := range at {
				at[i] = byte(r.Uint32())
			}
		case r.IntN(2) == 0:
			copy(at, new)
		}
	}
	c.left = -1
}
