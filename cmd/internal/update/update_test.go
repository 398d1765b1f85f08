package update

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/slots/slotstest"
)

const (
	slotSize  = 160 << 10
	imageSize = 136 << 10
)

var (
	siteKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	public  = []ed25519.PublicKey{siteKey.Public().(ed25519.PublicKey)}
	day1    = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

// image is the slot image of version n: a boot sector that says so, and bytes of its own.
func image(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 99))
	out := make([]byte, imageSize)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	copy(out, fmt.Sprintf("boot sector of version %d", n))
	return out
}

func system(n int) System {
	return System{Board: "qemu-virt", Version: fmt.Sprintf("v1.%d.0", n), Time: day1.AddDate(0, 0, n)}
}

func spool(t testing.TB) io.ReadWriteSeeker {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "spool")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func manifest(n int) Manifest {
	s := system(n)
	return Manifest{Board: s.Board, Version: s.Version, Time: s.Time}
}

func bundle(t testing.TB, m Manifest, image []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := MakeBundle(&out, m, bytes.NewReader(image), siteKey, spool(t)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// phone is what an Updater asks and tells.
type phone struct {
	mu       sync.Mutex
	busy     string
	err      error
	ill      string // what is missing; "": healthy
	restarts []string
}

func (p *phone) Busy(context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy, p.err
}

func (p *phone) Healthy(context.Context) (bool, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ill == "", p.ill
}

func (p *phone) Restart(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restarts = append(p.restarts, why)
}

func (p *phone) set(busy string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy, p.err = busy, err
}

func (p *phone) told() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.restarts, "; ")
}

// appliance runs version n from slot a of a new card.
func appliance(t testing.TB, n int) (*slotstest.Card, *Updater, *phone) {
	t.Helper()
	c := slotstest.NewCard(slotSize, slots.State{Seq: 1, Good: slots.A})
	copy(c.Bytes(open(t, c).Slot(slots.A)), image(n))
	p := &phone{}
	return c, updater(t, c, slots.Boot{Slot: slots.A}, system(n), p), p
}

func open(t testing.TB, c *slotstest.Card) *slots.Disk {
	t.Helper()
	d, err := slots.NewDisk(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func updater(t testing.TB, c *slotstest.Card, b slots.Boot, now System, p *phone) *Updater {
	t.Helper()
	return New(Config{Disk: open(t, c), Running: b.Slot, Trial: b.Trial, System: now, Keys: public, Busy: p.Busy, Healthy: p.Healthy, Restart: p.Restart, Log: slog.New(slog.DiscardHandler)})
}

func TestInstall(t *testing.T) {
	c, u, _ := appliance(t, 1)
	before := bytes.Clone(c.Bytes(open(t, c).Slot(slots.A)))
	if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(2), image(2))), false); err != nil {
		t.Fatal(err)
	}
	d := open(t, c)
	if got, err := d.State(); err != nil || got.Good != slots.A || got.Try != slots.B || got.Left != slots.Attempts {
		t.Errorf("state %+v, %v", got, err)
	}
	if !bytes.Equal(c.Bytes(d.Slot(slots.B))[:imageSize], image(2)) {
		t.Error("slot b is not the bundle's image")
	}
	if !bytes.Equal(c.Bytes(d.Slot(slots.A)), before) {
		t.Error("the running slot was written")
	}
	if s := u.Status(); s.Stage != Waiting || s.Target != "v1.2.0" {
		t.Errorf("status %+v", s)
	}
	// The same once more writes next to nothing.
	written := c.Written
	if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(2), image(2))), false); err != nil {
		t.Fatal(err)
	}
	if n := c.Written - written; n > 8*slots.Sector {
		t.Errorf("the same bundle again wrote %d bytes", n)
	}
}

// An update that is bound to fail is taken with a warning, which the next one does not inherit.
func TestWarnsBefore(t *testing.T) {
	_, u, p := appliance(t, 1)
	p.ill = "neither registered nor in touch with a peer"
	for n, want := range []string{2: "it may not be kept, since the system that runs is not healthy itself: " + p.ill, 3: ""} {
		if n < 2 {
			continue
		}
		if want == "" {
			p.ill = ""
		}
		if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(n), image(n))), false); err != nil || u.Status().Warning != want {
			t.Errorf("%v, %+v, want %q", err, u.Status(), want)
		}
	}
}

