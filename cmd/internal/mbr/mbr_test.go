package mbr

import (
	"bytes"
	"errors"
	"testing"
)

func TestTable(t *testing.T) {
	want := Table{Signature: 0x504c4d50, Partitions: [4]Partition{
		{Status: Active, Type: 0xe, Start: 4 << 20, Size: 28 << 20}, {Type: 0xe, Start: 32 << 20, Size: 48 << 20}, {},
		{Type: 0x83, Start: (1<<32 - 2) * SectorSize, Size: (1<<32 - 1) * SectorSize}}}
	sector := bytes.Repeat([]byte{0xee}, SectorSize)
	if _, err := Parse(sector); !errors.Is(err, ErrNone) {
		t.Errorf("no mark: %v", err)
	}
	want.Put(sector)
	if got, err := Parse(sector); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if !bytes.Equal(sector[:signatureAt], bytes.Repeat([]byte{0xee}, signatureAt)) || sector[tableAt+1] != 0xee {
		t.Error("boot code or cylinders were written")
	}
	if _, err := Parse(sector[:SectorSize-1]); !errors.Is(err, ErrNone) {
		t.Errorf("short sector: %v", err)
	}
}
