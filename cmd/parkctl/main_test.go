package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parklamp/cmd/internal/config"
	"parklamp/parkd/panel"
)

var update = flag.Bool("update", false, "rewrite testdata")

// begin is when the appliance's clock stands in these tests.
var begin = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)

// appliance is a Backend whose status is set by the test.
type appliance struct {
	mu      sync.Mutex
	s       panel.Status
	changed func()
	done    []string
	refuse  error
	test    []string // events of a self test
}

var _ panel.Backend = (*appliance)(nil)

func (a *appliance) Status() panel.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.s
}

func (a *appliance) Subscribe(changed func()) func() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed = changed
	return func() {}
}

func (a *appliance) set(s panel.Status) {
	a.mu.Lock()
	a.s = s
	changed := a.changed
	a.mu.Unlock()
	changed()
}

func (a *appliance) note(what string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refuse != nil {
		return a.refuse
	}
	a.done = append(a.done, what)
	return nil
}

func (a *appliance) Press(key string, action panel.Action) error {
	if !slices.ContainsFunc(a.Status().Keys, func(k panel.Key) bool { return k.ID == key }) {
		return fmt.Errorf("press %s: %w", key, panel.ErrNoSuchKey)
	}
	return a.note(string(action) + " " + key)
}
func (a *appliance) Looked(string) bool       { return true }
func (a *appliance) Hook(up bool) error       { return a.note(fmt.Sprint("hook ", up)) }
func (a *appliance) Dial(digits string) error { return a.note("dial " + digits) }
func (a *appliance) Listen(context.Context) (<-chan []int16, error) {
	return nil, panel.ErrNoPhone
}

