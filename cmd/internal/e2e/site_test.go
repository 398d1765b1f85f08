package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/mediatest"
	"parklamp/media/moh"
	"parklamp/media/wav"
	"parklamp/parkd/panel"
)

// limit bounds one step of a test. It says that something hangs, not how fast it should be, and a machine that is busy with
// other things is no hang: figures come from make bench.
const limit = 2 * time.Minute

// bin is the folder of the programs under test, plain that of the programs as they are shipped. They are the same unless
// the race detector runs: then those in bin look for races too, and are five to ten times slower. Its runtime dies of an
// assertion of its own when some 255 goroutines run, so that a crowd of calls goes to the plain ones.
var bin, plain string

// together is how many sites run at a time unless -parallel says it: the tests wait for sound most of their time.
const together = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	// A program with the race detector sleeps for a second at its end, in case a race is still to be told.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=50 "+os.Getenv("GORACE"))
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		if err := flag.Set("test.parallel", together); err != nil {
			panic(err)
		}
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "parklamp-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	plain = filepath.Join(dir, "plain")
	bin = plain
	if raceDetector {
		bin = filepath.Join(dir, "race")
		err = errors.Join(build(plain, "-race=false", "phoned"), build(bin, "-race", "phoned", "parkd", "parkctl"))
	} else {
		err = build(plain, "-race=false", "phoned", "parkd", "parkctl")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build(dir, flag string, programs ...string) error {
	args := []string{"build", "-o", dir + "/", flag}
	for _, name := range programs {
		args = append(args, "parklamp/cmd/"+name)
	}
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

// nets counts the networks given out, so that no two tests meet on an address. The process's id keeps those apart that
// run at the same time.
var nets atomic.Int32

// network is a piece of loopback of a test's own.
type network struct{ prefix string }

func newNetwork() network { return network{fmt.Sprintf("127.%d.%d.", 20+os.Getpid()%200, nets.Add(1))} }

func (n network) addr(last int) netip.Addr { return netip.MustParseAddr(n.prefix + fmt.Sprint(last)) }

func (n network) sip(last int) netip.AddrPort { return netip.AddrPortFrom(n.addr(last), 5060) }

// place is a running site with its test.
type place struct {
	*testing.T
	network
	*site.Site
	dir     string
	bin     string // folder of the programs; bin if empty
	desk301 string // URI of number 301, with TLS
	tls     string // folder with cert.pem, key.pem and both.pem; empty: nobody speaks TLS
	hall    *hall  // whose certificates the appliances have; nil: they speak TCP with each other
}

// operator is the last number of the address at which the emergency number of every site ends.
const operator = 10

// newPlace starts dock-1, dock-2 and office at .1, .2 and .3 with more TOML for each, and waits until they know each
// other. When the test ends, they are stopped, and their logs must hold no race and no panic.
func newPlace(t *testing.T, extra string) *place {
	t.Helper()
	return placeOf(t, bin, extra)
}

// placeOf is newPlace with the programs of a folder.
func placeOf(t *testing.T, programs, extra string) *place {
	t.Helper()
	p := &place{T: t, network: newNetwork(), dir: t.TempDir(), bin: programs}
	p.populate(extra)
	return p
}

// populate starts the three appliances.
func (p *place) populate(extra string) {
	p.Helper()
	worker := filepath.Join(p.dir, "worker.wav")
	if err := wav.WriteFile(worker, speech.Worker(), 8000); err != nil {
		p.Fatal(err)
	}
	audio := fmt.Sprintf("[audio]\nspeech = %q\n", worker)
	var members []site.Member
	for i, name := range []string{"dock-1", "dock-2", "office"} {
		members = append(members, site.Member{Name: name, Number: fmt.Sprint(201 + i), Addr: p.addr(i + 1), Extra: audio + extra, LogLevel: "debug",
			Directory: map[string]string{"112": "sip:112@" + p.sip(operator).String()}})
		if m := &members[i]; p.tls != "" {
			m.TLSCert, m.TLSKey, m.TLSCA = filepath.Join(p.tls, "cert.pem"), filepath.Join(p.tls, "key.pem"), filepath.Join(p.tls, "cert.pem")
			m.Directory["301"] = p.desk301
		} else if p.hall != nil {
			p.hall.equip(m)
		}
	}
	p.start(members)
}

func (p *place) start(members []site.Member) {
	p.Helper()
	programs := p.bin
	if programs == "" {
		programs = bin
	}
	for i := range members {
		members[i].Extra = patient(members[i].Extra)
	}
	s, err := site.Start(p.Context(), site.Options{Bin: programs, Dir: p.dir, Members: members})
	if err != nil {
		p.Fatal(err)
	}
	p.Site = s
	p.Cleanup(func() {
		s.Stop()
		for _, a := range s.Appliances {
			p.inspect(a)
		}
	})
	for _, a := range s.Appliances {
		p.await(a, "peers alive", func(st panel.Status) bool { return alivePeers(st) == len(members)-1 })
	}
}

// crash matches what no log may hold.
var crash = regexp.MustCompile(`DATA RACE|panic:|fatal error:|level=ERROR`)

func (p *place) inspect(a *site.Appliance) {
	text, err := os.ReadFile(a.Log)
	if err != nil {
		p.Error(err)
		return
	}
	if at := crash.FindIndex(text); at != nil {
		p.Errorf("%s: its log holds:\n%s", a.Name, text[at[0]:min(len(text), at[0]+3000)])
	}
	if err := a.Err(); err != nil {
		p.Error(err)
	}
	if p.Failed() {
		keep := filepath.Join(os.TempDir(), "parklamp-failed-"+strings.ReplaceAll(p.Name(), "/", "-")+"-"+a.Name+".log")
		if os.WriteFile(keep, text, 0o644) == nil {
			p.Logf("log of %s: %s", a.Name, keep)
		}
	}
}

func alivePeers(st panel.Status) int {
	n := 0
	for _, peer := range st.Peers {
		if peer.State == panel.PeerAlive {
			n++
		}
	}
	return n
}

func (p *place) dock1() *site.Appliance  { return p.Appliances[0] }
func (p *place) dock2() *site.Appliance  { return p.Appliances[1] }
func (p *place) office() *site.Appliance { return p.Appliances[2] }

// read reads from a stream of an appliance. Who does not read for some seconds is cut off: on a busy machine that may be the
// test, which begins again then.
func read(ctx context.Context, a *site.Appliance, stream func() error) error {
	for {
		err := stream()
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) || ctx.Err() != nil {
			return err
		}
		select {
		case <-a.Done():
			return err
		default:
		}
	}
}

// await waits for a status.
func (p *place) await(a *site.Appliance, what string, fits func(panel.Status) bool) panel.Status {
	p.Helper()
	var st panel.Status
	err := read(p.Context(), a, func() (err error) {
		st, err = a.Await(p.Context(), limit, what, fits)
		return err
	})
	if err != nil {
		p.Fatalf("%s: %v\nphone %+v\norbits %+v\ncalls %+v", a.Name, err, st.Phone, taken(st), st.Calls)
	}
	return st
}

// taken lists the orbits that are not free.
func taken(st panel.Status) map[string]string {
	m := map[string]string{}
	for _, o := range st.Orbits {
		if o.State != panel.StateFree {
			m[o.Number] = o.State
		}
	}
	return m
}

// everywhere waits until an orbit's lamp has a pattern on all appliances.
func (p *place) everywhere(orbit string, patterns ...string) {
	p.Helper()
	for i, a := range p.Appliances {
		want := patterns[min(i, len(patterns)-1)]
		p.await(a, "lamp "+orbit+" "+want, func(st panel.Status) bool { return lamp(st, "orbit-"+orbit).Pattern == want })
	}
}

func lamp(st panel.Status, id string) panel.Lamp {
	for _, l := range st.Lamps {
		if l.ID == id {
			return l
		}
	}
	return panel.Lamp{}
}

// press taps a key.
func (p *place) press(a *site.Appliance, key string) {
	p.Helper()
	if err := a.Press(p.Context(), key, panel.Tap); err != nil {
		p.Fatalf("%s: press %s: %v", a.Name, key, err)
	}
}

// hook lifts or replaces a handset and waits until the phone has seen it.
func (p *place) hook(a *site.Appliance, up bool) {
	p.Helper()
	if err := a.Hook(p.Context(), up); err != nil {
		p.Fatalf("%s: hook: %v", a.Name, err)
	}
	p.await(a, "hook", func(st panel.Status) bool { return st.Phone.HookUp == up })
}

// answer waits until a phone rings and lifts its handset.
func (p *place) answer(a *site.Appliance) {
	p.Helper()
	p.await(a, "ring", func(st panel.Status) bool { return st.Phone.Ring != "" })
	p.hook(a, true)
	p.talking(a)
}

func (p *place) talking(a *site.Appliance) {
	p.Helper()
	p.await(a, "talking", func(st panel.Status) bool { return st.Phone.State == "talking" })
}

// idle waits until appliances have no call left.
func (p *place) idle(all ...*site.Appliance) {
	p.Helper()
	for _, a := range all {
		p.await(a, "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 && len(taken(st)) == 0 })
	}
}

// outside is an outside caller: SIPp's signalling, a Talker's audio.
type outside struct {
	*peer.SIPp
	*peer.Talker
	t *testing.T
}

// call lets SIPp call an appliance from address .last, with a Talker that says the caller's speech.
func (p *place) call(a *site.Appliance, user string, last int, scenario string) *outside {
	p.Helper()
	return p.callTo(a.Addr, user, last, scenario)
}

// callTo does the same with any address.
func (p *place) callTo(to netip.Addr, user string, last int, scenario string) *outside {
	p.Helper()
	talker := p.talker(last, speech.Caller())
	s, err := peer.StartSIPp(peer.SIPpOptions{Scenario: scenario, Dir: p.T.TempDir(), Local: p.sip(last), Media: talker.Addr(),
		Remote: netip.AddrPortFrom(to, 5060), User: user, Keys: map[string]string{"caller": fmt.Sprint(5550000 + last)}})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(s.Stop)
	return &outside{s, talker, p.T}
}

// talker starts an RTP end that runs until the test ends.
func (p *place) talker(last int, says []int16) *peer.Talker {
	p.Helper()
	talker, err := peer.NewTalker(p.addr(last), says)
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = talker.Run(ctx) // always nil
	}()
	p.Cleanup(func() { cancel(); <-done })
	return talker
}

// ended waits until SIPp's scenario is through and checks that it went as written.
func (o *outside) ended() {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), limit)
	defer cancel()
	if err := o.Wait(ctx); err != nil {
		o.t.Fatal(err)
	}
}

