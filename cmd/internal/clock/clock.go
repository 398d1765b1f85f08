// Package clock keeps the time of a board that may have no clock of its own. At start the time is at least that which was
// last written to the card, so that it never goes back over a restart; then it comes from NTP servers (RFC 5905, as a
// client only) and is written to the card every ten minutes.
//
// A large error is corrected at once, a small one by letting the clock run faster or slower, so that the time between two
// moments stays true for calls. It trusts a majority of the servers that answer, not the first one. Keeper.Run is one
// goroutine, with one more for each server while they are asked.
package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beevik/ntp"
	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/storage"
)

const (
	// stepAt is the error from which the clock is set instead of slewed. RFC 5905 §11.2.1: STEPT, 128 ms.
	stepAt = 128 * time.Millisecond
	// agree is how far answers may differ from the middle one; an answer further off counts for nothing.
	agree    = time.Second
	pollOK   = 1024 * time.Second // RFC 5905 §7.2: a client that is in step asks seldom
	pollSoon = 64 * time.Second   // until the second answer
	pollFail = 15 * time.Second   // doubles up to pollOK; RFC 5905 §7.4 asks servers to be spared
	first    = 10 * time.Second   // before nobody is there to be asked; Changed comes when the network does
	askFor   = 3 * time.Second
	most     = 4 // servers asked at a time
	// SaveEvery is the time between two that Run writes down.
	SaveEvery = 10 * time.Minute
)

// firstYear is that of the first of these programs.
const firstYear = 2026

// Unset says that a clock has not been set: its time is before these programs were.
func Unset(t time.Time) bool { return t.UTC().Year() < firstYear }

// Pool is asked when nobody names servers. The pool asks vendors for a zone of their own; a site has its own servers.
var Pool = []string{"0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org"}

// State is how far the time can be trusted.
type State struct {
	Synchronised bool
	Servers      []string      // that agreed at the last answer
	Offset       time.Duration // that was found then
	At           time.Time
	Fault        string // why nobody is in step; "" otherwise
}

// Options are what a Keeper needs.
type Options struct {
	File    string                                                          // keeps the time; "" for none
	Servers func() []string                                                 // whom to ask now
	Changed <-chan struct{}                                                 // somebody else may be asked: ask at once
	Ask     func(ctx context.Context, server string) (time.Duration, error) // nil: by NTP
	Adjust  func(offset time.Duration) error                                // nil: the system's clock
	Log     *slog.Logger
	// NotBefore and NotAfter bound what can be the time; zero: no bound.
	NotBefore, NotAfter time.Time
}

// Keeper keeps the clock.
type Keeper struct {
	opt Options

	mu    sync.Mutex
	state State // guarded by mu
}

// New makes a keeper; Run starts it.
func New(opt Options) *Keeper {
	if opt.Ask == nil {
		opt.Ask = func(ctx context.Context, server string) (time.Duration, error) {
			offset, _, err := Ask(ctx, server)
			return offset, err
		}
	}
	if opt.Adjust == nil {
		opt.Adjust = adjust
	}
	return &Keeper{opt: opt}
}

// State returns a copy of what is known.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// Run keeps the time until ctx ends. It writes it down at once, so that there is one from the first start on, then every
// SaveEvery and at the end.
func (k *Keeper) Run(ctx context.Context) {
	k.save()
	defer k.save()
	save := time.NewTicker(SaveEvery)
	defer save.Stop()
	next := time.NewTimer(first)
	defer next.Stop()
	pause, answers := pollFail, 0
	for {
		select {
		case <-save.C:
			k.save()
			continue
		case <-k.opt.Changed:
		case <-next.C:
		case <-ctx.Done():
			return
		}
		switch err := k.poll(ctx); {
		case err != nil:
			next.Reset(pause + rand.N(pause/4))
			pause = min(2*pause, pollOK)
		case answers == 0:
			answers, pause = 1, pollFail
			next.Reset(pollSoon)
			k.save()
		default:
			pause = pollFail
			next.Reset(pollOK + rand.N(pollSoon))
		}
	}
}

// poll asks the servers and corrects the clock.
func (k *Keeper) poll(ctx context.Context) error {
	servers := k.opt.Servers()
	servers = servers[:min(len(servers), most)]
	answers := make([]answer, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askFor)
			defer cancel()
			off, err := k.opt.Ask(ctx, s)
			answers[i] = answer{s, off, err}
		})
	}
	wg.Wait()
	offset, trusted, err := middle(answers)
	if err == nil {
		err = k.plausible(time.Now().Add(offset), trusted)
	}
	if err == nil {
		err = k.opt.Adjust(offset)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		if k.state.Fault != err.Error() {
			line, _, _ := strings.Cut(err.Error(), "\n")
			k.opt.Log.Warn("time", "err", line)
		}
		k.state.Fault = err.Error()
		return err
	}
	if !k.state.Synchronised || offset.Abs() >= stepAt {
		k.opt.Log.Info("time is set", "offset", offset.Round(time.Millisecond), "server", strings.Join(trusted, " "))
	}
	k.state = State{Synchronised: true, Servers: trusted, Offset: offset, At: time.Now()}
	return nil
}

