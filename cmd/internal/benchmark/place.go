package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media"
	"parklamp/media/wav"
	"parklamp/parkd/panel"
)

// bench is one run of the benchmark.
type bench struct {
	bin, dir string
	quick    bool
	calls    int // size of the only crowds to measure; 0: all
	report   report
	speaker  *speaker
	nets     int
	late     []func() error // figures that need time to come about, taken when all stages are through
	atEnd    []func()       // stops what late needs
}

// choose returns a number for a full run or for a quick one.
func (b *bench) choose(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

// stage is one part of a run, on a piece of loopback of its own, so that nothing of an earlier one can reach it.
type stage struct {
	*bench
	ctx     context.Context
	name    string
	prefix  string
	mu      sync.Mutex
	said    []*mouth // guarded by mu: those that speak
	sites   []func() // end appliances, first: they say good-bye to phones that must be there to answer
	closers []func()
}

// stage runs one part and notes what it cost.
func (b *bench) stage(ctx context.Context, name string, f func(*stage) error) error {
	fmt.Fprintln(os.Stderr, "benchmark:", name)
	all, own, began := busy(), ownUsage(), time.Now()
	err := b.inside(ctx, name, f)
	b.report.stages = append(b.report.stages, stageCost{name: name, took: time.Since(began), all: busy().percent(all),
		itself: ownUsage().percent(own), failed: err, loadAtTheEnd: load()})
	return err
}

// inside runs f with a stage and closes what it opened.
func (b *bench) inside(ctx context.Context, name string, f func(*stage) error) error {
	b.nets++
	s := &stage{bench: b, ctx: ctx, name: name, prefix: fmt.Sprintf("127.40.%d.", b.nets)}
	defer s.close()
	return f(s)
}

func (s *stage) close() {
	s.mu.Lock()
	for _, m := range s.said {
		s.speaker.stop(m)
	}
	s.mu.Unlock()
	for _, f := range slices.Concat(s.sites, s.closers) {
		f()
	}
	s.sites, s.closers = nil, nil
}

// outlive leaves what the stage has opened to the end of the run.
func (s *stage) outlive() {
	s.atEnd = append(s.atEnd, (&stage{sites: s.sites, closers: s.closers}).close)
	s.sites, s.closers = nil, nil
}

func ownUsage() usage {
	u, _ := usageOf(os.Getpid()) // our own /proc entry is there as long as we are
	return u
}

func (s *stage) addr(last int) netip.Addr { return netip.MustParseAddr(s.prefix + fmt.Sprint(last)) }

// sip is the SIP address of an appliance.
func (s *stage) sip(last int) netip.AddrPort { return netip.AddrPortFrom(s.addr(last), 5060) }

func (s *stage) ua(last int) (*ua, error) {
	u, err := newUA(s.addr(last))
	if err == nil {
		s.closers = append(s.closers, u.close)
	}
	return u, err
}

// uas opens several, at addresses that follow each other.
func (s *stage) uas(first, n int) ([]*ua, error) {
	var all []*ua
	for i := range n {
		u, err := s.ua(first + i)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

func (s *stage) ear(last int) (*ear, error) {
	e, err := newEar(s.addr(last))
	if err == nil {
		s.closers = append(s.closers, e.close)
	}
	return e, err
}

func (s *stage) hall(last int) (*hall, error) {
	h, err := newHall(s.addr(last))
	if err == nil {
		s.closers = append(s.closers, h.close)
	}
	return h, err
}

// speak has a mouth of a hall speak in a slot of its own until the stage is closed.
func (s *stage) speak(h *hall, to netip.AddrPort, slot int) {
	m := newMouth(h.sock, to)
	s.mu.Lock()
	s.said = append(s.said, m)
	s.mu.Unlock()
	s.speaker.join(m, slot)
}

// settings are the tables of a configuration that differ from the default. Nobody is called back during a measurement.
type settings struct {
	orbits   []string // the default's ten if nil
	calls    int      // at the same time; the default if 0
	speech   string   // WAV file for the microphone
	logLevel string   // "warn" if empty
	plain    bool     // not favoured over other programs
	under    []string // a command that runs the program
}

func (c settings) toml() string {
	var b strings.Builder
	fmt.Fprint(&b, "[lot]\ntimeout = \"2h\"\nundo_window = \"0s\"\n")
	if c.calls > 0 {
		fmt.Fprintf(&b, "max_calls = %d\n", c.calls)
	}
	if c.orbits != nil {
		fmt.Fprintf(&b, "orbits = [\"%s\"]\n", strings.Join(c.orbits, "\", \""))
	}
	fmt.Fprint(&b, "\n[access]\ninvites_per_minute = 0\ncalls_per_source = 0\n")
	if c.calls > 0 {
		fmt.Fprintf(&b, "\n[calls]\nmax_calls = %d\n", c.calls)
	}
	if c.speech != "" {
		fmt.Fprintf(&b, "\n[audio]\nspeech = %q\n", c.speech)
	}
	return b.String()
}

// media are the keys of table media: the default nice value, unless it is to be favoured in nothing.
func (c settings) media() string {
	keys := fmt.Sprintf("nice = %d\n", media.Default().Nice)
	if c.plain {
		keys = "nice = 0\n"
	}
	if c.calls > 0 {
		keys += fmt.Sprintf("port_min = 20000\nport_max = 29999\nmax_sessions = %d\n", c.calls)
	}
	return keys
}

// numbers makes n orbit numbers.
func numbers(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(7000+i))
	}
	return all
}

// gateway starts one appliance without a phone and without peers, at .1.
func (s *stage) gateway(c settings) (*site.Appliance, error) {
	sites, err := s.start(c, []site.Member{{Name: "gateway", Number: "100", Addr: s.addr(1), Program: "parkd", Media: c.media(), Extra: c.toml(),
		LogLevel: c.level(), Under: c.under}})
	if err != nil {
		return nil, err
	}
	return sites.Appliances[0], nil
}

// phones starts three phones that know each other, at .1, .2 and .3.
func (s *stage) phones(c settings) (*site.Site, error) {
	c.speech = filepath.Join(s.dir, "worker.wav")
	if err := wav.WriteFile(c.speech, speech.Worker(), 8000); err != nil {
		return nil, err
	}
	var members []site.Member
	for i, name := range []string{"dock-1", "dock-2", "office"} {
		members = append(members, site.Member{Name: name, Number: fmt.Sprint(201 + i), Addr: s.addr(i + 1), Media: c.media(), Extra: c.toml(), LogLevel: c.level()})
	}
	all, err := s.start(c, members)
	if err != nil {
		return nil, err
	}
	for _, a := range all.Appliances {
		if _, err := a.Await(s.ctx, answerLimit, a.Name+" to know its peers", knows(len(members)-1)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// knows wants so many peers alive.
func knows(n int) func(panel.Status) bool {
	return func(st panel.Status) bool {
		alive := 0
		for _, p := range st.Peers {
			if p.State == panel.PeerAlive {
				alive++
			}
		}
		return alive == n
	}
}

func (c settings) level() string {
	if c.logLevel == "" {
		return "warn"
	}
	return c.logLevel
}

func (s *stage) start(c settings, members []site.Member) (*site.Site, error) {
	dir := filepath.Join(s.dir, strings.TrimSuffix(s.prefix, "."))
	all, err := site.Start(s.ctx, site.Options{Bin: s.bin, Dir: dir, Members: members})
	if err != nil {
		return nil, err
	}
	s.sites = append(s.sites, func() {
		all.Stop()
		for _, a := range all.Appliances {
			if err := a.Err(); err != nil {
				s.report.note("%s: %v", s.name, err)
			}
		}
	})
	if !c.plain && !favoured(all.Appliances[0].PID()) {
		s.report.note("The appliances ran with the nice value of any program: this system did not grant the default configuration's.")
	}
	return all, nil
}

// together runs f for 0 to n-1, at most width at a time and not more than rate in a second, and joins the errors. A
// rate of 0 is as fast as it goes.
func (s *stage) together(n, width, rate int, f func(i int) error) error {
	room := make(chan struct{}, width)
	errs := make(chan error, n) // one for each
	start := time.Now()
	for i := range n {
		if rate > 0 {
			if err := pause(s.ctx, time.Until(start.Add(time.Duration(i)*time.Second/time.Duration(rate)))); err != nil {
				return err
			}
		}
		room <- struct{}{}
		go func() {
			errs <- f(i)
			<-room
		}()
	}
	var all error
	failed := 0
	for range n {
		if err := <-errs; err != nil {
			if failed++; failed <= 3 {
				all = errors.Join(all, err)
			}
		}
	}
	if failed > 3 {
		all = errors.Join(all, fmt.Errorf("and %d more of %d", failed-3, n))
	}
	return all
}