// minimum is how much audio is compared.
const minimum = time.Second

// ear listens for one sound. Its error says that the sound did not come before ctx ended.
type ear func(ctx context.Context) error

// listen waits until each ear has heard its sound, all at the same time.
func (p *place) listen(ears ...ear) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), limit)
	defer cancel()
	errs := make(chan error, len(ears))
	for _, e := range ears {
		go func() { errs <- e(ctx) }()
	}
	var err error
	for range ears {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		p.Fatal(err)
	}
}

// hears waits until a talker has heard something that is like ref.
func (p *place) hears(who string, t *peer.Talker, ref []int16) {
	p.Helper()
	p.listen(recordingOf(who, t.Audio, ref))
}

// handset waits until a phone's handset hears something that is like ref.
func (p *place) handset(a *site.Appliance, ref []int16) {
	p.Helper()
	p.listen(handsetOf(a, ref))
}

// recordingOf is the ear of somebody whose audio can be had from a moment on.
func recordingOf(who string, audio func(from time.Time) []int16, ref []int16) ear {
	return func(ctx context.Context) error {
		from, best := time.Now(), 0.0
		for {
			select {
			case <-time.After(minimum / 4): // sound takes its time
			case <-ctx.Done():
				return deaf(who, best)
			}
			pcm := audio(from)
			if len(pcm) < int(minimum/time.Second)*8000 {
				continue
			}
			score := likeness(ref, pcm)
			if best = max(best, score); best >= mediatest.Same {
				return nil
			}
			from = time.Now()
		}
	}
}

