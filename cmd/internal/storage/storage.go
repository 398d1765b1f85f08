// Package storage mounts the boot and the data partition of the card that an appliance has started from (package slots
// finds it), makes the data partition as large as the card, replaces files so that they outlive power, and takes files for one user
// that were another's.
//
// Nothing here stops an appliance from starting: without a usable data partition the caller is told why and keeps what it
// must in memory. It formats nothing and starts no goroutine. Facts: ext4(5), ioctl EXT4_IOC_RESIZE_FS.
package storage

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// MountBoot mounts the boot partition for reading.
func MountBoot(device, at string) error { return mount(device, at, "vfat", unix.MS_RDONLY, "") }

// MountData mounts the data partition for reading and writing. After an error of the disk the kernel lets nobody write
// any more, rather than make it worse. Everything that matters is synced by its writer.
func MountData(device, at string) error {
	return mount(device, at, "ext4", unix.MS_NOATIME, "errors=remount-ro,commit=30")
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

// Move moves what is mounted at one path to another.
func Move(from, to string) error {
	err := os.MkdirAll(to, 0o755)
	if err == nil {
		err = unix.Mount(from, to, "", unix.MS_MOVE, "")
	}
	if err != nil {
		return fmt.Errorf("mount at %s: %w", to, err)
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
