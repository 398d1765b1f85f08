//go:build image

package guesthost

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/update"
)

const (
	startLimit  = 4 * time.Minute // from the loader until the panel answers, on a busy machine
	updateLimit = 9 * time.Minute // parkctl update gives up before
)

// TestUpdate starts the card from its loader, as a board does, and updates it over the panel with the image's own first
// process: into slot b, which is confirmed, then into slot a with a phone that never becomes healthy, from which it falls
// back by itself. The image has no key of updates: the one that came with the provisioning at this first start counts at once.
func TestUpdate(t *testing.T) {
	s := newSite(t)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	d := s.loaded(s.card("dock-1", map[string]string{
		"identity.toml": "site = \"test\"\nid = \"dock-1\"\nname = \"dock-1\"\nnumber = \"201\"\n",
		"update.pub":    string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"phoned.toml": "[appliance]\nname = \"dock-1\"\nnumber = \"201\"\n[sip]\nlisten = [\"udp:eth0:5060\", \"tcp:eth0:5060\"]\n" +
			"[journal]\npath = \"/data/parklamp/journal/calls\"\n[board]\nmodel = \"auto\"\n[panel]\nlisten = \"0.0.0.0:8080\"\n",
	}))
	first := d.answers(startLimit)
	if first.Slot != "a" || first.Stage != update.Idle {
		t.Fatalf("after the first start: %+v", first)
	}

	begin := time.Now()
	well := s.next(first, 1, key, nil)
	said, err := d.parkctl("update", "--at", d.panel, well)
	if err != nil || !strings.Contains(said, "next-1 has started and is on trial") || !strings.Contains(said, "next-1 runs and is confirmed") {
		t.Fatalf("update: %v\n%s\n%s", err, said, d.tail())
	}
	if st := d.answers(startLimit); st.Slot != "b" || st.Version != "next-1" || st.Stage != update.Idle || st.Error != "" {
		t.Fatalf("after the update: %+v", st)
	}
	t.Logf("from the upload to the confirmation %v", time.Since(begin).Round(time.Second))

	begin = time.Now()
	ill := s.next(first, 2, key, map[string]File{"usr/bin/phoned": {[]byte("#!/bin/sh\nexec sleep 86400\n"), 0o755}})
	said, err = d.parkctl("update", "--at", d.panel, ill)
	if err == nil || !strings.Contains(said, "next-1 runs") {
		t.Fatalf("update to a system whose phone does not answer: %v\n%s\n%s", err, said, d.tail())
	}
	t.Logf("from the upload to the system before it %v", time.Since(begin).Round(time.Second))
	said, err = d.parkctl("update", "--at", d.panel, "status")
	if want := "runs next-1 from slot b: failed, the last update did not start or was not healthy"; err != nil || !strings.Contains(said, want) {
		t.Errorf("status: %v, want %q\n%s", err, want, said)
	}
	for _, want := range []string{"slot b, trial 1", "slot a, trial 1", "not healthy within 3m0s of the start: phoned does not answer", "slot b, trial 0"} {
		if !strings.Contains(d.tail(), want) {
			t.Errorf("the console does not say %q\n%s", want, d.tail())
		}
	}
}

