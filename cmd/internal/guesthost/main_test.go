//go:build image

package guesthost

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parklamp/cmd/internal/client"
	"parklamp/cmd/internal/initapi"
	member "parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

const (
	socket = initapi.PhonedSocket
	limit  = 2 * time.Minute // of a wait for something that takes a second on a board
)

// built are the things every test boots; immutable after TestMain.
var built struct{ root, out, image, agent, parkctl string }

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
	built.image = filepath.Join(built.root, "out/image/qemu-virt")
	if dir := os.Getenv("PARKLAMP_IMAGE"); dir != "" {
		built.image = dir
	}
	if _, err := os.Stat(filepath.Join(built.image, "card.img")); err != nil {
		return fmt.Errorf("there is no image (make image BOARD=qemu-virt): %w", err)
	}
	built.agent, built.parkctl = filepath.Join(built.out, "agent"), filepath.Join(built.out, "parkctl")
	if os.Getenv(inside) != "" {
		return nil
	}
	if out, err := exec.Command("go", "build", "-C", built.root, "-o", built.out+"/", "./cmd/parkctl", "./cmd/phoned").CombinedOutput(); err != nil {
		return fmt.Errorf("build parkctl and phoned: %w\n%s", err, out)
	}
	return Build(built.root, "./cmd/internal/hands/agent", built.agent)
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

// must ends the test on an error.
func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// appliance is one in this machine, in real time, beside the guests.
func (s *site) appliance(m member.Member) *member.Appliance {
	s.Helper()
	s.must(s.sw.Address(m.Addr))
	all, err := member.Start(s.Context(), member.Options{Bin: built.out, Dir: s.dir, Members: []member.Member{m}})
	s.must(err)
	s.Cleanup(func() {
		all.Stop()
		s.must(all.Appliances[0].Err())
	})
	return all.Appliances[0]
}

// await waits for a status of an appliance in this machine that fits.
func (s *site) await(a *member.Appliance, what string, fits func(panel.Status) bool) {
	s.Helper()
	if st, err := a.Await(s.Context(), limit, what, fits); err != nil {
		s.Fatalf("%s: %v; orbits %+v\n%s", a.Name, err, st.Orbits, a.Tail())
	}
}

// phone is a guest with the firmware.
type phone struct {
	*Guest
	s      *site
	api    *client.Client // of phoned
	at     netip.Addr
	number string
	clock  Clock
}

// explain says, when a test has failed, what the phone has to say.
func (p *phone) explain() {
	select {
	case <-p.Off():
		return
	default:
	}
	if !p.s.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.s.Context()), 10*time.Second)
	defer cancel()
	if st, err := p.api.Status(ctx); err == nil {
		p.s.Logf("%s: phone %+v, health %+v", p.Name, st.Phone, st.Health)
	}
	for _, line := range p.log() {
		if !strings.Contains(line, "OPTIONS") {
			p.s.Logf("%s: %s", p.Name, line)
		}
	}
}

// log is what the first process keeps of the programs' logs.
func (p *phone) log() (lines []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.s.Context()), 10*time.Second)
	defer cancel()
	text, err := p.Get(ctx, initapi.Socket, "/log")
	var log initapi.Log
	if err == nil {
		err = json.Unmarshal(text, &log)
	}
	if err != nil {
		p.s.Logf("%s: log: %v", p.Name, err)
		return nil
	}
	for _, l := range log.Lines {
		lines = append(lines, l.Text)
	}
	return lines
}

// hold is how long a finger stays on a key. Of presses of 80 ms this slow board does not see one in some dozens, on a busy host one in
// ten: no look comes within them while the collector of phoned is at work on its only core (README, Limits).
const hold = 120 * time.Millisecond

// tap presses a key as a finger does. In real time it stays down until the matrix was scanned some times: an emulator that
// this machine lets wait takes long for that.
func (p *phone) tap(key string) {
	p.s.Helper()
	ctx := p.s.Context()
	if p.clock != Real {
		p.must(p.Tap(ctx, key, hold))
		return
	}
	scans := func() uint64 {
		st, err := p.api.Status(ctx)
		p.must(err)
		return st.Counters["keypad.scans"]
	}
	const enough, longest = 5, 2500 * time.Millisecond // less than a long press
	before, began := scans(), time.Now()
	p.must(p.Press(ctx, key))
	for time.Since(began) < longest && scans() < before+enough {
		time.Sleep(20 * time.Millisecond)
	}
	p.must(p.Release(ctx, key))
}