// dock1 is an appliance with something of everything.
func dock1() panel.Status {
	ms := time.Millisecond
	jane, acme := panel.Party{Name: "Jane Miller", Number: "0123456"}, panel.Party{Name: "Acme\x1b[2J", Number: "0761234567"}
	dock1, dock2 := panel.Party{Name: "Dock 1", Number: "201"}, panel.Party{Name: "Dock 2", Number: "202"}
	ago := func(s int) time.Time { return begin.Add(-time.Duration(s) * time.Second) }
	return panel.Status{
		At:        begin,
		Appliance: panel.Appliance{Name: "dock-1", Version: "parklamp 0.2", Started: ago(3*3600 + 125), Addresses: []string{"udp:127.0.0.1:5060"}},
		Phone:     panel.Phone{HookUp: true, State: "talking", Party: jane, Muted: true, Volume: 6, VolumeMax: 10, Prompt: "parked on seven zero one", PromptAt: ago(20)},
		Keys:      []panel.Key{{ID: "5", Label: "5", Group: panel.GroupKeypad}, {ID: "park", Label: "Park", Group: panel.GroupFunction}, {ID: "orbit-701", Label: "701", Group: panel.GroupOrbit}},
		Lamps: []panel.Lamp{
			{ID: "orbit-701", Colour: panel.Green, Pattern: "parked-here", Cadence: panel.Cadence{400 * ms, 100 * ms}},
			{ID: "orbit-702", Colour: panel.Red, Pattern: "queued", Cadence: panel.Cadence{100 * ms, 100 * ms, 100 * ms, 700 * ms}},
			{ID: "orbit-703", Colour: panel.Amber, Pattern: "unknown"},
			{ID: "orbit-704", Colour: panel.Off, Pattern: "free"},
			{ID: "fault", Colour: panel.Amber, Pattern: "fault"},
		},
		Orbits: []panel.Orbit{
			{Number: "701", State: panel.StateParkedHere, Caller: acme, Parker: dock1, Host: "dock-1", Since: ago(34), Calls: []panel.ParkedCall{{}}},
			{Number: "702", State: panel.StateQueued, Caller: panel.Party{Number: "0551234"}, Parker: dock2, Host: "dock-2", Since: ago(75),
				Calls: []panel.ParkedCall{{}, {Caller: jane, Parker: dock1, Host: "dock-1", Since: ago(5)}}},
			{Number: "703", State: panel.StateUnknown, Host: "office", Since: ago(130), Calls: []panel.ParkedCall{{}}},
			{Number: "704", State: panel.StateFree},
		},
		Calls: []panel.Call{
			{ID: "c1", State: "talking", Direction: "in", Remote: jane, Since: ago(25), Media: panel.Media{Codec: "PCMU", Encryption: "AES_CM_128_HMAC_SHA1_80", Sent: 1250, Received: 1200, Lost: 50, Late: 2, JitterMS: 0.42},
				Quality: panel.Quality{In: panel.Sound{Known: true, LossPercent: 4, R: 80.5, MOS: 4}, Out: panel.Sound{Known: true, R: 91.3, MOS: 4.4}, RoundTripMS: 23.6}},
			{ID: "c2", State: "parked", Direction: "in", Remote: acme, Since: ago(60), Orbit: "701", Media: panel.Media{Codec: "PCMA", Sent: 3000, Received: 3000}},
		},
		Ended: []panel.Call{
			{ID: "b2", State: "ended", Direction: "out", Remote: acme, Since: ago(300), Ended: ago(60), Cause: "remote", Media: panel.Media{Codec: "PCMU"},
				Quality: panel.Quality{In: panel.Sound{Known: true, LossPercent: 7, DiscardPercent: 0.3, JitterMS: 12.4, R: 70, MOS: 3.5}, Out: panel.Sound{Known: true, JitterMS: 2, R: 91.3, MOS: 4.4}, RoundTripMS: 80}},
			{ID: "b1", State: "ended", Direction: "in", Remote: jane, Since: ago(900), Ended: ago(600), Cause: "timeout", Media: panel.Media{Codec: "PCMA"}},
		},
		Peers:    []panel.Peer{{Name: "dock-2", Address: "127.0.0.2:5060", State: panel.PeerAlive, Since: ago(3600)}, {Name: "office", Address: "127.0.0.3:5060", State: panel.PeerDead, Since: ago(42)}},
		Health:   []panel.Condition{{Code: "peer-dead", Severity: panel.SeverityError, Since: ago(42), Text: "office does not answer", Hint: "look whether it has power and network"}},
		Accounts: []panel.Account{{AOR: "sip:dock-1@example.net", State: "failed", Reason: "403 Forbidden: the password is wrong"}},
	}
}

// serve runs an appliance until the test ends and returns its socket.
func serve(t *testing.T, s panel.Status) (*appliance, string) {
	t.Helper()
	a := &appliance{s: s, changed: func() {}}
	socket := filepath.Join(t.TempDir(), "phoned.sock")
	run(t, a, socket)
	return a, socket
}

