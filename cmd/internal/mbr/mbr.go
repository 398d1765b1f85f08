// Package mbr reads and writes the partition table of a card: the classic one of four partitions in the first sector. It knows no
// layout (package slots has ours), does not touch boot code or the cylinder numbers that nobody reads, and does no I/O. No goroutines.
package mbr

import (
	"encoding/binary"
	"errors"
)

// SectorSize is the unit of the table, whatever the card's own sectors are.
const SectorSize = 512

// Active is the status of the partition that is booted.
const Active = 0x80

// ErrNone: the sector has no partition table.
var ErrNone = errors.New("no partition table")

// Places in the sector and in an entry of the table.
const (
	signatureAt = 440
	tableAt     = 446
	entrySize   = 16
	typeAt      = 4
	startAt     = 8
	lengthAt    = 12
	markAt      = 510
)

// Partition is an entry. All is zero where there is none.
type Partition struct {
	Status, Type byte
	Start, Size  int64 // bytes, multiples of SectorSize
}

// Table is what the sector says.
type Table struct {
	Signature  uint32 // of the disk
	Partitions [4]Partition
}

// Parse reads the table in a card's first sector; ErrNone if it has none.
func Parse(sector []byte) (Table, error) {
	var t Table
	if len(sector) < SectorSize || sector[markAt] != 0x55 || sector[markAt+1] != 0xaa {
		return t, ErrNone
	}
	t.Signature = binary.LittleEndian.Uint32(sector[signatureAt:])
	for i := range t.Partitions {
		e := sector[tableAt+i*entrySize:]
		t.Partitions[i] = Partition{Status: e[0], Type: e[typeAt],
			Start: int64(binary.LittleEndian.Uint32(e[startAt:])) * SectorSize, Size: int64(binary.LittleEndian.Uint32(e[lengthAt:])) * SectorSize}
	}
	return t, nil
}

// Put writes the table into a card's first sector and leaves all else in it. Start and Size must fit 32 bits of sectors.
func (t Table) Put(sector []byte) {
	binary.LittleEndian.PutUint32(sector[signatureAt:], t.Signature)
	for i, p := range t.Partitions {
		e := sector[tableAt+i*entrySize:]
		e[0], e[typeAt] = p.Status, p.Type
		binary.LittleEndian.PutUint32(e[startAt:], uint32(p.Start/SectorSize))
		binary.LittleEndian.PutUint32(e[lengthAt:], uint32(p.Size/SectorSize))
	}
	sector[markAt], sector[markAt+1] = 0x55, 0xaa
}
