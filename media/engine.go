package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parklamp/media/jitter"
	"parklamp/media/rtpio"
)

// What callers decide on.
var (
	ErrClosed     = errors.New("media: session closed")
	ErrStopped    = errors.New("media: engine stopped")
	ErrFull       = errors.New("media: as many sessions as allowed are open")
	ErrRelayed    = errors.New("media: session already in a relay")
	errCodec      = errors.New("media: no codec agreed")
	errDigitsFull = errors.New("media: too many digits waiting to be sent")
)

// callbackQueue callbacks wait at most; a digit beyond that is dropped and counted, a timeout tried again.
const callbackQueue = 256

// Engine is the clock and the ports of all sessions of an appliance.
type Engine struct {
	// immutable
	cfg     Config
	log     *slog.Logger
	clock   Clock
	network rtpio.Network
	ports   *rtpio.Ports
	poller  rtpio.Poller
	pacer   *pacer
	calls   chan func() // capacity callbackQueue

	sessions atomic.Pointer[[]*Session] // replaced under mu
	skipped  atomic.Uint64
	kept     atomic.Bool // see Keep

	controlQueue, controlSpare chan *controlled // capacity controlQueue each; together as many places

	mu      sync.Mutex
	stopped bool // guarded by mu
	opening int  // guarded by mu
}

// Option changes an Engine at its making.
type Option func(*Engine)

// WithNetwork makes sessions open their sockets on n instead of the kernel.
func WithNetwork(n rtpio.Network) Option { return func(e *Engine) { e.network = n } }

// WithClock replaces the kernel's clock.
func WithClock(c Clock) Option { return func(e *Engine) { e.clock = c } }

// NewEngine returns an engine with a valid cfg. It paces nothing before Run.
func NewEngine(cfg Config, log *slog.Logger, opts ...Option) *Engine {
	e := &Engine{cfg: cfg, log: log, network: rtpio.Kernel, calls: make(chan func(), callbackQueue)}
	for _, o := range opts {
		o(e)
	}
	if e.clock == nil {
		e.clock = newKernelClock()
	}
	e.pacer = newPacer(e.clock, &e.skipped)
	e.poller = e.network.NewPoller()
	e.controlQueue, e.controlSpare = newControlQueue()
	e.ports = rtpio.NewPorts(e.network, cfg.PortMin, cfg.PortMax, cfg.DSCP)
	e.sessions.Store(new([]*Session))
	return e
}

// Run paces until ctx ends, closes every session and returns when the last goroutine has ended.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() { e.pace(ctx) })
	wg.Go(func() { e.control(ctx) })
	wg.Go(func() { failed = e.read(ctx) })
	wg.Go(func() {
		for {
			select {
			case f := <-e.calls:
				f()
			case <-ctx.Done():
				return
			}
		}
	})
	<-ctx.Done()
	wg.Wait()
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	for _, s := range *e.sessions.Load() {
		if e.kept.Load() {
			s.muteControl()
		}
		s.Close()
	}
	return failed
}

// SetDSCP marks the packets of all sessions with another DiffServ code point than Config.DSCP; what they send goes on.
func (e *Engine) SetDSCP(dscp int) {
	e.mu.Lock()
	e.ports.SetDSCP(dscp)
	open := *e.sessions.Load()
	e.mu.Unlock()
	for _, s := range open {
		s.mu.Lock() // against Move
		err := e.ports.Mark(s.pair.Load())
		s.mu.Unlock()
		if err != nil && !errors.Is(err, net.ErrClosed) {
			e.log.Warn("packets keep their mark", "dscp", dscp, "err", err)
		}
	}
}

// Keep says that the streams that are left when Run ends go on in another process: their far ends hear no good-bye by RTCP.
func (e *Engine) Keep() { e.kept.Store(true) }

// Skipped returns the ticks that were left out because the machine stood still for more than 100 ms.
func (e *Engine) Skipped() uint64 { return e.skipped.Load() }

// Sessions returns the number of open sessions.
func (e *Engine) Sessions() int { return len(*e.sessions.Load()) }

// Open binds a port pair on a local address. The session receives at once and sends nothing until
// Configure. It lives until Close or the end of Run.
func (e *Engine) Open(local netip.Addr) (*Session, error) {
	return e.open(func() (*rtpio.Pair, error) { return e.ports.Open(local) }, newOrigin())
}

// Restore opens a session where State was taken from: the same port, and a stream that goes on with the
// same SSRC as if the packets in between had been lost. Resume, Play and the callbacks are to be called anew.
func (e *Engine) Restore(st State) (*Session, error) {
	s, err := e.open(func() (*rtpio.Pair, error) { return e.ports.OpenAt(st.Local) }, st.resume(time.Now(), e.clock.Now()))
	if err == nil {
		s.restored = true
	}
	return s, err
}

func (e *Engine) open(bind func() (*rtpio.Pair, error), from origin) (*Session, error) {
	if err := e.admit(); err != nil {
		return nil, err
	}
	pair, err := bind()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opening--
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	if e.stopped {
		pair.Close()
		return nil, ErrStopped
	}
	s := newSession(e, pair, from)
	if err := s.attach(pair); err != nil {
		pair.Close()
		return nil, fmt.Errorf("open session: %w", err)
	}
	_ = e.ports.Mark(pair) // SetDSCP may have come since it was opened; what cannot be marked is sent all the same
	next := append(slices.Clone(*e.sessions.Load()), s)
	e.sessions.Store(&next)
	return s, nil
}

func (e *Engine) admit() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return ErrStopped
	}
	if len(*e.sessions.Load())+e.opening >= e.cfg.MaxSessions {
		return ErrFull
	}
	e.opening++
	return nil
}

func (e *Engine) remove(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pacer.stir(s)
	next := slices.DeleteFunc(slices.Clone(*e.sessions.Load()), func(o *Session) bool { return o == s })
	e.sessions.Store(&next)
}

// post queues a callback and reports whether there was room.
func (e *Engine) post(f func()) bool {
	select {
	case e.calls <- f:
		return true
	default:
		return false
	}
}

// pace runs the pacer. Neither it nor a reader has a thread of its own: a goroutine that is bound to one can go on, after
// it has let others of the Go runtime run, only when a second thread has woken up and handed the processor back (measured: 150
// times a second, and half of what made packets late).
func (e *Engine) pace(ctx context.Context) {
	e.pacer.run(ctx, new(scratch))
}

// read runs the readers.
func (e *Engine) read(ctx context.Context) error {
	err := e.poller.Run(ctx)
	if err != nil {
		e.log.Error("media receives nothing any more", "err", err)
	}
	return err
}

// packetRoom is what any packet needs that is sent.
const packetRoom = headerSize + jitter.MaxPayload + guardRoom

// scratch is the working memory of a goroutine that sends, shared by all sessions.
type scratch struct {
	packet  [packetRoom]byte
	frame   Frame
	wide    WideFrame
	payload [FrameSamples]byte
}
