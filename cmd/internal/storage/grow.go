package storage

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Places in a master boot record, in bytes.
const (
	sectorSize  = 512
	tableAt     = 446
	entrySize   = 16
	entryStart  = 8  // within an entry, 32 bits, sectors
	entryLength = 12 // 32 bits, sectors
	bootMarkAt  = 510
	align       = 2048 // sectors: erase blocks of cards are multiples of 1 MiB
)

// growth computes the master boot record in which partition n (from 1) goes to the end of a disk of so many sectors. The
// partition must be the last of the disk. changed is false if there is nothing to gain.
func growth(mbr []byte, n int, sectors uint64) (start, length uint64, changed bool, err error) {
	if len(mbr) < sectorSize || mbr[bootMarkAt] != 0x55 || mbr[bootMarkAt+1] != 0xaa {
		return 0, 0, false, fmt.Errorf("storage: no master boot record")
	}
	entry := func(i int) (start, length uint64) {
		e := mbr[tableAt+(i-1)*entrySize:]
		return uint64(binary.LittleEndian.Uint32(e[entryStart:])), uint64(binary.LittleEndian.Uint32(e[entryLength:]))
	}
	start, length = entry(n)
	if start == 0 || length == 0 {
		return 0, 0, false, fmt.Errorf("storage: no partition %d", n)
	}
	for i := 1; i <= 4; i++ {
		if other, _ := entry(i); i != n && other > start {
			return 0, 0, false, fmt.Errorf("storage: partition %d lies behind partition %d, which cannot grow", i, n)
		}
	}
	end := min(sectors, 1<<32-1) / align * align
	if end < start+length+align {
		return start, length, false, nil
	}
	length = end - start
	binary.LittleEndian.PutUint32(mbr[tableAt+(n-1)*entrySize+entryLength:], uint32(length))
	return start, length, true, nil
}

// GrowPartition makes partition n go to the end of its disk: in the table, which is written as one sector, and for the
// kernel at once. It says whether anything has changed.
func GrowPartition(disk string, n int) (bool, error) {
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	mbr := make([]byte, sectorSize)
	if _, err := f.ReadAt(mbr, 0); err != nil {
		return false, fmt.Errorf("partition table of %s: %w", disk, err)
	}
	start, length, changed, err := growth(mbr, n, uint64(size)/sectorSize)
	if err != nil || !changed {
		return false, err
	}
	if _, err := f.WriteAt(mbr, 0); err != nil {
		return false, fmt.Errorf("partition table of %s: %w", disk, err)
	}
	if err := f.Sync(); err != nil {
		return false, fmt.Errorf("partition table of %s: %w", disk, err)
	}
	return true, tellKernel(f, n, int64(start)*sectorSize, int64(length)*sectorSize)
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
