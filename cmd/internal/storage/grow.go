package storage

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/mbr"
)

// align is what erase blocks of cards are multiples of.
const align = 1 << 20

// growth makes partition n (from 1) of the table in sector go to the end of a disk of size bytes. The partition must be
// the last of the disk. changed is false if there is nothing to gain.
func growth(sector []byte, n int, size int64) (grown mbr.Partition, changed bool, err error) {
	table, err := mbr.Parse(sector)
	if err != nil {
		return grown, false, err
	}
	p := &table.Partitions[n-1]
	if p.Start == 0 || p.Size == 0 {
		return grown, false, fmt.Errorf("no partition %d", n)
	}
	for i, other := range table.Partitions {
		if other.Start > p.Start {
			return grown, false, fmt.Errorf("partition %d lies behind partition %d, which cannot grow", i+1, n)
		}
	}
	end := min(size, (1<<32-1)*mbr.SectorSize) / align * align
	if end < p.Start+p.Size+align {
		return *p, false, nil
	}
	p.Size = end - p.Start
	table.Put(sector)
	return *p, true, nil
}

// GrowPartition makes partition n go to the end of its disk: in the table, and for the kernel at once. It says whether anything has
// changed. write writes the one sector of the table and, where the disk can, nothing beside it: a loss of power leaves the table
// before it or this one.
func GrowPartition(disk string, n int, write func(sector []byte, at int64) error) (bool, error) {
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	sector := make([]byte, mbr.SectorSize)
	if _, err := f.ReadAt(sector, 0); err != nil {
		return false, fmt.Errorf("partition table of %s: %w", disk, err)
	}
	grown, changed, err := growth(sector, n, size)
	if err != nil || !changed {
		return false, err
	}
	if err := write(sector, 0); err != nil {
		return false, fmt.Errorf("partition table of %s: %w", disk, err)
	}
	if err := f.Sync(); err != nil {
		return false, fmt.Errorf("partition table of %s: %w", disk, err)
	}
	return true, tellKernel(f, n, grown.Start, grown.Size)
}

// BLKPG of linux/blkpg.h: the kernel's idea of a partition in use is changed.
const (
	blkpg                = 0x1269
	blkpgResizePartition = 3
)

type blkpgIoctlArg struct {
	op, flags, datalen int32
	data               unsafe.Pointer
}

type blkpgPartition struct {
	start, length    int64 // bytes
	number           int32
	devName, volName [64]byte
	_                [4]byte
}

func tellKernel(disk *os.File, n int, start, length int64) error {
	p := blkpgPartition{start: start, length: length, number: int32(n)}
	arg := blkpgIoctlArg{op: blkpgResizePartition, datalen: int32(unsafe.Sizeof(p)), data: unsafe.Pointer(&p)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), blkpg, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return fmt.Errorf("size of partition %d: %w", n, errno)
	}
	return nil
}

// ext4ResizeFS is EXT4_IOC_RESIZE_FS of linux/fs/ext4/ext4.h: _IOW('f', 16, __u64), blocks.
const ext4ResizeFS = 0x40086610

// GrowFileSystem makes the mounted ext4 file system at a path as large as its partition. The kernel does it while files
// are open.
func GrowFileSystem(at string, partition uint64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(at, &s); err != nil {
		return err
	}
	blocks := partition / uint64(s.Bsize)
	if blocks <= s.Blocks+s.Blocks/8+4096 { // what statfs counts lacks the file system's own tables
		return nil
	}
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ext4ResizeFS, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return fmt.Errorf("grow the file system at %s to %d blocks: %w", at, blocks, errno)
	}
	return nil
}
