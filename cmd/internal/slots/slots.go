// Package slots knows the card of an appliance: where its two systems lie, which of them is good and which is on trial, and
// how the boot loader and we tell each other so without ever leaving a card that does not boot.
//
// Two copies of a State lie in single sectors outside the partitions, in U-Boot's environment format (CRC-32 of IEEE 802.3,
// then key=value, each ended by NUL). The newer valid copy counts; a new state goes over the older one first, so that a
// write cut off by a loss of power leaves the state before it. buildroot/boot/boot.cmd is the reader on the other side: it
// boots a slot that is on trial once for each attempt left, counting down before it jumps, and else the good one.
//
// The package never writes a slot and never decides about an update (package update does). It starts no goroutine. Who
// writes a Disk (Store, WriteSector, WriteAt) must be alone in that, as package update is; reading may go on beside it.
package slots

import (
	"errors"
	"fmt"
	"strings"

	"parklamp/cmd/internal/mbr"
)

// Errors.
var (
	ErrState   = errors.New("no valid state")             // neither copy can be read
	ErrLayout  = errors.New("not the card of a Parklamp") // the partition table says so
	ErrNoCard  = errors.New("no card found")
	ErrNoSlot  = errors.New("not started by the boot script") // the kernel's command line names no slot
	errTooLong = errors.New("state does not fit its sector")
)

// Places on the card, in bytes. buildroot/genimage.cfg and buildroot/boot/boot.cmd have the same; a test compares them.
const (
	Sector    = mbr.SectorSize
	StateA    = 524288     // first copy of the state
	StateB    = 786432     // second copy
	BootStart = 4 << 20    // of partition 1
	Signature = 0x504c4d50 // of the disk
)

// Numbers of the partitions.
const (
	BootPartition = 1
	partA         = 2
	partB         = 3
	DataPartition = 4
)

// Attempts is how often the boot script starts a slot that is on trial before it falls back.
const Attempts = 1

// Slot is one of the two places of a system.
type Slot byte

// The slots, and none.
const (
	None Slot = 0
	A    Slot = 'a'
	B    Slot = 'b'
)

// parseSlot reads "a" or "b".
func parseSlot(s string) (Slot, error) {
	switch s {
	case "a":
		return A, nil
	case "b":
		return B, nil
	}
	return None, fmt.Errorf("slot %q: must be a or b", s)
}

// String is a, b or "" for none.
func (s Slot) String() string {
	if s == None {
		return ""
	}
	return string(rune(s))
}

// Other is the slot beside s.
func (s Slot) Other() Slot {
	switch s {
	case A:
		return B
	case B:
		return A
	}
	return None
}

// Partition is the slot's number in the partition table, from 1.
func (s Slot) Partition() int {
	if s == B {
		return partB
	}
	return partA
}

// Boot is what the boot script passes on the kernel's command line.
type Boot struct {
	Slot  Slot
	Trial bool // the slot has not been confirmed
	Board string
}

// ParseCommandLine finds parklamp.slot, parklamp.trial and parklamp.board; ErrNoSlot if another loader started the kernel. With
// an error the board counts all the same, and nothing is on trial: there would be no slot to confirm.
func ParseCommandLine(line string) (Boot, error) {
	var b Boot
	err := ErrNoSlot
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "parklamp.slot":
			if b.Slot, err = parseSlot(value); err != nil {
				err = fmt.Errorf("kernel command line: parklamp.slot: %w", err)
			}
		case "parklamp.trial":
			b.Trial = value == "1"
		case "parklamp.board":
			b.Board = value
		}
	}
	b.Trial = b.Trial && err == nil
	return b, err
}
