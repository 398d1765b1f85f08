package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeDisk describes a disk of a machine that is not there.
type fakeDisk struct {
	bus     string // folder below sys/devices
	facts   map[string]string
	sectors string
	parts   []string
}

// newMachine lays out sys, proc and dev of a machine with a built-in disk, a card reader on USB and an SD slot.
func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{t.TempDir()}
	m.put(t, "proc/self/mountinfo", "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n"+
		"40 22 8:17 / /media/me/boot rw - vfat /dev/sdb1 rw\n41 22 0:40 / /srv rw - btrfs /dev/sdd rw\n")
	m.put(t, "proc/swaps", "Filename Type Size Used Priority\n/dev/sda3 partition 1000 0 -2\n")
	for name, d := range map[string]fakeDisk{
		"sda":     {"pci0/ata1", map[string]string{"device/model": "WDC WD10  ", "dev": "8:0"}, "1953525168", []string{"sda1", "sda2", "sda3"}},
		"sdb":     {"pci0/usb1/host4", map[string]string{"removable": "1", "device/vendor": "Generic ", "device/model": "Card Reader", "dev": "8:16"}, "31116288", []string{"sdb1", "sdb2"}},
		"sdc":     {"pci0/usb1/host5", map[string]string{"removable": "0", "device/model": "USB disk", "dev": "8:32"}, "3907029168", nil},
		"sdd":     {"pci0/usb1/host6", map[string]string{"dev": "8:48"}, "31116288", nil},
		"mmcblk0": {"platform/mmc0", map[string]string{"removable": "0", "device/type": "SD", "device/name": "SC16G", "dev": "179:0"}, "31116288", []string{"mmcblk0p1"}},
		"mmcblk1": {"platform/mmc1", map[string]string{"removable": "0", "device/type": "MMC", "dev": "179:32"}, "31116288", nil},
		"sde":     {"pci0/usb1/host7", map[string]string{"removable": "1", "dev": "8:64"}, "0", nil},
		"sdf":     {"pci0/usb1/host8", map[string]string{"removable": "1", "dev": "8:80"}, "31116288", []string{"sdf1"}},
	} {
		m.add(t, name, d)
	}
	m.put(t, "sys/devices/pci0/usb1/host8/block/sdf/sdf1/holders/dm-0/x", "")
	return m
}

func (m machine) put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.at(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.at(path), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m machine) add(t *testing.T, name string, d fakeDisk) {
	t.Helper()
	dir := "sys/devices/" + d.bus + "/block/" + name
	m.put(t, dir+"/size", d.sectors+"\n")
	m.put(t, "dev/"+name, "")
	for fact, text := range d.facts {
		m.put(t, dir+"/"+fact, text+"\n")
	}
	m.link(t, dir, name)
	base := strings.TrimSuffix(d.facts["dev"], "0")
	if major, minor, _ := strings.Cut(d.facts["dev"], ":"); minor == "16" {
		base = major + ":1"
	}
	for i, p := range d.parts {
		m.put(t, dir+"/"+p+"/partition", "1\n")
		m.put(t, dir+"/"+p+"/size", "2048\n")
		number := base + string(rune('1'+i))
		if strings.HasSuffix(base, ":1") {
			number = base + string(rune('7'+i))
		}
		m.put(t, dir+"/"+p+"/dev", number+"\n")
		m.put(t, "dev/"+p, "")
		m.link(t, dir+"/"+p, p)
	}
}