// spec says what a phone is switched on with.
type spec struct {
	Machine
	number string
	last   int               // of its address; 0: no network
	extra  string            // TOML
	set    map[string]string // more files of the provisioning
	bare   bool              // no network interface in spite of an address
}

func (s *site) on(m spec) *phone {
	s.Helper()
	p := &phone{s: s, number: m.number, clock: m.Clock}
	m.Dir = s.dir
	m.MAC = byte(m.last)
	agent, err := os.ReadFile(built.agent)
	if err != nil {
		s.Fatal(err)
	}
	listen := []string{"udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"}
	network := "link_local = false\nlldp = false\n"
	if m.last > 0 {
		p.at = addr(m.last)
		listen = []string{"udp:eth0:5060", "tcp:eth0:5060"}
		network += fmt.Sprintf("address = \"%s/24\"\ngateway = %q\n", p.at, addr(1))
		if m.Cable == nil && !m.bare {
			if m.Cable, err = s.sw.Plug(); err != nil {
				s.Fatal(err)
			}
		}
	}
	model, err := boardFile(m.Clock != Real)
	if err != nil {
		s.Fatal(err)
	}
	period := "5ms"
	if m.Clock == Real {
		period = "10ms" // see boardFile: the card's queue of two periods ran empty seven times a second
		m.extra = "[keypad]\nlong_press = \"5s\"\n" + m.extra
	}
	toml := fmt.Sprintf("[appliance]\nname = %q\nnumber = %q\nlog_level = \"debug\"\n[sip]\nlisten = [%q, %q]\n"+
		"[journal]\npath = \"/data/parklamp/journal/calls\"\n[board]\nmodel = \"auto\"\nfile = \"/data/parklamp/board.toml\"\n[audio]\ncard = \"Loopback\"\nperiod = %q\n%s",
		m.Name, m.number, listen[0], listen[1], period, m.extra)
	m.Segment = Segment(map[string]File{
		"hand/agent":      {agent, 0o755},
		"hand/board.toml": {model, 0o644},
		"hand/orbits":     {[]byte("701 702 703 704 705 706 707 708 709 710"), 0o644},
	})
	if m.Card == "" {
		set := map[string]string{
			"identity.toml": fmt.Sprintf("site = \"test\"\nid = %q\nname = %[1]q\nnumber = %q\n", m.Name, m.number),
			"phoned.toml":   toml,
			"board.toml":    string(model),
			"network.toml":  network,
		}
		maps.Copy(set, m.set)
		m.Card = s.card(m.Name, set)
	}
	m.Kernel, m.Initrd = filepath.Join(built.image, "slot/zImage"), filepath.Join(built.image, "slot/initrd")
	m.Args = strings.TrimSpace("parklamp.slot=a parklamp.trial=0 parklamp.board=qemu-virt " + m.Args)
	if p.Guest, err = SwitchOn(m.Machine); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(p.PullPlug)
	p.api = p.Client(socket)
	s.Cleanup(p.explain)
	return p
}

// card is a copy of the image's card with a set of provisioning on its first partition, as `make flash` leaves it.
func (s *site) card(name string, set map[string]string) string {
	s.Helper()
	path := filepath.Join(s.dir, name+".img")
	run := func(args ...string) {
		s.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			s.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("cp", "--sparse=always", filepath.Join(built.image, "card.img"), path)
	const first = "@@4M" // where the first partition begins
	for file, text := range set {
		from := filepath.Join(s.dir, name+"."+file)
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
		run("mcopy", "-o", "-i", path+first, from, "::parklamp/"+file)
	}
	return path
}

// boardFile is the board of QEMU's machine. In real time an emulator on a busy machine has too few instructions for 2 ms: the
// matrix is then given more time than on a board.
func boardFile(steady bool) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(built.root, "board/models/qemu-virt.toml"))
	if err != nil || steady {
		return text, err
	}
	return regexp.MustCompile(`(?m)^settle = .*$`).ReplaceAll(text, []byte(`settle = "20ms"`)), nil
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