// plausible says why a time is none.
func (k *Keeper) plausible(t time.Time, servers []string) error {
	if t.Before(k.opt.NotBefore) || !k.opt.NotAfter.IsZero() && t.After(k.opt.NotAfter) {
		return fmt.Errorf("%s says %s; must be %s to %s", strings.Join(servers, " "), t.UTC().Format(time.RFC3339),
			k.opt.NotBefore.UTC().Format(time.DateOnly), k.opt.NotAfter.UTC().Format(time.DateOnly))
	}
	return nil
}

type answer struct {
	server string
	offset time.Duration
	err    error
}

// errNobody says that no server is known.
var errNobody = errors.New("no time server is known")

// middle is the median of the answers, if more than half of them agree with it: of two that differ nobody knows who is right.
func middle(all []answer) (offset time.Duration, trusted []string, err error) {
	good := slices.DeleteFunc(slices.Clone(all), func(a answer) bool { return a.err != nil })
	if len(good) == 0 {
		var faults []error
		for _, a := range all {
			faults = append(faults, fmt.Errorf("%s: %w", a.server, a.err))
		}
		if len(faults) == 0 {
			return 0, nil, errNobody
		}
		return 0, nil, errors.Join(faults...)
	}
	slices.SortFunc(good, func(x, y answer) int { return int(min(1, max(-1, x.offset-y.offset))) })
	m := good[len(good)/2].offset
	for _, a := range good {
		if (a.offset - m).Abs() <= agree {
			trusted = append(trusted, a.server)
			offset += a.offset
		}
	}
	if 2*len(trusted) <= len(good) {
		return 0, nil, fmt.Errorf("the time servers differ by more than %v", agree)
	}
	return offset / time.Duration(len(trusted)), trusted, nil
}

// Ask asks one server (host or host:port) once, until ctx ends at the latest: what is to be added to the clock of the system,
// and the round trip.
func Ask(ctx context.Context, server string) (offset, took time.Duration, err error) {
	var d net.Dialer
	return ask(ctx, server, d.DialContext)
}

func ask(ctx context.Context, server string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (offset, took time.Duration, err error) {
	free := func() bool { return true }
	r, err := ntp.QueryWithOptions(server, ntp.QueryOptions{Timeout: askFor, Dialer: func(_, remote string) (net.Conn, error) {
		c, err := dial(ctx, "udp", remote)
		if err == nil {
			free = context.AfterFunc(ctx, func() { _ = c.Close() })
		}
		return c, err
	}})
	free()
	switch timeout := net.Error(nil); {
	case err != nil && ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return 0, 0, errors.New("no answer in time")
	case err != nil:
		return 0, 0, err
	case r.IsKissOfDeath(): // RFC 5905 §7.4
		return 0, 0, fmt.Errorf("it refuses: %q", r.KissCode)
	}
	// RFC 5905 §7.3: an unsynchronised server or a stratum of 16 is no time.
	if err := r.Validate(); err != nil {
		return 0, 0, err
	}
	return r.ClockOffset, r.RTT, nil
}

// adjust corrects the clock of the system: by a step, or by the kernel's PLL.
func adjust(offset time.Duration) error {
	if offset.Abs() >= stepAt {
		return Set(time.Now().Add(offset))
	}
	t := unix.Timex{Modes: adjOffset | adjStatus | adjTimeConst | adjNano, Status: staPLL | staNano, Constant: 6}
	setOffset(&t, offset)
	if _, err := unix.Adjtimex(&t); err != nil {
		return fmt.Errorf("adjtimex: %w", err)
	}
	return nil
}

// Of adjtimex(2), linux/timex.h.
const (
	adjOffset    = 0x0001
	adjStatus    = 0x0010
	adjTimeConst = 0x0020
	adjNano      = 0x2000
	staPLL       = 0x0001
	staNano      = 0x2000
)

// Set sets the clock of the system.
func Set(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// save writes the time down.
func (k *Keeper) save() {
	if k.opt.File == "" {
		return
	}
	err := storage.Replace(k.opt.File, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o644)
	if err != nil {
		k.opt.Log.Debug("the time is not kept", "err", err)
	}
}

// maxFiles bounds how many files Written looks at.
const maxFiles = 1000

// Kept is the time that a file's first line says (RFC 3339). One from limit on is nonsense: the zero time, as for no file.
func Kept(limit time.Time, file string) time.Time {
	text, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(line))
	if err != nil || !t.Before(limit) {
		return time.Time{}
	}
	return t
}

// Written is when a file of the folder was last written, the zero time if there is none. Times from limit on are nonsense and
// do not count, nor do those before 1970, which 32 bits make of times after 2038. Nothing in the folder is opened: it may be another user's.
func Written(limit time.Time, folder string) time.Time {
	none := time.Unix(0, 0)
	latest := none
	dir, err := os.OpenFile(folder, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return time.Time{}
	}
	defer dir.Close()
	entries, _ := dir.ReadDir(maxFiles) // an error ends them
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().After(latest) && info.ModTime().Before(limit) {
			latest = info.ModTime()
		}
	}
	if latest == none {
		return time.Time{}
	}
	return latest
}
