package storage

import (
	"encoding/binary"
	"testing"
)

func table(parts ...[2]uint32) []byte {
	mbr := make([]byte, sectorSize)
	mbr[510], mbr[511] = 0x55, 0xaa
	for i, p := range parts {
		binary.LittleEndian.PutUint32(mbr[tableAt+i*entrySize+entryStart:], p[0])
		binary.LittleEndian.PutUint32(mbr[tableAt+i*entrySize+entryLength:], p[1])
	}
	return mbr
}

func TestGrowth(t *testing.T) {
	three := [][2]uint32{{8192, 57344}, {65536, 98304}, {163840, 98304}}
	for name, c := range map[string]struct {
		last    [2]uint32
		sectors uint64
		want    uint64 // length
		changed bool
		fails   bool
	}{
		"card of 32 GB":             {[2]uint32{262144, 65536}, 62333952, 62333952/align*align - 262144, true, false},
		"as large as the disk":      {[2]uint32{262144, 65536}, 327680, 65536, false, false},
		"less than a step to gain":  {[2]uint32{262144, 65536}, 327680 + 2047, 65536, false, false},
		"smaller than the table":    {[2]uint32{262144, 65536}, 300000, 65536, false, false},
		"more than a table can say": {[2]uint32{262144, 65536}, 1 << 34, (1<<32-1)/align*align - 262144, true, false},
		"none":                      {[2]uint32{0, 0}, 1 << 20, 0, false, true},
		"not the last":              {[2]uint32{100000, 1000}, 1 << 20, 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			mbr := table(append(three, c.last)...)
			start, length, changed, err := growth(mbr, 4, c.sectors)
			if (err != nil) != c.fails || changed != c.changed || err == nil && (length != c.want || start != uint64(c.last[0])) {
				t.Errorf("start %d, length %d, changed %t, %v", start, length, changed, err)
			}
			if written := binary.LittleEndian.Uint32(mbr[tableAt+3*entrySize+entryLength:]); changed && uint64(written) != length {
				t.Errorf("table says %d", written)
			}
		})
	}
	if _, _, _, err := growth(make([]byte, sectorSize), 4, 1<<20); err == nil {
		t.Error("grows in a disk without a table")
	}
}
