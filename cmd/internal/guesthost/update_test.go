//go:build image

package guesthost

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	member "parklamp/cmd/internal/site"
	"parklamp/cmd/internal/update"
	"parklamp/media/moh"
	"parklamp/parkd/panel"
)

const (
	startLimit  = 4 * time.Minute // from the loader until the panel answers, on a busy machine
	updateLimit = 9 * time.Minute // parkctl update gives up before
)

// TestUpdate starts the card from its loader, as a board does, and updates it over the panel with the image's own first
// process: into slot b, which is confirmed, then into slot a with a phone that never becomes healthy, from which it falls
// back by itself. The image has no key of updates: the one that came with the provisioning at this first start counts at once.
//
// Callers are parked there meanwhile, and a peer is in the same network. The first update waits for a caller whom the peer
// cannot take over until he has been fetched and has hung up; one whose phone moves is at the peer before the system goes. The second
// one does not wait, and its caller is parked again when the system before it is back.
func TestUpdate(t *testing.T) {
	s := newSite(t)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	// An emulator that this machine lets wait is not dead, and nobody is recalled or forgotten while it is slow.
	const patient = "[lot]\ntimeout = \"1h\"\nforget_dead = \"1h\"\n[federation]\ndead_after = \"30s\"\n"
	knows := func(name string, at netip.Addr) string {
		return fmt.Sprintf("[[federation.peers]]\nname = %q\naddress = \"%s:5060\"\n", name, at)
	}
	at, office := addr(11), s.appliance(member.Member{Name: "office", Number: "202", Addr: addr(12), Extra: patient + knows("dock-1", addr(11))})
	d := s.loaded("dock-1", at, map[string]string{
		"identity.toml": "site = \"test\"\nid = \"dock-1\"\nname = \"dock-1\"\nnumber = \"201\"\n",
		"network.toml":  fmt.Sprintf("link_local = false\nlldp = false\naddress = \"%s/24\"\ngateway = %q\n", at, addr(1)),
		"update.pub":    string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"phoned.toml": "[appliance]\nname = \"dock-1\"\nnumber = \"201\"\n[sip]\nlisten = [\"udp:eth0:5060\", \"tcp:eth0:5060\"]\n" +
			"[journal]\npath = \"/data/parklamp/journal/calls\"\n[board]\nmodel = \"auto\"\n[panel]\nlisten = \"0.0.0.0:8080\"\n" + patient + knows("office", office.Addr),
	})
	first := d.answers(startLimit)
	if first.Slot != "a" || first.Stage != update.Idle {
		t.Fatalf("after the first start: %+v", first)
	}
	stays, moves := s.parks(d.phone, "701"), s.moves(d.phone, "*68702")
	stays.connected()
	waiting := func(number string, c *caller, host string) {
		t.Helper()
		s.await(office, fmt.Sprintf("caller %s on %s at %s", c.number, number, host), func(st panel.Status) bool {
			o := orbit(st, number)
			return o.Caller.Number == c.number && o.Host == host && len(o.Calls) == 1 && o.State != panel.StateUnknown
		})
	}
	waiting("701", stays, "dock-1")
	waiting("702", moves.caller, "dock-1")

	begin := time.Now()
	well := d.begins("update", "--at", d.panel, s.next(first, 1, key, nil))
	well.says(`Waiting: 1 parked caller \(on 701\) whom no other appliance would take over\.`)
	if said, err := d.parkctl("update", "--at", d.panel, "status"); err != nil || !strings.Contains(said, "slot a: waiting, next-1, 1 parked caller (on 701)") {
		t.Errorf("status: %v\n%s", err, said)
	}
	s.must(office.Hook(t.Context(), true))
	s.must(office.Press(t.Context(), "orbit-701", panel.Tap))
	s.await(office, "talking", func(st panel.Status) bool { return st.Phone.State == "talking" })
	well.says(`Waiting: \d calls?\.`)
	select {
	case <-moves.Moved:
		t.Error("the caller whose phone moves was taken over while the update waits")
	default:
	}
	s.must(office.Hook(t.Context(), false))
	stays.ended()
	select {
	case <-moves.Moved:
	case <-time.After(limit):
		t.Fatalf("nobody takes over the caller whose phone moves\n%s", d.tail())
	}
	if end := <-moves.Ended; end.Code != 0 {
		t.Errorf("his first call ended with %+v", end)
	}
	said, err := well.ends()
	if err != nil || !strings.Contains(said, "next-1 has started and is on trial") || !strings.Contains(said, "next-1 runs and is confirmed") {
		t.Fatalf("update: %v\n%s\n%s", err, said, d.tail())
	}
	if st := d.answers(startLimit); st.Slot != "b" || st.Version != "next-1" || st.Stage != update.Idle || st.Error != "" {
		t.Fatalf("after the update: %+v", st)
	}
	waiting("702", moves.caller, "office")
	s.hears(moves.ear(), "music", moh.BuiltIn().Samples())
	t.Logf("from the upload to the confirmation %v", time.Since(begin).Round(time.Second))

	stays = s.parks(d.phone, "703")
	stays.connected()
	waiting("703", stays, "dock-1")
	asked := stays.asked()
	begin = time.Now()
	ill := s.next(first, 2, key, map[string]File{"usr/bin/phoned": {[]byte("#!/bin/sh\nexec sleep 86400\n"), 0o755}})
	said, err = d.parkctl("update", "--now", "--at", d.panel, ill)
	if err == nil || !strings.Contains(said, "next-1 runs") || strings.Contains(said, "Waiting") {
		t.Fatalf("update to a system whose phone does not answer: %v\n%s\n%s", err, said, d.tail())
	}
	t.Logf("from the upload to the system before it %v", time.Since(begin).Round(time.Second))
	said, err = d.parkctl("update", "--at", d.panel, "status")
	if want := "runs next-1 from slot b: failed, the last update was not healthy: "; err != nil || !strings.Contains(said, want) {
		t.Errorf("status: %v, want %q\n%s", err, want, said)
	}
	for _, want := range []string{"slot b, trial 1", "slot a, trial 1", "not healthy within 3m0s of the start: phoned does not answer", "slot b, trial 0"} {
		if !strings.Contains(d.tail(), want) {
			t.Errorf("the console does not say %q\n%s", want, d.tail())
		}
	}
	stays.saw("the question whether it is still there", func(peer.Message) bool { return stays.asked() > asked })
	s.hears(stays.ear(), "music", moh.BuiltIn().Samples())
	waiting("703", stays, "dock-1")
	waiting("702", moves.caller, "office")
	stays.hangsUp()
}