// A bundle that breaks off after another one was put on trial: that trial has lost its slot and is over, so that a restart for
// another reason does not spend a start on it and tell of an update that failed to start.
func TestBrokenBundleEndsTheTrialBefore(t *testing.T) {
	c, u, _ := appliance(t, 1)
	if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(2), image(2))), false); err != nil {
		t.Fatal(err)
	}
	whole := bundle(t, manifest(3), image(3))
	if err := u.Install(t.Context(), bytes.NewReader(whole[:len(whole)/2]), false); !errors.Is(err, ErrTruncated) {
		t.Fatalf("half a bundle: %v", err)
	}
	if got, err := open(t, c).State(); err != nil || got.Good != slots.A || got.Try != slots.None || got.Left != 0 {
		t.Errorf("state %+v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	good := bundle(t, manifest(2), image(2))
	m := manifest(2)
	change := func(f func(*Manifest)) []byte {
		c := m
		f(&c)
		return bundle(t, c, image(2))
	}
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32))
	var foreign bytes.Buffer
	if _, err := MakeBundle(&foreign, m, bytes.NewReader(image(2)), other, spool(t)); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	bigger := make([]byte, slotSize+slots.Sector)
	for name, x := range map[string]struct {
		data []byte
		want error
		text string
	}{
		"empty":            {nil, ErrTruncated, ""},
		"not a bundle":     {bytes.Repeat([]byte("x"), 100), ErrNotBundle, "make bundle"},
		"newer format":     {append([]byte("parklamp bundle 2\n"), good[18:]...), ErrNotBundle, "newer format"},
		"long manifest":    {flip(18), ErrNotBundle, "4096"},
		"changed manifest": {flip(30), ErrSignature, "update.key"},
		"changed sign":     {flip(bytes.IndexByte(good, '}') + 5), ErrSignature, ""},
		"other site":       {foreign.Bytes(), ErrSignature, ""},
		"cut in the head":  {good[:40], ErrTruncated, ""},
		"cut in the image": {good[:len(good)/2], ErrTruncated, "bytes"},
		"last byte":        {good[:len(good)-1], ErrTruncated, ""},
		"changed image":    {flip(len(good) / 2), ErrImage, ""},
		"changed gzip":     {flip(len(good) - 6), ErrImage, ""},
		"something more":   {append(bytes.Clone(good), 'x'), ErrImage, "follows"},
		"other board":      {change(func(m *Manifest) { m.Board = "rpi" }), ErrBoard, "BOARD=qemu-virt"},
		"older":            {change(func(m *Manifest) { m.Version = "v1.0.9" }), ErrDowngrade, "--downgrade-from v1.1.0"},
		"older build":      {change(func(m *Manifest) { m.Version, m.Time = "v1.1.0", day1 }), ErrDowngrade, ""},
		"other downgrade":  {change(func(m *Manifest) { m.Version, m.DowngradeFrom, m.Until = "v1.0.9", "v1.0.10", later }), ErrDowngrade, ""},
		"past downgrade":   {change(func(m *Manifest) { m.Version, m.DowngradeFrom, m.Until = "v1.0.9", "v1.1.0", day1 }), ErrDowngrade, "from v1.1.0 until 2026-11-01"},
		"too old":          {change(func(m *Manifest) { m.MinVersion = "v1.1.1" }), ErrTooOld, "v1.1.1"},
		"too large":        {bundle(t, m, bigger), ErrTooLarge, "make flash"},
		"runs already":     {bundle(t, manifest(1), image(1)), ErrSame, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, u, _ := appliance(t, 1)
			d := open(t, c)
			err := u.Install(t.Context(), bytes.NewReader(x.data), false)
			if !errors.Is(err, x.want) || !strings.Contains(err.Error(), x.text) {
				t.Fatalf("%v; want %v, %q", err, x.want, x.text)
			}
			got, err := slotstest.Load(c, func(s slots.Slot, _ bool) bool { return c.Bytes(d.Slot(s))[0] != 0 })
			if err != nil || got != (slots.Boot{Slot: slots.A}) {
				t.Errorf("then starts %+v, %v", got, err)
			}
			if c.Bytes(d.Slot(slots.B))[0] != 0 {
				t.Error("slot b has a boot sector")
			}
		})
	}
	// What the bundle says of itself is meant: the exact downgrade is taken.
	_, u, _ := appliance(t, 1)
	if err := u.Install(t.Context(), bytes.NewReader(change(func(m *Manifest) { m.Version, m.DowngradeFrom, m.Until = "v1.0.9", "v1.1.0", later })), false); err != nil {
		t.Errorf("a downgrade that was signed: %v", err)
	}
	// A signed manifest of another image.
	_, u, _ = appliance(t, 1)
	swapped := append(bytes.Clone(good[:bytes.IndexByte(good, '}')+65]), bundle(t, m, image(3))[bytes.IndexByte(good, '}')+65:]...)
	if err := u.Install(t.Context(), bytes.NewReader(swapped), false); !errors.Is(err, ErrImage) && !errors.Is(err, ErrTruncated) {
		t.Errorf("another image under a signed manifest: %v", err)
	}
}

