package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/mbr"
)

func TestGrowth(t *testing.T) {
	const sector, end = mbr.SectorSize, (1<<32 - 1) * mbr.SectorSize / align * align
	three := [4]mbr.Partition{{Start: 8192 * sector, Size: 57344 * sector}, {Start: 65536 * sector, Size: 98304 * sector}, {Start: 163840 * sector, Size: 98304 * sector}}
	last := mbr.Partition{Start: 262144 * sector, Size: 65536 * sector}
	for name, c := range map[string]struct {
		last    mbr.Partition
		sectors int64
		want    int64 // size
		changed bool
		fails   bool
	}{
		"card of 32 GB":             {last, 62333952, 62333952*sector/align*align - last.Start, true, false},
		"as large as the disk":      {last, 327680, last.Size, false, false},
		"less than a step to gain":  {last, 327680 + 2047, last.Size, false, false},
		"smaller than the table":    {last, 300000, last.Size, false, false},
		"more than a table can say": {last, 1 << 34, end - last.Start, true, false},
		"none":                      {mbr.Partition{}, 1 << 20, 0, false, true},
		"not the last":              {mbr.Partition{Start: 100000 * sector, Size: 1000 * sector}, 1 << 20, 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			table := mbr.Table{Partitions: three}
			table.Partitions[3] = c.last
			first := make([]byte, sector)
			table.Put(first)
			grown, changed, err := growth(first, 4, c.sectors*sector)
			if (err != nil) != c.fails || changed != c.changed || err == nil && (grown.Size != c.want || grown.Start != c.last.Start) {
				t.Errorf("%+v, changed %t, %v", grown, changed, err)
			}
			if written, err := mbr.Parse(first); err != nil || changed && written.Partitions[3] != grown {
				t.Errorf("table says %+v, %v", written, err)
			}
		})
	}
	if _, _, err := growth(make([]byte, sector), 4, 1<<30); err == nil {
		t.Error("grows in a disk without a table")
	}
}

// The table is written by who can write one sector, and not through the kernel's memory, where a loss of power leaves more in doubt.
func TestGrowPartitionWritesOneSector(t *testing.T) {
	first := make([]byte, mbr.SectorSize)
	mbr.Table{Partitions: [4]mbr.Partition{{Start: 4 << 20, Size: 4 << 20}}}.Put(first)
	path := filepath.Join(t.TempDir(), "card.img")
	if err := errors.Join(os.WriteFile(path, first, 0o600), os.Truncate(path, 16<<20)); err != nil {
		t.Fatal(err)
	}
	writes := 0
	changed, err := GrowPartition(path, 1, func(sector []byte, at int64) error {
		table, err := mbr.Parse(sector)
		if writes++; err != nil || at != 0 || len(sector) != mbr.SectorSize || table.Partitions[0].Size != 12<<20 {
			t.Errorf("%d bytes at %d: %+v, %v", len(sector), at, table, err)
		}
		return nil
	})
	if !changed || !errors.Is(err, unix.ENOTTY) || writes != 1 { // an image file has no partitions of the kernel's
		t.Errorf("changed %t, %v, %d writes", changed, err, writes)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got[:mbr.SectorSize], first) {
		t.Errorf("written besides: %v", err)
	}
}
