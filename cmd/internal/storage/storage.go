// Package storage finds the card that an appliance has started from, mounts its boot and data partitions, and makes the
// data partition as large as the card. The card is found by what is on it, never by the name of a device: a USB stick may
// be first.
//
// Nothing here stops an appliance from starting: without a usable data partition the caller is told why and keeps what it
// must in memory. It formats nothing and starts no goroutine. Facts: ext4(5) superblock, ioctl EXT4_IOC_RESIZE_FS.
package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Partitions of the card by number.
const (
	BootPartition = 1
	DataPartition = 4
)

// DataLabel is the label of the file system on the data partition.
const DataLabel = "data"

// ErrNoCard says that there is no disk with a boot and a data partition of ours.
var ErrNoCard = errors.New("storage: no card found")

// Partition is one partition of a disk, as the kernel knows it.
type Partition struct {
	Device string // /dev/mmcblk0p4
	Disk   string // /dev/mmcblk0
	Number int
	Size   uint64 // bytes
}

// sysBlock is the folder of block devices; tests have their own.
const sysBlock = "/sys/class/block"

// Partitions reads what the kernel knows.
func Partitions(sys, dev string) []Partition {
	all, err := os.ReadDir(sys)
	if err != nil {
		return nil
	}
	var out []Partition
	for _, e := range all {
		folder := filepath.Join(sys, e.Name())
		n, err := number(filepath.Join(folder, "partition"))
		if err != nil {
			continue
		}
		target, err := filepath.EvalSymlinks(folder)
		if err != nil {
			continue
		}
		sectors, _ := number(filepath.Join(folder, "size"))
		out = append(out, Partition{Device: filepath.Join(dev, e.Name()), Disk: filepath.Join(dev, filepath.Base(filepath.Dir(target))),
			Number: int(n), Size: uint64(sectors) * 512})
	}
	slices.SortFunc(out, func(x, y Partition) int { return strings.Compare(x.Device, y.Device) })
	return out
}

func number(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// Card is the boot and the data partition of one disk.
type Card struct {
	Boot, Data Partition // without a Device: missing
}

// Find picks the card. isOurs says whether a disk carries our mark outside the partitions (package slots); a disk whose
// data partition has the label does as well.
func Find(all []Partition, isOurs func(disk string) bool) (Card, error) {
	byDisk := map[string][]Partition{}
	var disks []string
	for _, p := range all {
		if byDisk[p.Disk] == nil {
			disks = append(disks, p.Disk)
		}
		byDisk[p.Disk] = append(byDisk[p.Disk], p)
	}
	best, bestMarks := Card{}, 0
	for _, d := range disks {
		var c Card
		marks := 0
		if isOurs != nil && isOurs(d) {
			marks += 2
		}
		for _, p := range byDisk[d] {
			switch p.Number {
			case BootPartition:
				c.Boot = p
			case DataPartition:
				c.Data = p
				if label, err := Label(p.Device); err == nil && label == DataLabel {
					marks++
				}
			}
		}
		if marks > bestMarks {
			best, bestMarks = c, marks
		}
	}
	if bestMarks == 0 {
		return Card{}, ErrNoCard
	}
	return best, nil
}

const (
	superblockAt = 1024   // bytes from the start of the file system
	magicAt      = 0x38   // 16 bits
	magic        = 0xef53 //
	labelAt      = 0x78   // 16 bytes
)

// ErrNotExt4 says that there is no ext2, 3 or 4 file system.
var ErrNotExt4 = errors.New("storage: no ext4 file system")

// Label reads the label of an ext4 file system.
func Label(device string) (string, error) {
	f, err := os.Open(device)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, 256)
	if _, err := f.ReadAt(b, superblockAt); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("superblock of %s: %w", device, err)
	}
	if binary.LittleEndian.Uint16(b[magicAt:]) != magic {
		return "", fmt.Errorf("%s: %w", device, ErrNotExt4)
	}
	return strings.TrimRight(string(b[labelAt:labelAt+16]), "\x00"), nil
}

// MountBoot mounts the boot partition for reading.
func MountBoot(p Partition, at string) error { return mount(p.Device, at, "vfat", unix.MS_RDONLY, "") }

// MountData mounts the data partition for reading and writing. After an error of the disk the kernel lets nobody write
// any more, rather than make it worse. Everything that matters is synced by its writer.
func MountData(p Partition, at string) error {
	return mount(p.Device, at, "ext4", unix.MS_NOATIME, "errors=remount-ro,commit=30")
}

func mount(device, at, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, at, kind, flags|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, data); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return nil
}

// MountMemory mounts a file system in memory of at most so many bytes.
func MountMemory(at string, size int) error {
	return mount("tmpfs", at, "tmpfs", 0, fmt.Sprintf("mode=755,size=%d", size))
}

// Space is the size of the file system at a path and what an ordinary program may still write, in bytes.
func Space(at string) (size, free uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(at, &s); err != nil {
		return 0, 0, fmt.Errorf("space at %s: %w", at, err)
	}
	return s.Blocks * uint64(s.Bsize), s.Bavail * uint64(s.Bsize), nil
}