// A board without a card, a trial that runs, no key.
func TestNotPossible(t *testing.T) {
	p := &phone{}
	u := New(Config{System: system(1), Log: slog.New(slog.DiscardHandler)})
	if err := u.Install(t.Context(), strings.NewReader(""), false); !errors.Is(err, ErrNoSlots) {
		t.Error(err)
	}
	c, _, _ := appliance(t, 1)
	u = updater(t, c, slots.Boot{Slot: slots.A, Trial: true}, system(1), p)
	if err := u.Install(t.Context(), strings.NewReader(""), false); !errors.Is(err, ErrOnTrial) {
		t.Error(err)
	}
	_, u, _ = appliance(t, 1)
	u.cfg.Keys = nil
	if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(2), image(2))), false); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "UPDATE_PUB") {
		t.Error(err)
	}
}

func TestVersionOrder(t *testing.T) {
	for _, x := range []struct {
		a, b string
		want int
	}{
		{"v1.2.3", "1.2.3", 0}, {"v1.2", "v1.2.1", -1}, {"v1.10.0", "v1.9.9", 1}, {"v1.2.3-4-gabc123", "v1.2.3", 1},
		{"v1.2.3-4-gabc123", "v1.2.3-10-gdef-dirty", -1}, {"3f019e4", "v1.2", 0}, {"unversioned", "unversioned", 0}, {"v2", "v1.0", 0},
		// SemVer 2.0.0 §11, and git describe after a prerelease.
		{"v1.0.0-alpha", "v1.0.0-alpha.1", -1}, {"v1.0.0-alpha.1", "v1.0.0-alpha.beta", -1}, {"v1.0.0-alpha.beta", "v1.0.0-beta", -1}, {"v1.0.0-beta", "v1.0.0-beta.2", -1},
		{"v1.0.0-beta.2", "v1.0.0-beta.11", -1}, {"v1.0.0-beta.11", "v1.0.0-rc.1", -1}, {"v1.0.0-rc.1", "v1.0.0", -1}, {"v1.0.0+b7", "v1.0.0", 0},
		{"v1.0-rc1", "v2.0", -1}, {"v1.0-rc2", "v1.0-rc10", -1}, {"v1.0-rc10", "v1.0-rc100000000000000000000", -1}, {"v1.0-rc01", "v1.0-rc1", 0}, {"v1.0~rc1", "v1.0-rc1", 0},
		{"v1.0-rc1", "v1.0-rc1-3-gabc", -1}, {"v1.0-rc1-3-gabc", "v1.0-rc1-12-gabc-dirty", -1}, {"v1.0-rc1-3-gabc", "v1.0-rc2", -1}, {"v1.0-rc1-3-gabc-dirty", "v1.0", -1}, {"v1.0-dirty", "v1.0", 0},
	} {
		if got := compare(x.a, x.b); got != x.want || compare(x.b, x.a) != -x.want {
			t.Errorf("%s to %s: %d, want %d", x.a, x.b, got, x.want)
		}
	}
	// Commits without a release are ordered by their times.
	now := System{Board: "b", Version: "3f019e4", Time: day1}
	m := Manifest{Board: "b", Version: "aaaaaaa", Time: day1.Add(-time.Hour)}
	if err := m.Fits(now, day1); !errors.Is(err, ErrDowngrade) {
		t.Error(err)
	}
	m.Time = day1.Add(time.Hour)
	if err := m.Fits(now, day1); err != nil {
		t.Error(err)
	}
}

// What cannot be compared with the version that a bundle needs is not taken to be later.
func TestMinVersion(t *testing.T) {
	for _, x := range []struct{ needs, runs, says string }{
		{"", "3f019e4", ""}, {"v1.2.0", "v1.2.0", ""}, {"v1.2.0", "v1.2.0-3-gabc123", ""}, {"3f019e4", "3f019e4", ""},
		{"v1.2.0", "v1.1.9", "install a version between them first"},
		{"v1.2.0", "3f019e4", "this runs 3f019e4, which is no release, so that nobody can tell; install the release v1.2.0 first, or make a bundle without --min-version"},
		{"3f019e4", "aaaaaaa", "it needs 3f019e4 or later, which is no release, such as v1.2.3"},
		{"3f019e4", "v1.2.0", "it needs 3f019e4 or later, which is no release, such as v1.2.3"},
	} {
		m := Manifest{Board: "b", Version: "v2.0.0", Time: day1.Add(time.Hour), MinVersion: x.needs}
		err := m.Fits(System{Board: "b", Version: x.runs, Time: day1}, day1)
		if errors.Is(err, ErrTooOld) != (x.says != "") || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("needs %q, runs %s: %v, want %q", x.needs, x.runs, err, x.says)
		}
	}
}

func TestWaitsForCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u, p := appliance(t, 1)
		p.set("2 calls", nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); u.Run(ctx) }()
		new := bundle(t, manifest(2), image(2))
		if err := u.Install(ctx, bytes.NewReader(new), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if s := u.Status(); s.Stage != Waiting || s.Waiting != "2 calls" || p.told() != "" {
			t.Errorf("with calls: %+v, restarted %q", s, p.told())
		}
		// A damaged bundle takes the trial back: nothing is restarted into, even when the calls have ended.
		if err := u.Install(ctx, bytes.NewReader(new[:len(new)-9]), false); !errors.Is(err, ErrTruncated) {
			t.Error(err)
		}
		p.set("", nil)
		time.Sleep(time.Minute)
		if p.told() != "" {
			t.Errorf("restarted %q", p.told())
		}
		p.set("1 call", nil)
		if err := u.Install(ctx, bytes.NewReader(new), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		p.set("", nil)
		time.Sleep(askEvery)
		synctest.Wait()
		if s := u.Status(); s.Stage != Restarting || p.told() != "update to v1.2.0" {
			t.Errorf("without calls: %+v, restarted %q", s, p.told())
		}
		if err := u.Install(ctx, bytes.NewReader(new), false); !errors.Is(err, ErrBusy) {
			t.Errorf("while it restarts: %v", err)
		}
		cancel()
		<-ended
	})
}

func TestDoesNotWait(t *testing.T) {
	for name, now := range map[string]bool{"told": true, "phone dead": false} {
		synctest.Test(t, func(t *testing.T) {
			_, u, p := appliance(t, 1)
			p.set("", errors.New("nobody listens"))
			if now {
				p.set("2 calls", nil)
			}
			go u.Run(t.Context())
			begin := time.Now()
			if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(2), image(2))), now); err != nil {
				t.Fatal(err)
			}
			for p.told() == "" && time.Since(begin) < time.Hour {
				time.Sleep(time.Second)
			}
			if took := time.Since(begin); now && took > time.Second || !now && (took < deadAfter || took > deadAfter+askEvery) {
				t.Errorf("%s: restarted %q after %v", name, p.told(), took)
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	for name, x := range map[string]struct {
		healthy func(after time.Duration) bool
		kept    bool
		after   time.Duration
	}{
		"healthy":         {func(time.Duration) bool { return true }, true, HealthyFor},
		"after a minute":  {func(d time.Duration) bool { return d >= time.Minute }, true, time.Minute + HealthyFor},
		"never":           {func(time.Duration) bool { return false }, false, ConfirmWithin},
		"falls ill again": {func(d time.Duration) bool { return d%(15*time.Second) != 0 }, false, ConfirmWithin},
		"in time":         {func(d time.Duration) bool { return d >= ConfirmWithin-HealthyFor }, true, ConfirmWithin},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := slotstest.NewCard(slotSize, slots.State{Seq: 4, Good: slots.A, Try: slots.B})
			p := &phone{}
			u := updater(t, c, slots.Boot{Slot: slots.B, Trial: true}, system(2), p)
			begin := time.Now()
			u.cfg.Healthy = func(context.Context) (bool, string) { return x.healthy(time.Since(begin)), "not registered\n" }
			if err := u.Confirm(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took != x.after {
				t.Errorf("%s: took %v, want %v", name, took, x.after)
			}
			st, _ := open(t, c).State()
			if kept := st.Good == slots.B && st.Try == slots.None; kept != x.kept || (p.told() == "") != x.kept {
				t.Errorf("%s: state %+v, restarted %q", name, st, p.told())
			}
			if x.kept {
				return
			}
			if !strings.Contains(u.Status().Error, "not registered") {
				t.Errorf("%s: %+v", name, u.Status())
			}
			// The one before it knows why.
			before := updater(t, c, slots.Boot{Slot: slots.A}, system(1), p)
			if err := before.Settle(); err != nil || before.Status().Error != "the last update was not healthy: not registered; the system before it runs again" {
				t.Errorf("%s: %v, then %+v", name, err, before.Status())
			}
			if st, err := open(t, c).State(); err != nil || st.Good != slots.A || st.Try != slots.None || st.Why != "" {
				t.Errorf("%s: %+v, %v", name, st, err)
			}
		})
	}
}