func (m machine) link(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.MkdirAll(m.at("sys/class/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(m.at(dir), m.at("sys/class/block/"+name)); err != nil {
		t.Fatal(err)
	}
}

func TestRefuse(t *testing.T) {
	m := newMachine(t)
	const need = 160 << 20
	for _, c := range []struct {
		path  string
		allow allowance
		want  []string // nothing: may be written
	}{
		{path: "/dev/mmcblk0"},
		{path: "/dev/sda", want: []string{"in use: mounted on /.", "in use: swap space /dev/sda3", "is built into this machine", "ALLOW=internal", "1.0 TB, more than a card has"}},
		{path: "/dev/sda", allow: allowance{true, true}, want: []string{"in use: mounted on /."}},
		{path: "/dev/sda1", want: []string{"is a partition: name the whole disk"}},
		{path: "/dev/sdb", want: []string{"mounted on /media/me/boot"}},
		{path: "/dev/sdb1", want: []string{"is a partition", "mounted on /media/me/boot"}},
		{path: "/dev/sdc", want: []string{"2.0 TB, more than a card has"}},
		{path: "/dev/sdc", allow: allowance{large: true}},
		{path: "/dev/sdd", want: []string{"mounted on /srv"}}, // by name: btrfs
		{path: "/dev/mmcblk1", want: []string{"is built into this machine"}},
		{path: "/dev/mmcblk1", allow: allowance{internal: true}},
		{path: "/dev/sde", want: []string{"has 0.0 MB, the image needs 167.8 MB"}},
		{path: "/dev/sdf", want: []string{"part of dm-0"}},
	} {
		d, err := m.look(c.path)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		err = d.refuse(need, c.allow)
		if (err == nil) != (len(c.want) == 0) {
			t.Errorf("%s %+v: %v, want %v", c.path, c.allow, err, c.want)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\nlacks %s", c.path, err, want)
			}
		}
	}
	for _, path := range []string{"/dev/sdz", "/dev/null"} {
		m.put(t, "dev/null", "")
		if _, err := m.look(path); err == nil {
			t.Errorf("%s: a disk", path)
		}
	}
}

// What is about to be lost is shown.
func TestDescribe(t *testing.T) {
	m := newMachine(t)
	head := make([]byte, 4096)
	copy(head[0x36:], "FAT16   ")
	copy(head[0x2b:], "HOLIDAYS   ")
	m.put(t, "dev/sdb1", string(head))
	clear(head)
	head[0x438], head[0x439] = 0x53, 0xef
	copy(head[0x478:], "data\x00")
	m.put(t, "dev/sdb2", string(head))
	d, err := m.look("/dev/sdb")
	if err != nil {
		t.Fatal(err)
	}
	want := "  /dev/sdb  15.9 GB  Generic Card Reader\n    sdb1  1.0 MB  FAT HOLIDAYS\n    sdb2  1.0 MB  ext4 data\n"
	if got := d.describe(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A link to a disk is the disk.
func TestLinkToDisk(t *testing.T) {
	m := newMachine(t)
	if err := os.Symlink(m.at("dev/sda"), m.at("dev/card")); err != nil {
		t.Fatal(err)
	}
	d, err := m.look("/dev/card")
	if err != nil || d.name != "sda" || d.refuse(1, allowance{}) == nil {
		t.Errorf("%+v %v", d, err)
	}
}

// What is written is what was checked, also where ".." follows a link.
func TestParentOfLink(t *testing.T) {
	dir := t.TempDir()
	m := machine{"/"}
	m.put(t, dir+"/a/b/x", "")
	m.put(t, dir+"/a/precious.img", "precious")
	if err := os.Symlink("a/b", dir+"/l"); err != nil {
		t.Fatal(err)
	}
	d, err := m.look(dir + "/l/../precious.img")
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.Stat(dir + "/a/precious.img")
	if err != nil {
		t.Fatal(err)
	}
	looked, err := os.Stat(d.real)
	if err != nil || !os.SameFile(there, looked) {
		t.Errorf("looked at %s (%v), want a/precious.img", d.real, err)
	}
	image, err := os.Open(dir + "/a/b/x")
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if err := m.refuseFile(d, image); err == nil {
		t.Error("a file that is no card is overwritten")
	}
}

// A file of somebody else, who could read the key on it, and one on a disk of a camera.
func TestFileThatOthersRead(t *testing.T) {
	err := hidden("card.img", &fs.PathError{Op: "chmod", Path: "card.img", Err: unix.EPERM})
	if err == nil || !strings.Contains(err.Error(), "card.img gets a private key and cannot be kept from others") {
		t.Error(err)
	}
	if err := hidden("card.img", nil); err != nil {
		t.Error(err)
	}
}