func run(t *testing.T, a *appliance, socket string) (stop func()) {
	t.Helper()
	cfg := panel.Default()
	cfg.Listen, cfg.Socket = netip.AddrPort{}, socket
	srv := panel.New(cfg, a, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("panel: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-srv.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	return stop
}

// parkctl runs one command line.
func parkctl(socket string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	t := tool{
		out: &out, err: &errs, env: func(k string) string { return map[string]string{"PARKLAMP_SOCKET": socket}[k] },
		describe: func(w io.Writer) error { _, err := io.WriteString(w, "# the reference\n"); return err },
		check: func(path string) error {
			if path == "good.toml" {
				return nil
			}
			return errors.New(path + ":3:1: panel.max_hold = 1h: want 1s to 5m")
		},
	}
	t.retry = 10 * time.Millisecond
	code = t.run(context.Background(), args)
	return code, out.String(), errs.String()
}

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestShow(t *testing.T) {
	_, socket := serve(t, dock1())
	for _, name := range []string{"status", "orbits", "calls", "lamps"} {
		code, out, errs := parkctl(socket, name)
		if code != 0 || errs != "" {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%s prints an escape where no terminal is, or one that a caller sent:\n%q", name, out)
		}
		golden(t, name+".txt", out)
	}
}

func TestShowEmpty(t *testing.T) {
	_, socket := serve(t, panel.Status{At: begin, Appliance: panel.Appliance{Name: "gw", Version: "0.2", Started: begin}})
	var all strings.Builder
	for _, name := range []string{"status", "orbits", "calls", "lamps"} {
		code, out, errs := parkctl(socket, name)
		if code != 0 {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
		fmt.Fprintf(&all, "$ parkctl %s\n%s", name, out)
	}
	golden(t, "empty.txt", all.String())
}

func TestJSON(t *testing.T) {
	_, socket := serve(t, dock1())
	for name, into := range map[string]any{"status": new(panel.Status), "orbits": new([]panel.Orbit), "calls": new([]panel.Call), "lamps": new([]panel.Lamp)} {
		code, out, errs := parkctl(socket, name, "--json")
		if code != 0 {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
		d := json.NewDecoder(strings.NewReader(out))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Errorf("%s --json: %v in\n%s", name, err, out)
		}
		if out[:1] == "[" && !strings.Contains(out, `"id"`) && !strings.Contains(out, `"number"`) {
			t.Errorf("%s --json has no items:\n%s", name, out)
		}
	}
}

func TestColour(t *testing.T) {
	_, socket := serve(t, dock1())
	var out bytes.Buffer
	c := tool{out: &out, err: io.Discard, env: func(string) string { return socket }, colour: true}
	if code := c.run(t.Context(), []string{"lamps"}); code != 0 {
		t.Fatalf("exit %d", code)
	}
	lines := strings.Split(out.String(), "\n")
	if want := "\x1b[1morbit-701\x1b[0m  \x1b[32m● green\x1b[0m  parked here  400 on, 100 off (ms)"; lines[1] != want {
		t.Errorf("on a terminal %q, want %q", lines[1], want)
	}
	if shaded, bare := lines[1], lines[4]; strings.Index(shaded, "parked here")-len("\x1b[1m\x1b[0m\x1b[32m\x1b[0m") != strings.Index(bare, "free")-len("\x1b[1m\x1b[0m") {
		t.Errorf("columns are not aligned:\n%q\n%q", shaded, bare)
	}
}

// What could not be printed has not been done, whatever prints it.
func TestOutputThatIsLost(t *testing.T) {
	_, socket := serve(t, dock1())
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, line := range []string{"config describe", "lamps", "lamps --json", "board wiring rpi-4", "--help", "--version"} {
		var errs strings.Builder
		c := tool{out: full, err: &errs, env: func(string) string { return socket }, describe: config.Describe}
		if code := c.run(t.Context(), strings.Fields(line)); code != exitError || !strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("%s onto a full disk: exit %d, %q", line, code, errs.String())
		}
	}
}

func TestCommands(t *testing.T) {
	a, socket := serve(t, dock1())
	for _, c := range []struct {
		line, did string
		code      int
		says      string // part of what is printed
	}{
		{"press park", "down park, up park", 0, ""},
		{"press 5 long", "down 5, up 5", 0, ""},
		{"press 701 down", "down orbit-701", 0, ""},
		{"press orbit-701 up", "up orbit-701", 0, ""},
		{"press coffee", "", 1, `parkctl: no key "coffee"; the keys are 5 park orbit-701`},
		{"press", "", 2, "want: parkctl press KEY [down|up|tap|long]"},
		{"press park twice", "", 2, "want down, up, tap or long"},
		{"hook up", "hook true", 0, ""},
		{"hook down", "hook false", 0, ""},
		{"hook off", "", 2, "want up or down"},
		{"dial *68#", "dial *68#", 0, ""},
		{"dial jane", "", 2, "0-9, *, # and A-D alone"},
		{"", "", 2, "no command"},
		{"brew", "", 2, `unknown command "brew"`},
		{"statsu", "", 2, `unknown command "statsu"; did you mean "status"?`},
		{"site lst", "", 2, `unknown command "site lst"; did you mean "site list"?`},
		{"sites check x", "", 2, `did you mean "site"?`},
		{"selftest verfy x", "", 2, `unknown command "selftest verfy"; did you mean "selftest verify"?`},
		{"site make", "", 2, `unknown command "site make"; want: parkctl site new|add`},
		{"calls --sokcet x", "", 2, "there is no option --sokcet; did you mean --socket?"},
		{"site add --adress 1 hall dock-7", "", 2, "there is no option --adress; did you mean --address?"},
		{"site add --help", "", 0, "for example: parkctl site add hall dock-7"},
		{"calls --help", "", 0, "THERE     the MOS at the far end"},
		{"update --now --help", "", 0, "--at HOST[:PORT]"},
		{"help selftest", "", 0, "parkctl selftest verify FILE --ca CA.CRT:"},
		{"help lamp", "", 2, `did you mean "lamps"?`},
		{"update x --steps keys", "", 2, "--steps belongs to selftest, not to update"},
		{"status now", "", 2, "want: parkctl status"},
		{"status --jason", "", 2, "there is no option --jason"},
		{"status --socket", "", 2, "--socket: its value is missing"},
		{"config", "", 2, "want: parkctl config describe|check"},
		{"config describe", "", 0, "# the reference"},
		{"config check good.toml", "", 0, "good.toml is right."},
		{"config check bad.toml", "", 2, "bad.toml:3:1: panel.max_hold = 1h: want 1s to 5m"},
		{"config check", "", 2, "want: parkctl config check FILE"},
		{"--help", "", 0, "press KEY [down|up|tap|long]"},
		{"help", "", 0, "usage: parkctl"},
		{"--socket /nowhere/phoned.sock status", "", 1, "no appliance on /nowhere/phoned.sock: the socket does not exist; is phoned running? Give its socket with --socket or PARKLAMP_SOCKET"},
	} {
		code, out, errs := parkctl(socket, strings.Fields(c.line)...)
		a.mu.Lock()
		did := strings.Join(a.done, ", ")
		a.done = nil
		a.mu.Unlock()
		if code != c.code || did != c.did || !strings.Contains(out+errs, c.says) {
			t.Errorf("parkctl %s: exit %d, did %q, printed %q %q; want exit %d, %q, %q", c.line, code, did, out, errs, c.code, c.did, c.says)
		}
		if code != 0 && out != "" || code == 0 && errs != "" {
			t.Errorf("parkctl %s: exit %d with %q on stdout and %q on stderr", c.line, code, out, errs)
		}
	}
}

func TestRefused(t *testing.T) {
	a, socket := serve(t, dock1())
	a.refuse = fmt.Errorf("lift the handset: %w", panel.ErrNoPhone)
	if code, _, errs := parkctl(socket, "hook", "up"); code != 1 || errs != "parkctl: lift the handset: no phone hardware\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestStopped(t *testing.T) {
	a := &appliance{s: dock1(), changed: func() {}}
	socket := filepath.Join(t.TempDir(), "phoned.sock")
	run(t, a, socket)()
	if code, _, errs := parkctl(socket, "status"); code != 1 || !strings.Contains(errs, "no appliance on "+socket) {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestCountersAndVersion(t *testing.T) {
	s := dock1()
	s.Counters = map[string]uint64{"sip.in": 1204, "media.lost": 3}
	_, socket := serve(t, s)
	code, out, errs := parkctl(socket, "status", "--counters")
	if code != 0 || errs != "" || !strings.Contains(out, "1204") || !strings.Contains(out, "SIP messages received") ||
		strings.Index(out, "media.lost") > strings.Index(out, "sip.in") {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
	var got map[string]uint64
	code, out, _ = parkctl(socket, "--json", "status", "--counters")
	if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil || got["media.lost"] != 3 || len(got) != 2 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, _, errs := parkctl(socket, "calls", "--counters"); code != exitUsage || !strings.Contains(errs, "status") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if code, out, _ := parkctl(socket, "--version"); code != 0 || out != "parkctl unversioned\n" {
		t.Errorf("exit %d, %q", code, out)
	}
}