// A new system that cannot find the card that it came from is not kept running: the boot script brings the one before back.
func TestConfirmWithoutCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &phone{}
		u := New(Config{Running: slots.B, Trial: true, System: system(2), Busy: p.Busy, Healthy: p.Healthy, Restart: p.Restart, Log: slog.New(slog.DiscardHandler)})
		begin := time.Now()
		err := u.Confirm(t.Context())
		if took := time.Since(begin); err != nil || took != ConfirmWithin || p.told() == "" {
			t.Errorf("%v after %v, restarted %q", err, took, p.told())
		}
	})
}

// stuck is a card that has stopped answering while a system was on trial.
type stuck struct {
	*slotstest.Card
	end <-chan struct{}
}

func (s stuck) WriteAt([]byte, int64) (int, error) {
	<-s.end
	return 0, errors.New("no answer")
}

// A trial on a card that has stopped answering ends all the same.
func TestConfirmWithStuckCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slotstest.NewCard(slotSize, slots.State{Seq: 4, Good: slots.A, Try: slots.B})
		p := &phone{ill: "no peer"}
		u := updater(t, c, slots.Boot{Slot: slots.B, Trial: true}, system(2), p)
		end := make(chan struct{})
		u.cfg.Disk.Device = stuck{c, end}
		if err := u.Confirm(t.Context()); err != nil || p.told() == "" {
			t.Errorf("%v, restarted %q", err, p.told())
		}
		close(end)
	})
}

