package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sectorSize is the unit of /sys/class/block/*/size, whatever the disk's own sectors are.
const sectorSize = 512

// largeDisk is more than any card of an appliance: what is larger is somebody's disk. Bytes.
const largeDisk = 256 << 30

// machine is where the facts about disks come from: the folder that holds sys, proc and dev.
type machine struct{ root string }

// partition is one partition of a disk.
type partition struct {
	name  string
	size  int64
	label string // of its file system; empty: none known
}

// disk is what is to be overwritten.
type disk struct {
	path, name string
	size       int64  // bytes; of a file that is not there yet: 0
	real       string // path without links, one for each disk or file
	number     string // major:minor; empty: of a file
	model      string
	file       bool // a plain file, no disk
	partition  bool // a part of another disk
	external   bool // can be taken out: a card, a USB stick
	parts      []partition
	users      []string // who uses it or a part of it: mount points, swap, other devices
}

// look finds out what a path is.
func (m machine) look(path string) (disk, error) {
	abs, err := m.absolute(path)
	if err != nil {
		return disk{}, err
	}
	info, err := os.Stat(m.at(abs))
	if !strings.HasPrefix(abs, "/dev/") && (errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular()) {
		return m.plain(path, abs)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return disk{}, fmt.Errorf("%w: lsblk lists the disks that there are", err)
	}
	if err != nil {
		return disk{}, err
	}
	// A link such as /dev/disk/by-id/NAME leads to the disk.
	real, err := filepath.EvalSymlinks(m.at(abs))
	if err != nil {
		return disk{}, err
	}
	d, err := m.block(filepath.Base(real))
	d.path = path
	return d, err
}

// absolute resolves the links of a path's folder before it takes out "..": behind a link, that is not the folder which names
// the link.
func (m machine) absolute(path string) (string, error) {
	if !filepath.IsAbs(path) {
		wd, err := os.Getwd()
		if err != nil {
			return "", err
		}
		path = wd + "/" + path
	}
	folder, name := filepath.Split(path)
	dir, err := filepath.EvalSymlinks(m.root + folder)
	if err != nil {
		return filepath.Clean(path), nil // a folder that is not there has no links
	}
	top, err := filepath.EvalSymlinks(m.root)
	if err != nil {
		return "", err
	}
	return filepath.Join("/", strings.TrimPrefix(dir, top), name), nil
}

func (m machine) at(path string) string { return filepath.Join(m.root, path) }

// block reads what the kernel tells of a block device.
func (m machine) block(name string) (disk, error) {
	dir, err := filepath.EvalSymlinks(m.at("/sys/class/block/" + name))
	if err != nil {
		return disk{}, fmt.Errorf("%s is neither a file nor a disk: allowed are a whole disk, such as /dev/sdb or /dev/mmcblk0, and a file, such as card.img", name)
	}
	d := disk{path: "/dev/" + name, real: m.at("/dev/" + name), name: name, number: m.text(dir, "dev"), model: m.model(dir)}
	sectors, err := strconv.ParseInt(m.text(dir, "size"), 10, 64)
	if err != nil {
		return disk{}, fmt.Errorf("size of %s: %w", name, err)
	}
	d.size = sectors * sectorSize
	_, err = os.Stat(filepath.Join(dir, "partition"))
	d.partition = err == nil
	// The slot of a card reader says that it is not removable: its card is. USB disks say so too, or not.
	d.external = m.text(dir, "removable") == "1" || strings.Contains(dir, "/usb") || m.text(dir, "device/type") == "SD"
	devs := map[string]string{d.number: name}
	folders := []string{dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return disk{}, err
	}
	for _, e := range entries {
		part := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(part, "partition")); err != nil {
			continue
		}
		sectors, _ := strconv.ParseInt(m.text(part, "size"), 10, 64) // for people alone
		d.parts = append(d.parts, partition{e.Name(), sectors * sectorSize, fileSystem(m.at("/dev/" + e.Name()))})
		devs[m.text(part, "dev")] = e.Name()
		folders = append(folders, part)
	}
	d.users, err = m.users(devs, folders)
	return d, err
}

func (m machine) model(dir string) string {
	words := strings.Fields(m.text(dir, "device/vendor") + " " + m.text(dir, "device/model") + " " + m.text(dir, "device/name"))
	return strings.Join(words, " ")
}

// text is the content of a small file, empty if there is none.
func (m machine) text(dir, name string) string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// users are the mount points, swap areas and devices on top that use one of the devices. devs has the name of each by
// major:minor.
func (m machine) users(devs map[string]string, folders []string) ([]string, error) {
	var out []string
	mounts, err := os.ReadFile(m.at("/proc/self/mountinfo"))
	if err != nil {
		return nil, err // who cannot be asked may be using it
	}
	names := make([]string, 0, len(devs))
	for _, name := range devs {
		names = append(names, "/dev/"+name)
	}
	for line := range strings.Lines(string(mounts)) {
		// proc(5): ID, parent, major:minor, root, mount point, options, ... - type, source, options
		before, after, _ := strings.Cut(line, " - ")
		fields, source := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 {
			continue
		}
		// Some file systems (btrfs) have a major:minor of their own and tell the device by name alone.
		if devs[fields[2]] != "" || len(source) > 1 && slices.Contains(names, source[1]) {
			out = append(out, "mounted on "+fields[4])
		}
	}
	swaps, err := os.ReadFile(m.at("/proc/swaps"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(swaps)) {
		if f := strings.Fields(line); len(f) > 0 && slices.Contains(names, f[0]) {
			out = append(out, "swap space "+f[0])
		}
	}
	for _, dir := range folders {
		holders, _ := os.ReadDir(filepath.Join(dir, "holders")) // a kernel without them has none
		for _, h := range holders {
			out = append(out, fmt.Sprintf("part of %s (RAID, LVM or encryption)", h.Name()))
		}
	}
	return out, nil
}

// fileSystem says what a partition holds: kind and label, as far as it is known and can be read.
func fileSystem(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 2048)
	if _, err := f.ReadAt(head, 0); err != nil {
		return ""
	}
	label := func(b []byte) string {
		b, _, _ = bytes.Cut(b, []byte{0})
		return strings.TrimSpace(strings.ToValidUTF8(string(b), "?"))
	}
	switch {
	case binary.LittleEndian.Uint16(head[0x438:]) == 0xef53: // ext2 to ext4: s_magic, s_volume_name
		return strings.TrimSpace("ext4 " + label(head[0x478:0x488]))
	case bytes.Equal(head[3:11], []byte("NTFS    ")):
		return "NTFS"
	case bytes.Equal(head[3:11], []byte("EXFAT   ")):
		return "exFAT"
	case bytes.Equal(head[0x52:0x57], []byte("FAT32")): // BS_VolLab
		return strings.TrimSpace("FAT " + label(head[0x47:0x52]))
	case bytes.Equal(head[0x36:0x39], []byte("FAT")):
		return strings.TrimSpace("FAT " + label(head[0x2b:0x36]))
	}
	return ""
}

// allowance is what the technician has said may be.
type allowance struct{ internal, large bool }

// refuse says why a disk must not be overwritten with an image of so many bytes; all reasons at once.
func (d disk) refuse(need int64, a allowance) error {
	var errs []error
	no := func(format string, args ...any) { errs = append(errs, fmt.Errorf(d.path+" "+format, args...)) }
	if d.partition {
		no("is a partition: name the whole disk")
	}
	for _, u := range d.users {
		no("is in use: %s. Nothing may use it: umount it first, if it is the card", u)
	}
	if !d.external && !a.internal {
		no("is built into this machine; if it is the card all the same, say so: ALLOW=internal")
	}
	if d.size > largeDisk && !a.large {
		no("has %s, more than a card has; if it is the card all the same, say so: ALLOW=large", bytesText(d.size))
	}
	if d.size < need {
		no("has %s, the image needs %s", bytesText(d.size), bytesText(need))
	}
	return errors.Join(errs...)
}

// describe shows what will be erased.
func (d disk) describe() string {
	var b strings.Builder
	if d.file {
		fmt.Fprintf(&b, "  file %s\n", d.path)
		return b.String()
	}
	model := d.model
	if model == "" {
		model = "unknown model"
	}
	fmt.Fprintf(&b, "  %s  %s  %s\n", d.path, bytesText(d.size), model)
	for _, p := range d.parts {
		holds := p.label
		if holds == "" {
			holds = "nothing known"
		}
		fmt.Fprintf(&b, "    %s  %s  %s\n", p.name, bytesText(p.size), holds)
	}
	if len(d.parts) == 0 {
		b.WriteString("    no partitions\n")
	}
	return b.String()
}

// bytesText is a size as it is printed on cards: powers of ten.
func bytesText(n int64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.1f TB", float64(n)/1e12)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
