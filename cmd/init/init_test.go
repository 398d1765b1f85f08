package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/supervise"
	"parklamp/cmd/internal/update"
	"parklamp/parkd/panel"
)

func TestParseCmdline(t *testing.T) {
	got, err := parseCmdline("console=ttyAMA0 parklamp.slot=b parklamp.trial=1 parklamp.board=rpi parklamp.verbose quiet\n")
	if want := (bootArgs{slots.Boot{Slot: slots.B, Trial: true, Board: "rpi"}, true}); got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := parseCmdline("parklamp.slot=c parklamp.board=rpi quiet"); got != (bootArgs{Boot: slots.Boot{Board: "rpi"}}) || err == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// The kernel gets every setting that it knows; one that it has no file for makes no file and no noise.
func TestSettings(t *testing.T) {
	sys := t.TempDir()
	known := settings[1:]
	for _, s := range known {
		path := filepath.Join(sys, s.name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("?"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	set(sys, slog.New(slog.NewTextHandler(&said, nil)))
	for _, s := range known {
		if got, err := os.ReadFile(filepath.Join(sys, s.name)); err != nil || string(got) != s.value {
			t.Errorf("%s: %q, %v; want %q", s.name, got, err, s.value)
		}
	}
	if _, err := os.Stat(filepath.Join(sys, settings[0].name)); !errors.Is(err, os.ErrNotExist) || said.String() != "" {
		t.Errorf("%s, which this kernel does not have: %v, %s", settings[0].name, err, &said)
	}
	// What cannot be written is told. A folder is what root cannot write either.
	path := filepath.Join(sys, settings[0].name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	set(sys, slog.New(slog.NewTextHandler(&said, nil)))
	if !strings.Contains(said.String(), path) {
		t.Errorf("%s cannot be written, and init says %q", path, &said)
	}
	// Each is one that a kernel has.
	for _, s := range settings {
		if _, err := os.Stat(filepath.Join("/proc/sys", s.name)); err != nil {
			t.Error(err)
		}
	}
}

func TestParseUevent(t *testing.T) {
	action, alias := parseUevent([]byte("add@/devices/x\x00ACTION=add\x00MODALIAS=usb:v0D8Cp0014\x00SEQNUM=7\x00"))
	if action != "add" || alias != "usb:v0D8Cp0014" {
		t.Error(action, alias)
	}
	if action, alias := parseUevent(nil); action != "" || alias != "" {
		t.Error(action, alias)
	}
}

func FuzzParseUevent(f *testing.F) {
	f.Add([]byte("add@/devices/x\x00MODALIAS=y\x00"))
	f.Fuzz(func(t *testing.T, b []byte) { parseUevent(b) })
}

func TestOwnHostname(t *testing.T) {
	if got := ownHostname("b8:27:eb:01:02:03") + " " + ownHostname(""); got != "parklamp-010203 parklamp" {
		t.Error(got)
	}
}

// Only devices are granted, and only those of the phone.
func TestGrantNodes(t *testing.T) {
	group := parklampID
	if os.Getuid() != 0 {
		group = os.Getgid() // who is not root may give a file to no other
	}
	dev := t.TempDir()
	if err := os.Mkdir(filepath.Join(dev, "snd"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gpiochip0", "snd/pcmC0D0p", "mem"} {
		// Device 0:0 is nobody's: every user may make its node (Linux 5.8).
		if err := unix.Mknod(filepath.Join(dev, name), unix.S_IFCHR|0o600, int(unix.Mkdev(0, 0))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dev, "i2c-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := grantNodes(dev, group); got != 2 {
		t.Errorf("%d granted", got)
	}
	for name, granted := range map[string]bool{"gpiochip0": true, "snd/pcmC0D0p": true, "mem": false, "i2c-1": false} {
		var st unix.Stat_t
		err := unix.Stat(filepath.Join(dev, name), &st)
		if err != nil || (st.Mode&0o777 == 0o660) != granted || granted && int(st.Gid) != group {
			t.Errorf("%s: group %d, mode %o, %v", name, st.Gid, st.Mode&0o777, err)
		}
	}
}

func TestAPI(t *testing.T) {
	s := newSystem()
	s.store.judgeSpace(1000, 5)
	routes := s.routes(t.Context())
	ask := func(method, path, body string) string {
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return strings.TrimSpace(w.Body.String())
	}
	if got := ask("GET", "/status", ""); !strings.Contains(got, `"name":"phoned","state":"stopped"`) || !strings.Contains(got, `"code":"data.space","severity":"error"`) {
		t.Error(got)
	}
	if got := ask("GET", "/log?n=1", ""); !strings.Contains(got, "data.space") {
		t.Error(got)
	}
	if got := ask("POST", "/restart", `{"service":"panel","when":"later"}`); !strings.Contains(got, "want phoned or appliance") || !strings.Contains(got, "want idle or now") {
		t.Error(got)
	}
	for range maxRestarts { // so many wait already
		s.restarts.room <- struct{}{}
	}
	if got := ask("POST", "/restart", `{"service":"appliance","when":"idle"}`); !strings.Contains(got, "wait already") {
		t.Error(got)
	}
	for range maxRestarts {
		<-s.restarts.room
	}
	if got := ask("POST", "/restart", `{"service":"appliance","when":"now"}`); got != "{}" {
		t.Error(got)
	}
	select {
	case command := <-s.restarts.ending:
		if command != unix.LINUX_REBOOT_CMD_RESTART {
			t.Errorf("%x", command)
		}
	case <-time.After(2 * time.Minute):
		t.Error("nothing ends")
	}
	s.store.judgeSpace(1000, 500)
	if all := s.health.All(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// Nothing that root writes, runs or is asked on lies where phoned's user can exchange it: whoever takes over phoned would be root at
// the next lease.
func TestFilesOfRoot(t *testing.T) {
	if filepath.Dir(initapi.PhonedSocket) != runFolder || strings.HasPrefix(rootFolder+"/", runFolder+"/") {
		t.Errorf("%s must be outside of phoned's %s", rootFolder, runFolder)
	}
	for _, path := range []string{hookPath, leaseSocket, resolvFile, builtIn, sshPID, initapi.Socket} {
		if filepath.Dir(path) != rootFolder {
			t.Errorf("%s is not in %s", path, rootFolder)
		}
	}
	if to, err := os.Readlink("../../buildroot/overlay/etc/resolv.conf"); err != nil || to != resolvFile {
		t.Errorf("the image's resolv.conf leads to %q, %v, want %s", to, err, resolvFile)
	}
}

// The user of phoned is the one that the image has.
func TestUserOfTheImage(t *testing.T) {
	table, err := os.ReadFile("../../buildroot/users.table")
	if want := fmt.Sprintf("parklamp %d parklamp %d ", parklampID, parklampID); err != nil || !strings.HasPrefix(string(table), want) {
		t.Errorf("users.table: %q, %v, want %q", table, err, want)
	}
}

func TestNoIdentity(t *testing.T) {
	_, none := provision.Current(t.TempDir(), provision.Options{})
	if got := noIdentity(none).Text; got != "this appliance has no identity yet" {
		t.Error(got)
	}
	if got := noIdentity(errors.New("identity.toml:1:1: id: is missing")).Text; got != "the identity of this appliance cannot be used: identity.toml:1:1: id: is missing" {
		t.Error(got)
	}
}

// The built-in configuration is one that phoned takes.
func TestDefaultConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "phoned.toml")
	if err := os.WriteFile(path, anyBoard(defaultConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Board.Model != "desk" || c.Panel.Socket != initapi.PhonedSocket || panel.Default().Socket != initapi.PhonedSocket {
		t.Errorf("%+v %+v", c.Board, c.Panel)
	}
}

func TestRestartRequest(t *testing.T) {
	if err := (initapi.Restart{Service: initapi.Phoned, When: initapi.Idle}).Validate(); err != nil {
		t.Error(err)
	}
}

// A phoned that dies of a panic has no mistake in its configuration: it must keep its name, its number and its peers. The Go
// runtime ends a program that panics with status 2.
func TestPanicIsNoBadConfiguration(t *testing.T) {
	if os.Getenv("PARKLAMP_TEST_PANIC") != "" {
		panic("as a bug does")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPanicIsNoBadConfiguration$")
	cmd.Env = append(os.Environ(), "PARKLAMP_TEST_PANIC=1")
	err := cmd.Run()
	if err == nil {
		t.Fatal("a panic is no end")
	}
	dead := supervise.Report{Starts: 2, LastExit: err.Error()}
	if refuses(dead, 0) {
		t.Errorf("%q is taken for a refused configuration", dead.LastExit)
	}
	dead.LastExit = "exit status 78" // TestBadConfigurationHasItsOwnStatus
	if !refuses(dead, 0) {
		t.Errorf("%q is not taken for a refused configuration", dead.LastExit)
	}
	dead.Answering = true
	if refuses(dead, 0) || refuses(supervise.Report{Starts: 2, LastExit: dead.LastExit}, 1) {
		t.Error("one that answers, or whose configuration was changed just now, has refused nothing")
	}
}

// phoned has died with parked callers and takes them back: a restart that waits for calls to end waits for its answer.
func TestRestartWaitsForPhonedThatComesBack(t *testing.T) {
	for name, x := range map[string]struct {
		busy func(at time.Duration) (string, error)
		want time.Duration
	}{
		"idle": {func(time.Duration) (string, error) { return "", nil }, 0},
		"comes back with calls": {func(at time.Duration) (string, error) {
			if at < 10*time.Second {
				return "", errors.New("nobody listens")
			}
			if at < 5*time.Minute {
				return "2 calls", nil
			}
			return "", nil
		}, 5 * time.Minute},
		"dies now and then": {func(at time.Duration) (string, error) {
			if at < time.Hour && at%(50*time.Second) != 0 {
				return "", errors.New("nobody listens")
			}
			if at < time.Hour {
				return "1 calls", nil
			}
			return "", nil
		}, time.Hour},
		"dead":            {func(time.Duration) (string, error) { return "", errors.New("nobody listens") }, time.Minute},
		"counts no calls": {func(time.Duration) (string, error) { return "", update.ErrUncounted }, update.UncountedFor},
		"counts them late": {func(at time.Duration) (string, error) {
			if at < 9*time.Minute || at >= 12*time.Minute {
				return "", update.ErrUncounted
			}
			return "1 call", nil
		}, 12*time.Minute - idleLook + update.UncountedFor},
		"counts none, then dies": {func(at time.Duration) (string, error) {
			if at < 5*time.Minute {
				return "", update.ErrUncounted
			}
			return "", errors.New("nobody listens")
		}, 5*time.Minute - idleLook + time.Minute},
		"counts none, dies and comes back": {func(at time.Duration) (string, error) {
			if at%time.Minute < 10*time.Second {
				return "", update.ErrUncounted
			}
			return "", errors.New("nobody listens")
		}, update.UncountedFor},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			said := "nothing yet"
			ok := untilIdle(t.Context(), func(context.Context) (string, error) { return x.busy(time.Since(begin)) }, func(why string) { said = why })
			if said != "" {
				t.Errorf("%s: it still waits for %q", name, said)
			}
			if took := time.Since(begin); !ok || took != x.want {
				t.Errorf("%s: %v after %v, want %v", name, ok, took, x.want)
			}
		})
	}
}