// A permission to go back ends, and is nowhere without an end.
func TestDowngradeEnds(t *testing.T) {
	m := manifest(0)
	m.DowngradeFrom, m.Until = "v1.1.0", day1.Add(DowngradeFor)
	if err := m.Fits(system(1), m.Until.Add(-time.Second)); err != nil {
		t.Error(err)
	}
	if err := m.Fits(system(1), m.Until); !errors.Is(err, ErrDowngrade) || !strings.Contains(err.Error(), "until 2026-11-15, and today is 2026-11-15; make another bundle") {
		t.Error(err)
	}
	newer := manifest(2)
	newer.DowngradeFrom, newer.Until = "v1.1.0", day1
	if err := newer.Fits(system(1), day1.AddDate(1, 0, 0)); err != nil {
		t.Errorf("no step back: %v", err)
	}
	for _, m := range []Manifest{{DowngradeFrom: "v1.1.0"}, {Until: day1}, {DowngradeFrom: "v1", Until: day1.AddDate(9000, 0, 0)}} {
		m.Board, m.Version, m.Time = "b", "v1.0", day1
		if _, err := MakeBundle(io.Discard, m, bytes.NewReader(image(1)), siteKey, spool(t)); err == nil || !strings.Contains(err.Error(), "until") {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

// What is refused is told to who sent it: whoever reaches the panel lights no fault lamp, and an old refusal stands nowhere.
func TestRefusalLeavesTheStatus(t *testing.T) {
	c := slotstest.NewCard(slotSize, slots.State{Seq: 3, Good: slots.A, Try: slots.B})
	copy(c.Bytes(open(t, c).Slot(slots.A)), image(1))
	u := updater(t, c, slots.Boot{Slot: slots.A}, system(1), &phone{})
	for range 2 {
		before := u.Status()
		for name, wrong := range map[string][]byte{"nonsense": []byte("x"), "replayed": bundle(t, manifest(0), image(0)), "that runs": bundle(t, manifest(1), image(1))} {
			if err := u.Install(t.Context(), bytes.NewReader(wrong), true); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
		if s := u.Status(); s != before {
			t.Errorf("%+v became %+v", before, s)
		}
		if err := u.Settle(); err != nil { // and once more with a failed update to tell
			t.Fatal(err)
		}
	}
	if s := u.Status(); s.Stage != Failed {
		t.Errorf("%+v", s)
	}
}

// What the last update left is told and put in order.
func TestSettle(t *testing.T) {
	for name, x := range map[string]struct {
		st    slots.State
		run   slots.Boot
		text  string
		after slots.State
	}{
		"nothing":         {slots.State{Seq: 3, Good: slots.A}, slots.Boot{Slot: slots.A}, "", slots.State{Seq: 3, Good: slots.A}},
		"trial fell back": {slots.State{Seq: 3, Good: slots.A, Try: slots.B}, slots.Boot{Slot: slots.A}, "was not healthy", slots.State{Seq: 4, Good: slots.A}},
		"good is broken":  {slots.State{Seq: 3, Good: slots.A}, slots.Boot{Slot: slots.B}, "slot a does not start", slots.State{Seq: 4, Good: slots.B}},
		"lost":            {slots.State{}, slots.Boot{Slot: slots.B}, "", slots.State{Seq: 1, Good: slots.B}},
		"on trial":        {slots.State{Seq: 3, Good: slots.A, Try: slots.B}, slots.Boot{Slot: slots.B, Trial: true}, "", slots.State{Seq: 3, Good: slots.A, Try: slots.B}},
	} {
		c := slotstest.NewCard(slotSize, x.st)
		u := updater(t, c, x.run, system(1), &phone{})
		if err := u.Settle(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := u.Status().Error; (got == "") != (x.text == "") || !strings.Contains(got, x.text) {
			t.Errorf("%s: says %q", name, got)
		}
		if got, err := open(t, c).State(); err != nil || got != x.after {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u, _ := appliance(t, 1)
		ask := func(method, target string, body []byte) (int, string, http.Header) {
			w := httptest.NewRecorder()
			u.ServeHTTP(w, httptest.NewRequest(method, target, bytes.NewReader(body)))
			return w.Code, w.Body.String(), w.Header()
		}
		good := bundle(t, manifest(2), image(2))
		for _, x := range []struct {
			method string
			body   []byte
			code   int
			text   string
		}{
			{"GET", nil, 200, `"stage":"idle"`},
			{"PUT", nil, 405, "want GET or POST"},
			{"POST", []byte("x"), 400, "cut off"},
			{"POST", []byte("x"), 429, "try again in 2s"},
		} {
			if code, body, _ := ask(x.method, "/update", x.body); code != x.code || !strings.Contains(body, x.text) {
				t.Errorf("%s of %d bytes: %d %s; want %d, %s", x.method, len(x.body), code, body, x.code, x.text)
			}
		}
		time.Sleep(2 * time.Second)
		ask("POST", "/update", []byte("x"))
		if _, body, h := ask("POST", "/update", []byte("x")); !strings.Contains(body, "in 4s") || h.Get("Retry-After") != "4" {
			t.Errorf("after two wrong ones: %s %v", body, h)
		}
		// The head alone says whether all of it would be taken, and changes nothing.
		foreign := bytes.Clone(good[:HeadSize])
		foreign[len(magic)+4+20] ^= 1
		for _, x := range []struct {
			body []byte
			code int
			text string
		}{
			{good[:HeadSize], 202, `"stage":"idle"`},
			{foreign, 403, "signature is wrong"},
			{bundle(t, manifest(1), image(1))[:HeadSize], 200, `"stage":"idle"`},
			{bundle(t, manifest(0), image(0))[:HeadSize], 400, "older than what runs"},
		} {
			if code, body, _ := ask("POST", "/update"+CheckPath, x.body); code != x.code || !strings.Contains(body, x.text) {
				t.Errorf("a head: %d %s; want %d, %s", code, body, x.code, x.text)
			}
		}
		// Who sends nonsense all the time keeps nobody from bringing a genuine one.
		if code, body, _ := ask("POST", "/update?now=1", good); code != 202 || !strings.Contains(body, `"target":"v1.2.0"`) {
			t.Errorf("%d %s", code, body)
		}
		if code, _, _ := ask("POST", "/update", bundle(t, manifest(1), image(1))); code != 200 {
			t.Errorf("what runs already: %d", code)
		}
	})
}

// Two at once: one is written, the other is told.
func TestOneAtATime(t *testing.T) {
	_, u, _ := appliance(t, 1)
	r, w := io.Pipe()
	first := make(chan error)
	go func() { first <- u.Install(t.Context(), r, false) }()
	good := bundle(t, manifest(2), image(2))
	if _, err := w.Write(good[:1000]); err != nil {
		t.Fatal(err)
	}
	if err := u.Install(t.Context(), bytes.NewReader(good), false); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	if _, err := w.Write(good[1000:]); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	dir := t.TempDir()
	file := func(name, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	der, err := x509.MarshalPKIXPublicKey(public[0])
	pub := file("update.pub", "PUBLIC KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(siteKey)
	key := file("update.key", "PRIVATE KEY", der, err)
	bad := file("bad.pub", "PUBLIC KEY", []byte("x"), nil)
	other, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public())
	theirs := file("image.pub", "PUBLIC KEY", other, err)
	keys, err := ReadKeys(filepath.Join(dir, "none"), bad, pub, theirs) // the site's key alone, not the image's
	if len(keys) != 1 || !keys[0].Equal(public[0]) || err == nil || !strings.Contains(err.Error(), "bad.pub: holds no") {
		t.Errorf("%v, %v", keys, err)
	}
	if got, err := ReadPrivateKey(key); err != nil || !got.Equal(siteKey) {
		t.Error(err)
	}
	if _, err := ReadPrivateKey(pub); err == nil || !strings.Contains(err.Error(), "is a public key; update.key signs") {
		t.Error(err)
	}
	slot := filepath.Join(dir, "slot.img")
	if err := os.WriteFile(slot, image(2), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "x.bundle")
	m, err := MakeBundleFile(out, manifest(2), slot, siteKey)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := OpenBundle(f, keys)
	if err != nil || b.Manifest != m {
		t.Fatalf("%+v, %v", b, err)
	}
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, image(2)) {
		t.Error(err)
	}
}

func FuzzBundle(f *testing.F) {
	good := bundle(f, manifest(2), image(2)[:slots.Sector])
	f.Add(good[:18], good[22:bytes.IndexByte(good, '}')+1], good[bytes.IndexByte(good, '}')+65:])
	f.Add([]byte(magic), []byte(`{"board":"b"}`), []byte{})
	f.Fuzz(func(t *testing.T, first, text, rest []byte) {
		// Signed by the site, so that the parser behind the signature is reached.
		data := append(bytes.Clone(first), byte(len(text)>>24), byte(len(text)>>16), byte(len(text)>>8), byte(len(text)))
		data = append(append(data, text...), ed25519.Sign(siteKey, append([]byte(magic), text...))...)
		data = append(data, rest...)
		b, err := OpenBundle(bytes.NewReader(data), public)
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, io.LimitReader(b, 1<<20))
		if err == nil && n != b.Manifest.Size && n < 1<<20 {
			t.Fatalf("%d bytes of an image of %d without an error", n, b.Manifest.Size)
		}
	})
}

// A trial that is not healthy is not ended while there are calls: they may have come although no registrar is reached. It is
// kept if it becomes healthy meanwhile.
func TestConfirmWaitsForCalls(t *testing.T) {
	for name, recovers := range map[string]bool{"recovers": true, "does not": false} {
		synctest.Test(t, func(t *testing.T) {
			c := slotstest.NewCard(slotSize, slots.State{Seq: 4, Good: slots.A, Try: slots.B})
			p := &phone{}
			p.set("1 call", nil)
			u := updater(t, c, slots.Boot{Slot: slots.B, Trial: true}, system(2), p)
			ctx, cancel := context.WithCancel(t.Context())
			begin := time.Now()
			u.cfg.Healthy = func(context.Context) (bool, string) {
				return recovers && time.Since(begin) > 10*time.Minute, "not registered"
			}
			done := make(chan error, 1)
			go func() {
				done <- u.Confirm(ctx)
			}()
			time.Sleep(9 * time.Minute)
			if s := u.Status(); p.told() != "" || s.Stage != Trial || s.Waiting != "1 call" {
				t.Errorf("%s: restarted %q with a parked caller: %+v", name, p.told(), s)
			}
			// phoned dies and comes back with its caller.
			p.set("", errors.New("nobody listens"))
			time.Sleep(deadAfter / 2)
			p.set("1 call", nil)
			time.Sleep(5 * time.Minute)
			if p.told() != "" {
				t.Errorf("%s: restarted %q while phoned was coming back", name, p.told())
			}
			p.set("", nil)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if st, _ := open(t, c).State(); (st.Good == slots.B) != recovers || (p.told() == "") != recovers || u.Status().Waiting != "" {
				t.Errorf("%s: state %+v, restarted %q, %+v", name, st, p.told(), u.Status())
			}
			cancel()
			<-done
		})
	}
}

// A system on trial that lives and never says which calls it has falls back, late.
func TestConfirmOfOneThatCannotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slotstest.NewCard(slotSize, slots.State{Seq: 4, Good: slots.A, Try: slots.B})
		p := &phone{ill: "phoned does not answer", err: ErrUncounted}
		u := updater(t, c, slots.Boot{Slot: slots.B, Trial: true}, system(2), p)
		begin, done := time.Now(), make(chan error)
		go func() { done <- u.Confirm(t.Context()) }()
		time.Sleep(ConfirmWithin + time.Second)
		if s := u.Status(); !strings.Contains(s.Waiting, ErrUncounted.Error()) {
			t.Errorf("%+v", s)
		}
		if err := <-done; err != nil || time.Since(begin) != UncountedFor || !strings.Contains(p.told(), "not healthy") {
			t.Errorf("%v after %v, restarted %q", err, time.Since(begin), p.told())
		}
	})
}

// Whoever reaches the panel can send anything: what is not signed, or does not fit, changes nothing about an update that waits
// for calls to end.
func TestWrongBundlesLeaveAWaitingOneAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u, p := appliance(t, 2)
		p.set("2 calls", nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); u.Run(ctx) }()
		if err := u.Install(ctx, bytes.NewReader(bundle(t, manifest(3), image(3))), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for name, wrong := range map[string][]byte{"nonsense": []byte("x"), "replayed": bundle(t, manifest(1), image(1)), "that runs": bundle(t, manifest(2), image(2))} {
			if err := u.Install(ctx, bytes.NewReader(wrong), true); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
		if s := u.Status(); s.Stage != Waiting || s.Target != "v1.3.0" {
			t.Errorf("%+v", s)
		}
		p.set("", nil)
		time.Sleep(2 * askEvery)
		if p.told() != "update to v1.3.0" {
			t.Errorf("restarted %q", p.told())
		}
		cancel()
		<-ended
	})
}

