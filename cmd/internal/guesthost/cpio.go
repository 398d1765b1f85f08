package guesthost

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// File is a file of an initrd's segment.
type File struct {
	Data []byte
	Mode uint32 // permissions
}

// Segment packs files into an archive that the kernel unpacks before or after another one (kernel documentation,
// driver-api/early-userspace/buffer-format: newc, segments at multiples of 4 bytes). Folders are made as needed.
func Segment(files map[string]File) []byte {
	var b bytes.Buffer
	inode := 0
	entry := func(name string, mode uint32, data []byte) {
		inode++
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
		b.WriteString(name)
		b.WriteByte(0)
		pad(&b)
		b.Write(data)
		pad(&b)
	}
	const folder, regular = 0o040000, 0o100000
	made := map[string]bool{".": true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		parts := strings.Split(path.Dir(name), "/")
		for i := range parts {
			if dir := strings.Join(parts[:i+1], "/"); !made[dir] {
				made[dir] = true
				entry(dir, folder|0o755, nil)
			}
		}
		f := files[name]
		entry(name, regular|f.Mode, f.Data)
	}
	entry("TRAILER!!!", 0, nil)
	return b.Bytes()
}

// pad fills up to a multiple of 4 bytes.
func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
