//go:build uboot

package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/slots/slotstest"
	"parklamp/cmd/internal/update"
)

const (
	mib     = 1 << 20
	slotMiB = 6
	bootMiB = 1
	loader  = "/usr/lib/u-boot/qemu_arm/u-boot.bin" // Debian: u-boot-qemu
	machine = "test"
)

var (
	siteKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))
	day     = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

// bench builds systems and cards; what is the same for all is built once.
type bench struct {
	t      *testing.T
	dir    string
	kernel []byte
	init   string // the guest's program
	boot   []byte // partition 1
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	kernel := strings.TrimSpace(string(b.run("../../../buildroot/test/kernel.sh")))
	var err error
	if b.kernel, err = os.ReadFile(kernel); err != nil {
		t.Fatal(err)
	}
	b.init = filepath.Join(b.dir, "init")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.init, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM=7")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	scr := filepath.Join(b.dir, "boot.scr")
	b.run("mkimage", "-A", "arm", "-T", "script", "-C", "none", "-d", "../../../buildroot/boot/boot.cmd", scr)
	b.boot = b.fat(bootMiB, scr)
	return b
}

func (b *bench) run(name string, args ...string) []byte {
	b.t.Helper()
	cmd := exec.Command(name, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("%s: %v\n%s%s(Debian: qemu-system-arm u-boot-qemu u-boot-tools mtools dosfstools cpio)", name, err, out, errs.Bytes())
	}
	return out
}

func (b *bench) fat(size int, files ...string) []byte {
	b.t.Helper()
	image := filepath.Join(b.dir, "fat.img")
	os.Remove(image)
	b.run("mkfs.vfat", "--invariant", "-C", image, fmt.Sprint(size*1024))
	b.run("mcopy", append(append([]string{"-i", image}, files...), "::")...)
	data, err := os.ReadFile(image)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// sums are the lines of slot.env with the checksum of a file, in the two forms that loaders leave in memory (boot.cmd): each line
// must be there, or the slot counts as damaged.
func sums(name string, data []byte) string {
	s := crc32.ChecksumIEEE(data)
	return fmt.Sprintf("%s_crc=%08x\n%s_number=%08x\n", name, bits.ReverseBytes32(s), name, s)
}

// system makes the slot image of version n that behaves in a manner. Files named in extra lie in its root. No two versions have
// the same bytes at the same place: what a card holds already is not written.
func (b *bench) system(n int, manner string, kernel []byte, extra ...string) []byte {
	b.t.Helper()
	root, err := os.MkdirTemp(b.dir, "root")
	if err != nil {
		b.t.Fatal(err)
	}
	program, err := os.ReadFile(b.init)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(siteKey.Public())
	if err != nil {
		b.t.Fatal(err)
	}
	files := map[string][]byte{"init": program, "version": []byte(version(n)), "manner": []byte(manner), "time": []byte(built(n).Format(time.RFC3339)),
		"update.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
	for _, e := range extra {
		files[e] = []byte("yes")
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
	initrd := b.run("sh", "-c", "cd "+root+" && mkdir dev && find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0 | gzip -1n")
	env := fmt.Sprintf("board=%s\nversion=%s\nkernel=zImage\nboot=bootz\ncmdline=console=ttyAMA0,115200 panic=1 quiet\n%s%s",
		machine, version(n), sums("kernel", kernel), sums("initrd", initrd))
	var paths []string
	for _, file := range []struct {
		name string
		data []byte
	}{{"shift", bytes.Repeat([]byte{byte(n)}, 38<<10*n)}, {"slot.env", []byte(env)}, {"zImage", kernel}, {"initrd", initrd}} {
		path := filepath.Join(root, file.name)
		if err := os.WriteFile(path, file.data, 0o644); err != nil {
			b.t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return b.fat(slotMiB, paths...)
}

func version(n int) string  { return fmt.Sprintf("v1.%d.0", n) }
func built(n int) time.Time { return day.AddDate(0, 0, n) }

// bundle signs an image as version n.
func (b *bench) bundle(n int, image []byte) []byte {
	b.t.Helper()
	spool, err := os.Create(filepath.Join(b.dir, "spool"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer spool.Close()
	var out bytes.Buffer
	if _, err := update.MakeBundle(&out, update.Manifest{Board: machine, Version: version(n), Time: built(n)}, bytes.NewReader(image), siteKey, spool); err != nil {
		b.t.Fatal(err)
	}
	return out.Bytes()
}

// card makes a card with a good system in slot good, another one in the other slot, and a bundle in the data partition.
func (b *bench) card(t *testing.T, good slots.Slot, system, other, bundle []byte) *slotstest.Card {
	t.Helper()
	c := slotstest.NewCard(slotMiB*mib, slots.State{Seq: 1, Good: good})
	d := disk(t, c)
	copy(c.Bytes(d.Boot()), b.boot)
	copy(c.Bytes(d.Slot(good)), system)
	copy(c.Bytes(d.Slot(good.Other())), other)
	data := c.Bytes(d.Data())
	binary.BigEndian.PutUint64(data, uint64(len(bundle)))
	if n := copy(data[8:], bundle); n != len(bundle) {
		t.Fatalf("a bundle of %d bytes", len(bundle))
	}
	return c
}

func disk(t *testing.T, c *slotstest.Card) *slots.Disk {
	t.Helper()
	d, err := slots.NewDisk(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// power switches the machine on with a card. It runs until it switches itself off, or until the watch takes its power away.
func (b *bench) power(t *testing.T, card *slotstest.Card, w *watch) {
	t.Helper()
	socket, err := net.Listen("unix", filepath.Join(t.TempDir(), "card"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("qemu-system-arm", "-M", "virt,highmem=off", "-cpu", "cortex-a7", "-m", "128", "-nographic", "-nodefaults", "-serial", "stdio", "-monitor", "none",
		"-bios", loader, "-drive", "if=none,id=card,format=raw,file=nbd:unix:"+socket.Addr().String(), "-device", "virtio-blk-device,drive=card", "-device", "i6300esb", "-action", "watchdog=reset")
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	w.kill = func() { _ = cmd.Process.Kill() } // one that has ended is dead already
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		conn, err := socket.Accept()
		if err != nil {
			served <- nil // the machine ended before it touched its card
			return
		}
		err = card.Serve(conn, func(r slotstest.Request) { w.request(card, r) })
		if errors.Is(err, slotstest.ErrPower) {
			w.cut()
			err = nil
		}
		conn.Close()
		served <- err
	}()
	late := time.AfterFunc(limit, func() { t.Errorf("the machine hangs in %s", w.cut()) })
	w.enter(inLoader)
	console(out, keys, w)
	_ = cmd.Wait() // killed, or 0
	late.Stop()
	w.end()
	socket.Close()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

// console reads what the machine says and stops the loader's countdown.
func console(out io.Reader, keys io.Writer, w *watch) {
	var line []byte
	for in := bufio.NewReader(out); ; {
		c, err := in.ReadByte()
		if err != nil {
			return
		}
		if line = append(line, c); bytes.HasSuffix(line, []byte("Hit any key")) {
			_, _ = io.WriteString(keys, " \rrun bootcmd_virtio0\r") // a machine that is gone shows itself otherwise
		}
		if c == '\n' || len(line) > 4<<10 {
			w.line(strings.TrimSpace(string(line)))
			line = line[:0]
		}
	}
}