// A bundle that comes before Run has looked at what the last update left is not taken for that one.
func TestInstallBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u, p := appliance(t, 1)
		if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(2), image(2))), true); err != nil {
			t.Fatal(err)
		}
		u.Run(t.Context())
		if p.told() != "update to v1.2.0" {
			t.Errorf("restarted %q: %+v", p.told(), u.Status())
		}
	})
}

// deadlines records how long a handler gives its reader.
type deadlines struct {
	*httptest.ResponseRecorder
	read chan time.Duration // capacity 4
}

func (d deadlines) SetReadDeadline(at time.Time) error {
	d.read <- time.Until(at)
	return nil
}

// Who sends slowly has the place of the one update only once his bundle has proved genuine, and little time until then.
func TestSlowSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u, _ := appliance(t, 1)
		r, w := io.Pipe()
		d := deadlines{httptest.NewRecorder(), make(chan time.Duration, 4)}
		done := make(chan struct{})
		go func() { defer close(done); u.ServeHTTP(d, httptest.NewRequest("POST", "/update", r)) }()
		good := bundle(t, manifest(2), image(2))
		if _, err := w.Write(good[:10]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := <-d.read; got != headFor {
			t.Errorf("the head may take %v, want %v", got, headFor)
		}
		if err := u.Install(t.Context(), bytes.NewReader(good), false); err != nil {
			t.Errorf("another one, whole, meanwhile: %v", err)
		}
		w.CloseWithError(os.ErrDeadlineExceeded)
		<-done
		if d.Code != 400 || u.Status().Stage != Waiting {
			t.Errorf("%d, %+v", d.Code, u.Status())
		}
		if got := <-d.read; got > drainFor {
			t.Errorf("what is refused may come for %v", got)
		}
	})
}

