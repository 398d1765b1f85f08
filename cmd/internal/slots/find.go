package slots

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Find opens the card that this system was started from: the first disk, in the order of names, with a partition table of
// ours and a valid copy of the state, or at least our signature in its master boot record when both copies are lost.
// sys and dev are /sys and /dev. ErrNoCard lists what was looked at.
func Find(sys, dev string) (*Disk, error) {
	entries, err := os.ReadDir(filepath.Join(sys, "block"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoCard, err)
	}
	var seen []string
	var marked *Disk
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "zram") || strings.Contains(name, "boot") || strings.Contains(name, "rpmb") {
			continue // memory; the boot areas of an eMMC
		}
		// A device that the kernel calls a!b is /dev/a/b.
		d, err := Open(filepath.Join(dev, strings.ReplaceAll(name, "!", "/")))
		if err != nil {
			seen = append(seen, fmt.Sprintf("%s (%v)", name, err))
			continue
		}
		_, err = d.State()
		if err == nil {
			if marked != nil {
				marked.Close()
			}
			return d, nil
		}
		if marked == nil && d.signed {
			marked = d
			continue
		}
		seen = append(seen, fmt.Sprintf("%s (%v)", name, err))
		d.Close()
	}
	if marked != nil {
		return marked, nil
	}
	if len(seen) == 0 {
		return nil, fmt.Errorf("%w: the kernel knows no disk; is the card's driver in it?", ErrNoCard)
	}
	return nil, fmt.Errorf("%w: looked at %s", ErrNoCard, strings.Join(seen, ", "))
}

// PartitionPath is the device of partition n (from 1) of the disk: vda2, mmcblk0p2.
func (d *Disk) PartitionPath(n int) (string, error) {
	if d.Path == "" {
		return "", errors.New("the disk has no device")
	}
	sep := ""
	if last := d.Path[len(d.Path)-1]; last >= '0' && last <= '9' {
		sep = "p"
	}
	return fmt.Sprintf("%s%s%d", d.Path, sep, n), nil
}