// next is a bundle of the image as a later version n, with some files in place of its own.
func (s *site) next(now update.Status, n int, key ed25519.PrivateKey, files map[string]File) string {
	s.Helper()
	// A moment later only: a clock that nobody sets begins no earlier than its system, and callers do not outlive a jump of an hour.
	version, day := fmt.Sprintf("next-%d", n), now.Time.Add(time.Duration(n)*time.Second)
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

// loaded is a machine that starts a card from the loader on.
type loaded struct {
	*phone  // its address alone: there is no hand in it
	panel   string
	console string
	done    chan struct{} // closed when QEMU has ended
}

func (s *site) loaded(name string, at netip.Addr, set map[string]string) *loaded {
	s.Helper()
	cable, err := s.sw.Plug()
	s.must(err)
	card := s.card(name, set)
	d := &loaded{phone: &phone{s: s, at: at}, panel: netip.AddrPortFrom(at, 8080).String(), console: filepath.Join(s.dir, "console"), done: make(chan struct{})}
	cmd := exec.Command("qemu-system-arm", "-M", "virt,highmem=off", "-cpu", "cortex-a7", "-m", "256", "-nodefaults", "-display", "none", "-monitor", "none",
		"-serial", "file:"+d.console, "-bios", filepath.Join(built.image, "u-boot.bin"), "-drive", "if=none,id=card,format=raw,cache=writethrough,file="+card,
		"-device", "virtio-blk-device,drive=card", "-netdev", cable.netdev(), "-device", "virtio-net-device,netdev="+cableID,
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

// saying is parkctl at work.
type saying struct {
	s    *site
	done chan error // capacity 1
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (w *saying) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *saying) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// begins starts parkctl.
func (d *loaded) begins(args ...string) *saying {
	d.s.Helper()
	w := &saying{s: d.s, done: make(chan error, 1)}
	cmd := exec.CommandContext(d.s.Context(), built.parkctl, args...)
	cmd.Stdout, cmd.Stderr = w, w
	d.s.must(cmd.Start())
	go func() { w.done <- cmd.Wait() }()
	return w
}

// says waits until it has said something.
func (w *saying) says(pattern string) {
	w.s.Helper()
	for began := time.Now(); !regexp.MustCompile(pattern).MatchString(w.String()); {
		select {
		case err := <-w.done:
			w.s.Fatalf("parkctl has ended (%v) and not said %q\n%s", err, pattern, w)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(began) > updateLimit {
			w.s.Fatalf("parkctl does not say %q\n%s", pattern, w)
		}
	}
}

// ends waits for its end.
func (w *saying) ends() (string, error) {
	select {
	case err := <-w.done:
		return w.String(), err
	case <-time.After(updateLimit):
		return w.String(), errors.New("it does not end")
	}
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
