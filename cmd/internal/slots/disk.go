package slots

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/mbr"
)

// Device is a card: a block device, an image file, or a model of one. Sync returns when what was written would outlast a
// loss of power.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

var _ Device = (*os.File)(nil)

// Extent is a partition's place on the card, in bytes.
type Extent struct{ Start, Size int64 }

// Disk is a card with its partition table. Make it with NewDisk, Open or Find.
type Disk struct {
	Device
	Path   string // of the device; "" if it is not a file
	parts  [4]Extent
	signed bool // the table has the signature of our images
}

// NewDisk reads the partition table of dev; ErrLayout if it is not one of ours.
func NewDisk(dev Device) (*Disk, error) {
	sector := make([]byte, Sector)
	if _, err := dev.ReadAt(sector, 0); err != nil {
		return nil, fmt.Errorf("read the partition table: %w", err)
	}
	table, err := mbr.Parse(sector)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLayout, err)
	}
	d := &Disk{Device: dev, signed: table.Signature == Signature}
	end := int64(0)
	for i := range d.parts {
		p := Extent{Start: table.Partitions[i].Start, Size: table.Partitions[i].Size}
		if p.Size == 0 || p.Start < end || i+1 == BootPartition && p.Start != BootStart {
			return nil, fmt.Errorf("%w: partition %d begins at byte %d with %d bytes; boot, slots and data must follow each other from byte %d",
				ErrLayout, i+1, p.Start, p.Size, BootStart)
		}
		d.parts[i], end = p, p.Start+p.Size
	}
	if a, b := d.Slot(A), d.Slot(B); a.Size != b.Size {
		return nil, fmt.Errorf("%w: slot a has %d bytes and slot b %d", ErrLayout, a.Size, b.Size)
	}
	return d, nil
}

// Open opens a card for reading and writing.
func Open(path string) (*Disk, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	d, err := NewDisk(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d.Path = path
	return d, nil
}

// Close closes the device if it can be closed.
func (d *Disk) Close() error {
	if c, ok := d.Device.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Slot is where a system lies.
func (d *Disk) Slot(s Slot) Extent { return d.parts[s.Partition()-1] }

// Boot is the place of partition 1, Data that of partition 4.
func (d *Disk) Boot() Extent { return d.parts[BootPartition-1] }

// Data is the place of partition 4 as the table has it; its end may be moved by whoever grows it.
func (d *Disk) Data() Extent { return d.parts[DataPartition-1] }

// WriteSector writes one sector at a multiple of its size. Where the device can, nothing beside it is written: through its memory
// the kernel writes pages of 4 KiB, all of which would be in doubt when power is lost before the Sync.
func (d *Disk) WriteSector(p []byte, at int64) error {
	if len(p) != Sector || at%Sector != 0 {
		return fmt.Errorf("write %d bytes at byte %d: must be a sector of %d", len(p), at, Sector)
	}
	if d.Path != "" {
		// EINVAL: larger sectors, or an image file on a file system that always goes through memory.
		if err := d.writeDirect(p, at); !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	_, err := d.WriteAt(p, at)
	return err
}

// writeDirect writes past the kernel's memory, which then reads the place anew (open(2), O_DIRECT: place, length and memory are
// aligned to the device's sectors). EINVAL: the device cannot.
func (d *Disk) writeDirect(p []byte, at int64) error {
	f, err := os.OpenFile(d.Path, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.WriteAt(page[:copy(page, p)], at)
	return errors.Join(err, unix.Munmap(page), f.Close())
}

// copies reads both copies of the state; an error in place of one that is not valid.
func (d *Disk) copies() (states [2]State, errs [2]error) {
	for i, at := range [2]int64{StateA, StateB} {
		sector := make([]byte, Sector)
		if _, err := d.ReadAt(sector, at); err != nil {
			errs[i] = fmt.Errorf("read the state at byte %d: %w", at, err)
			continue
		}
		states[i], errs[i] = ParseState(sector)
	}
	return states, errs
}

// newest returns the index of the copy that counts; -1 if none is valid.
func newest(states [2]State, errs [2]error) int {
	switch {
	case errs[0] == nil && (errs[1] != nil || !states[0].Older(states[1])):
		return 0
	case errs[1] == nil:
		return 1
	}
	return -1
}

// State reads the state that counts; ErrState if both copies are lost, with the reasons.
func (d *Disk) State() (State, error) {
	states, errs := d.copies()
	if i := newest(states, errs); i >= 0 {
		return states[i], nil
	}
	return State{}, fmt.Errorf("%w: first copy: %w; second copy: %w", ErrState, errs[0], errs[1])
}

// Store makes s the state, with a number of its own, in both copies: over the one that does not count first, and over the
// other one only when that has outlasted everything. An error leaves either the old state or s.
func (d *Disk) Store(s State) error {
	states, errs := d.copies()
	now := newest(states, errs)
	s.Seq = 1
	if now >= 0 {
		s.Seq = states[now].Seq + 1
	}
	sector, err := s.Sector()
	if err != nil {
		return err
	}
	places := [2]int64{StateA, StateB}
	if now == 0 {
		places = [2]int64{StateB, StateA}
	}
	for _, at := range places {
		if _, err := d.WriteAt(sector, at); err != nil {
			return fmt.Errorf("write the state at byte %d: %w", at, err)
		}
		if err := d.Sync(); err != nil {
			return fmt.Errorf("write the state at byte %d: %w", at, err)
		}
	}
	if got, err := d.State(); err != nil || got != s {
		return fmt.Errorf("the card has not kept the state (%+v, %w): it is worn out or write-protected; put in another card", got, errors.Join(err, ErrState))
	}
	return nil
}

// Forget makes the next reads come from the card and not from the kernel's memory, after a Sync.
func (d *Disk) Forget() {
	if f, ok := d.Device.(*os.File); ok {
		// A kernel that refuses leaves what it has in memory: reads are right, only less telling.
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
}
