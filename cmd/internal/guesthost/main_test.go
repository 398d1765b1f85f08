//go:build image

package guesthost

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"parklamp/cmd/internal/client"
	"parklamp/parkd/panel"
)

const (
	socket = "/run/parklamp/phoned.sock"
	limit  = 60 * time.Second // of a wait for something that takes a second on a board
)

// built are the things every test boots; immutable after TestMain.
var built struct{ root, out, kernel, agent, phoned string }

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	Isolate()
	os.Exit(m.Run())
}

// prepare builds in the first process, where there is a network, and finds again in the second.
func prepare() (err error) {
	if built.root, err = Root(); err != nil {
		return err
	}
	built.out = filepath.Join(built.root, Out)
	if err := os.MkdirAll(built.out, 0o755); err != nil {
		return err
	}
	if built.kernel, err = Kernel(built.root); err != nil {
		return err
	}
	built.agent, built.phoned = filepath.Join(built.out, "agent"), filepath.Join(built.out, "phoned")
	if os.Getenv(inside) != "" {
		return nil
	}
	if err := Build(built.root, "./cmd/internal/hands/agent", built.agent); err != nil {
		return err
	}
	return Build(built.root, "./cmd/phoned", built.phoned)
}

// site is a switch and what is plugged in.
type site struct {
	*testing.T
	sw   *Switch
	dir  string
	last atomic.Int32
}

const subnet = "10.77.0."

func addr(last int) netip.Addr { return netip.MustParseAddr(fmt.Sprint(subnet, last)) }

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, dir: filepath.Join(built.out, t.Name())}
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sw, err := NewSwitch(netip.PrefixFrom(addr(1), 24))
	if err != nil {
		t.Fatal(err)
	}
	s.sw = sw
	t.Cleanup(sw.Close)
	return s
}

// phone is a guest with the firmware.
type phone struct {
	*Guest
	s      *site
	api    *client.Client
	at     netip.Addr
	number string
	clock  Clock
}

// tap presses a key as a finger does. In real time the matrix of a loaded emulator needs longer (see boardFile).
func (p *phone) tap(key string) {
	p.s.Helper()
	hold := 80 * time.Millisecond
	if p.clock == Real {
		hold = 700 * time.Millisecond
	}
	p.must(p.Tap(p.s.Context(), key, hold))
}

// spec says what a phone is switched on with.
type spec struct {
	Machine
	number string
	last   int    // of its address; 0: no network
	extra  string // TOML
}

func (s *site) on(m spec) *phone {
	s.Helper()
	p := &phone{s: s, number: m.number, clock: m.Clock}
	m.Dir = s.dir
	m.Kernel = built.kernel
	m.MAC = byte(m.last)
	agent, err := os.ReadFile(built.agent)
	if err != nil {
		s.Fatal(err)
	}
	phoned, err := os.ReadFile(built.phoned)
	if err != nil {
		s.Fatal(err)
	}
	listen := "127.0.0.1"
	if m.last > 0 {
		p.at = addr(m.last)
		listen = p.at.String()
		if m.Cable == nil {
			if m.Cable, err = s.sw.Plug(); err != nil {
				s.Fatal(err)
			}
		}
	}
	model, err := boardFile(m.Clock != Real)
	if err != nil {
		s.Fatal(err)
	}
	if m.Clock == Real {
		m.extra = "[keypad]\nlong_press = \"3s\"\n" + m.extra
	}
	toml := fmt.Sprintf("[appliance]\nname = %q\nnumber = %q\nlog_level = \"debug\"\n[sip]\nlisten = [\"udp:%[3]s:5060\", \"tcp:%[3]s:5060\"]\n"+
		"[journal]\npath = \"/data/parklamp/journal\"\n[board]\nmodel = \"qemu-virt\"\nfile = \"/hand/board.toml\"\n[audio]\ncard = \"Loopback\"\n%[4]s", m.Name, m.number, listen, m.extra)
	m.Segment = Segment(map[string]File{
		"hand/agent":       {agent, 0o755},
		"hand/board.toml":  {model, 0o644},
		"hand/orbits":      {[]byte("701 702 703 704 705 706 707 708 709 710"), 0o644},
		"hand/phoned":      {phoned, 0o755},
		"hand/phoned.toml": {[]byte(toml), 0o644},
		"hand/address":     {[]byte(listen + "/24"), 0o644},
	})
	if m.Card == "" {
		m.Card = filepath.Join(s.dir, m.Name+".img")
		if out, err := exec.Command("mkfs.ext4", "-q", "-F", m.Card, "64M").CombinedOutput(); err != nil {
			s.Fatalf("mkfs.ext4: %v\n%s", err, out)
		}
	}
	if p.Guest, err = SwitchOn(m.Machine); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(p.PullPlug)
	p.api = p.Client(socket)
	return p
}

// boardFile is the board of QEMU's machine. In real time an emulated line follows its row within milliseconds when this machine
// is busy: the matrix is then given more time than on a board, so that not everybody's load is tested but the phone.
func boardFile(steady bool) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(built.root, "board/models/qemu-virt.toml"))
	if err != nil || steady {
		return text, err
	}
	return regexp.MustCompile(`(?m)^settle = .*$`).ReplaceAll(text, []byte(`settle = "10ms"`)), nil
}

// ready waits until phoned answers, and returns when that was by the guest's clock.
func (p *phone) ready() time.Duration {
	p.s.Helper()
	if err := p.Ready(p.s.Context()); err != nil {
		p.s.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.s.Context(), BootLimit)
	defer cancel()
	for {
		_, err := p.api.Status(ctx)
		if err == nil {
			m, err := p.Look(ctx)
			if err != nil {
				p.s.Fatal(err)
			}
			return m.Uptime
		}
		select {
		case <-ctx.Done():
			p.s.Fatalf("%s: phoned does not answer: %v\n%s", p.Name, err, p.Tail())
		case <-p.Off():
			p.s.Fatalf("%s has switched itself off\n%s", p.Name, p.Tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// await waits for a status that fits.
func (p *phone) await(what string, fits func(panel.Status) bool) panel.Status {
	p.s.Helper()
	st, err := p.api.Await(p.s.Context(), limit, what, fits)
	if err != nil {
		p.s.Fatalf("%s: %v; health %+v\n%s", p.Name, err, st.Health, p.Tail())
	}
	return st
}

// must ends the test on an error.
func (p *phone) must(err error) {
	p.s.Helper()
	if err != nil {
		p.s.Fatalf("%s: %v", p.Name, err)
	}
}