// next is a bundle of the image as a later version n, with some files in place of its own.
func (s *site) next(now update.Status, n int, key ed25519.PrivateKey, files map[string]File) string {
	s.Helper()
	version, day := fmt.Sprintf("next-%d", n), now.Time.Add(time.Duration(n)*time.Hour)
	all := map[string]File{"etc/parklamp/version": {[]byte(version + "\n"), 0o644}, "etc/parklamp/time": {[]byte(day.Format(time.RFC3339) + "\n"), 0o644}}
	for name, f := range files {
		all[name] = f
	}
	read := func(name string) []byte {
		s.Helper()
		data, err := os.ReadFile(filepath.Join(built.image, name))
		if err != nil {
			s.Fatal(err)
		}
		return data
	}
	initrd := read("slot/initrd")
	for len(initrd)%4 != 0 {
		initrd = append(initrd, 0)
	}
	initrd = append(initrd, Segment(all)...)
	c := crc32.ChecksumIEEE(initrd)
	// What phoned says is on the console too.
	env := strings.Replace(string(read("slot/slot.env")), " quiet", " quiet parklamp.verbose", 1)
	for name, value := range map[string]string{"version": version, "time": day.Format(time.RFC3339), "initrd_crc": fmt.Sprintf("%02x%02x%02x%02x", byte(c), byte(c>>8), byte(c>>16), byte(c>>24))} {
		env = regexp.MustCompile(`(?m)^`+name+`=.*$`).ReplaceAllString(env, name+"="+value)
	}
	dir := filepath.Join(s.dir, version)
	must := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	must(os.MkdirAll(dir, 0o755))
	must(os.WriteFile(filepath.Join(dir, "initrd"), initrd, 0o644))
	must(os.WriteFile(filepath.Join(dir, "slot.env"), []byte(env), 0o644))
	image := filepath.Join(dir, "slot.img")
	must(os.WriteFile(image, read("slot.img"), 0o644))
	out, err := exec.Command("mcopy", "-o", "-i", image, filepath.Join(dir, "initrd"), filepath.Join(dir, "slot.env"), "::").CombinedOutput()
	if err != nil {
		s.Fatalf("mcopy: %v\n%s", err, out)
	}
	bundle := filepath.Join(dir, version+".bundle")
	_, err = update.MakeBundleFile(bundle, update.Manifest{Board: now.Board, Version: version, Time: day}, image, key)
	must(err)
	return bundle
}

// loaded is a machine that starts a card from the loader on. Its panel is reached over QEMU's own network.
type loaded struct {
	s       *site
	panel   string
	console string
	done    chan struct{} // closed when QEMU has ended
}

func (s *site) loaded(card string) *loaded {
	s.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	d := &loaded{s: s, panel: l.Addr().String(), console: filepath.Join(s.dir, "console"), done: make(chan struct{})}
	if err := l.Close(); err != nil {
		s.Fatal(err)
	}
	cmd := exec.Command("qemu-system-arm", "-M", "virt,highmem=off", "-cpu", "cortex-a7", "-m", "256", "-nodefaults", "-display", "none", "-monitor", "none",
		"-serial", "file:"+d.console, "-bios", filepath.Join(built.image, "u-boot.bin"), "-drive", "if=none,id=card,format=raw,cache=writethrough,file="+card,
		"-device", "virtio-blk-device,drive=card", "-netdev", "user,id=n,hostfwd=tcp:"+d.panel+"-:8080", "-device", "virtio-net-device,netdev=n",
		"-device", "i6300esb", "-action", "watchdog=reset",
		"-icount", "shift=2,sleep=on") // Steady: a phone that this machine lets wait does not look as if it hung
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(d.done) }() // how it ended is told by its console
	s.Cleanup(func() {
		_ = cmd.Process.Kill() // an error means that it has ended
		<-d.done
	})
	return d
}

func (d *loaded) parkctl(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.s.Context(), updateLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, built.parkctl, args...).CombinedOutput()
	return string(out), err
}

// answers waits until the panel tells how the update stands.
func (d *loaded) answers(limit time.Duration) (st update.Status) {
	d.s.Helper()
	for until := time.Now().Add(limit); ; {
		out, err := d.parkctl("--json", "--at", d.panel, "update", "status")
		if err == nil {
			err = json.Unmarshal([]byte(out), &st)
		}
		if err == nil {
			return st
		}
		if time.Now().After(until) {
			d.s.Fatalf("the panel does not answer: %v\n%s\n%s", err, out, d.tail())
		}
		select {
		case <-d.done:
			d.s.Fatalf("QEMU has ended\n%s", d.tail())
		case <-time.After(time.Second):
		}
	}
}

func (d *loaded) tail() string {
	text, err := os.ReadFile(d.console)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