// Who asks is told how the appliance is now, and not how it was when an update began that still waits for calls.
func TestWarnsOfNow(t *testing.T) {
	_, u, p := appliance(t, 1)
	p.ill = "neither registered nor in touch with a peer"
	if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(2), image(2))), false); err != nil || u.Status().Warning == "" {
		t.Fatalf("%v, %+v", err, u.Status())
	}
	p.ill = ""
	w := httptest.NewRecorder()
	u.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/update"+CheckPath, bytes.NewReader(bundle(t, manifest(3), image(3)))))
	var s Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != http.StatusAccepted || s.Warning != "" {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
}

// Who asks before he sends anything is warned too, and the status does not change by it.
func TestWarnsWhoAsks(t *testing.T) {
	_, u, p := appliance(t, 1)
	p.ill = "neither registered nor in touch with a peer"
	before := u.Status()
	w := httptest.NewRecorder()
	u.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/update"+CheckPath, bytes.NewReader(bundle(t, manifest(2), image(2)))))
	var s Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != http.StatusAccepted || !strings.HasSuffix(s.Warning, "not healthy itself: "+p.ill) || u.Status() != before {
		t.Errorf("%d %s, %v, then %+v", w.Code, w.Body, err, u.Status())
	}
}

// A system that was built anew of the same sources, with another kernel in it, is an update; the same content is none.
func TestSameVersionOtherContent(t *testing.T) {
	c, u, p := appliance(t, 1)
	if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(1), image(2))), false); err != nil {
		t.Fatal(err)
	}
	d := open(t, c)
	if got, err := d.State(); err != nil || got.Try != slots.B || !bytes.Equal(c.Bytes(d.Slot(slots.B))[:imageSize], image(2)) {
		t.Errorf("state %+v, %v", got, err)
	}
	if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(1), image(1))), false); !errors.Is(err, ErrSame) {
		t.Errorf("what runs: %v", err)
	}
	// It is tried and kept like any other, and then the one before it is the other content.
	u = updater(t, c, slots.Boot{Slot: slots.B}, system(1), p)
	if err := u.Install(t.Context(), bytes.NewReader(bundle(t, manifest(1), image(2))), false); !errors.Is(err, ErrSame) {
		t.Errorf("what runs now: %v", err)
	}
}