// handsetOf is the ear at a desk phone.
func handsetOf(a *site.Appliance, ref []int16) ear {
	return func(ctx context.Context) error {
		best := 0.0
		var pcm []int16
		err := read(ctx, a, func() error {
			return a.Listen(ctx, func(frame []int16) bool {
				pcm = append(pcm, frame...)
				if len(pcm) < int(minimum/time.Second)*8000 {
					return true
				}
				score := likeness(ref, pcm)
				best, pcm = max(best, score), pcm[:0]
				return best < mediatest.Same
			})
		})
		if err == nil && best < mediatest.Same {
			err = deaf("the handset of "+a.Name, best)
		}
		return err
	}
}

func deaf(who string, best float64) error {
	return fmt.Errorf("%s does not hear what is said: best likeness %.2f, want %.2f", who, best, mediatest.Same)
}

// conversation checks both directions by content.
func (p *place) conversation(a *site.Appliance, o *outside) {
	p.Helper()
	p.listen(handsetOf(a, speech.Caller()), recordingOf("the caller", o.Audio, speech.Worker()))
}

func (p *place) music(o *outside) {
	p.Helper()
	p.hears("the parked caller", o.Talker, music())
}

// music is what parked callers hear.
func music() []int16 { return moh.BuiltIn().Samples() }
