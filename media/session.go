package media

import (
	"cmp"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parklamp/media/codec"
	"parklamp/media/dtmf"
	"parklamp/media/rtcp"
	"parklamp/media/rtpio"
	"parklamp/media/srtp"
)

// maxDigits digits wait to be sent at most.
const maxDigits = 64

// Session is one RTP stream in each direction on one socket. Its methods may be called from any goroutine;
// none of them waits for the network or the next tick.
type Session struct {
	// immutable
	engine *Engine
	pair   atomic.Pointer[rtpio.Pair] // replaced under mu by Move; read once per packet

	wiring     atomic.Pointer[wiring] // replaced under mu; read once per packet and once per tick
	remote     atomic.Pointer[netip.AddrPort]
	digits     atomic.Pointer[digitQueue] // made under mu by the first SendDTMF
	sendsDigit atomic.Bool                // a digit is being sent: audio gives way

	out     outgoing // own lock
	in      incoming // but for its reception guarded by in.mu
	count   counters
	reports reports // own lock

	pace    pacing // owned by the pacer
	stirred atomic.Bool

	mu      sync.Mutex // serialises changes of wiring
	closed  bool       // guarded by mu
	openers openers    // guarded by mu

	restored bool // immutable: the far end's stream began in another life of this process
}

// digitQueue holds the digits that wait, of which most calls have none. Capacity maxDigits; SendDTMF refuses what does not fit.
type digitQueue chan dtmf.Key

// wiring is what a session is connected to. It is never changed, only replaced.
type wiring struct {
	params     Params
	configured bool
	revision   uint64 // grows with each Configure

	source  Source
	encoded EncodedSource // source, if it is one
	wide    WideSource    // source, if it is one
	timed   Timed         // source, if it is one

	sink   Sink
	puller Puller // sink, if it is one
	ear    *ear   // not nil while sink is set

	relay *Relay
	other *Session

	guard *guard // nil: in the clear

	onDTMF    func(digit byte, inBand bool)
	onLatch   func()
	onTimeout func()
	timeout   time.Duration
	armedAt   time.Duration // when timeout began to count, if nothing came since
}

// pacing is what the pacer remembers of a session from tick to tick.
type pacing struct {
	encoder codec.Encoder
	gate    gate // used where silence is not sent
	digits  dtmf.Sender
	tone    dtmf.Tone
	digitTS uint32
	fired   time.Duration // the silence that began at this time has been reported

	placed bool // in a slot of the wheel
	slot   int64
	from   time.Duration // nothing is due in it before
	move   int64         // slots by which it is to be later from the next tick on
}

func newSession(e *Engine, pair *rtpio.Pair, from origin) *Session {
	s := &Session{engine: e, out: outgoing{origin: from}}
	s.pair.Store(pair)
	s.pace.fired = -1
	s.reports.name = cmp.Or(from.name, rtcp.NewName())
	s.wiring.Store(&wiring{})
	s.remote.Store(new(netip.AddrPort))
	return s
}

// change replaces the wiring by a changed copy.
func (s *Session) change(f func(w *wiring)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	w := *s.wiring.Load()
	f(&w)
	s.rewire(&w)
	return nil
}

// rewire puts a wiring in the place of the one before. The caller holds mu.
func (s *Session) rewire(w *wiring) {
	old := s.wiring.Load()
	s.wiring.Store(w)
	if old.ear == w.ear && old.puller == w.puller {
		return
	}
	if old.puller != nil {
		old.puller.Drop(old.ear)
	}
	if w.puller != nil {
		w.puller.Take(w.ear)
	}
}

// LocalAddr returns the address to be offered in SDP.
func (s *Session) LocalAddr() netip.AddrPort { return s.pair.Load().RTP.LocalAddr() }

// Configure sets what was agreed, again after each re-INVITE. SSRC, sequence and clock stay. Sending needs a
// codec: without one it is an error.
func (s *Session) Configure(p Params) error { return s.configure(p, p.Remote) }

// Resume is the first Configure of a session that goes on from State: with what was agreed, and with the source that was believed
// then, which behind a NAT is another than the one agreed, also in the answer to a re-INVITE.
func (s *Session) Resume(st State) error {
	s.in.mu.Lock()
	s.in.latch = resumed(st.Params.Remote, st.Remote, s.engine.clock.Now())
	s.in.mu.Unlock()
	return s.configure(st.Params, cmp.Or(st.Remote, st.Params.Remote))
}

// configure sends to target where p's address is a new one.
func (s *Session) configure(p Params, target netip.AddrPort) error {
	if p.Send && p.Codec == codec.None {
		return errCodec
	}
	p.Remote = netip.AddrPortFrom(p.Remote.Addr().Unmap(), p.Remote.Port())
	p.RTCP = netip.AddrPortFrom(p.RTCP.Addr().Unmap(), p.RTCP.Port())
	p.SignalledFrom = p.SignalledFrom.Unmap()
	defer s.engine.pacer.stir(s)
	var bad error
	err := s.change(func(w *wiring) {
		g, err := s.secured(w.guard, p)
		if err != nil {
			bad = err
			return
		}
		w.guard = g
		if !w.configured || p.Remote != w.params.Remote {
			target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
			s.remote.Store(&target)
		}
		if !w.params.Receive && p.Receive {
			w.armedAt = s.engine.clock.Now()
		}
		w.params, w.configured = p, true
		w.revision++
		s.fitEar(w)
	})
	if err = errors.Join(err, bad); err == nil {
		s.signalControl(p)
	}
	return err
}

// Play sets what is sent from now on; nil sends nothing. Where nothing was being sent, the first packet goes out within
// slotTime, else when the last one's audio ends. The pacer may call the previous source once more.
func (s *Session) Play(src Source) {
	encoded, _ := src.(EncodedSource)
	wide, _ := src.(WideSource)
	timed, _ := src.(Timed)
	_ = s.change(func(w *wiring) { w.source, w.encoded, w.wide, w.timed = src, encoded, wide, timed })
	s.engine.pacer.stir(s)
}

// Listen sets what hears the far end; nil nobody. While set, it gets a frame in each tick, or reads by itself (Puller).
func (s *Session) Listen(sink Sink) {
	puller, _ := sink.(Puller)
	_ = s.change(func(w *wiring) {
		w.sink, w.puller = sink, puller
		s.fitEar(w)
	})
	s.engine.pacer.stir(s)
}

// SendDTMF queues digits (0-9 * # A-D), each sounding and followed by a pause as given, at least 40 ms each.
// They go out as telephone-events where those were agreed, else as tones. After an error none was queued.
func (s *Session) SendDTMF(digits string, each, gap time.Duration) error {
	presses, err := dtmf.Keys(digits, each, gap)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	queue := s.digits.Load()
	if queue == nil {
		queue = new(make(digitQueue, maxDigits))
		s.digits.Store(queue)
	}
	if len(presses) > maxDigits-len(*queue) {
		return errDigitsFull
	}
	for _, k := range presses {
		select {
		case *queue <- k:
		default:
			return errDigitsFull
		}
	}
	return nil
}

// OnDTMF sets what is told each digit that the far end sends: as a telephone-event, at its beginning, or where those
// were not agreed as a tone in its audio (inBand), some 40 ms after. It runs on the engine's callback goroutine and must
// not block.
func (s *Session) OnDTMF(f func(digit byte, inBand bool)) {
	_ = s.change(func(w *wiring) { w.onDTMF = f })
}

// OnLatch sets what is told that our packets follow the far end to another address, which State has from then on. It runs and
// must not block as OnDTMF's; when too many callbacks wait it is not told.
func (s *Session) OnLatch(f func()) {
	_ = s.change(func(w *wiring) { w.onLatch = f })
}

// OnTimeout sets what is told once when no RTP has been received for d while some was allowed to come; the
// next packet arms it again. d = 0 turns it off. Like OnDTMF it must not block.
func (s *Session) OnTimeout(d time.Duration, f func()) {
	_ = s.change(func(w *wiring) { w.timeout, w.onTimeout, w.armedAt = d, f, s.engine.clock.Now() })
}

// Close ends a relay that the session is in, ends its stream (RTCP BYE), closes its ports at once and forgets it.
// Further calls do nothing.
func (s *Session) Close() error {
	if b := s.wiring.Load().relay; b != nil {
		b.Close()
	}
	s.endControl()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	w := *s.wiring.Load()
	s.rewire(&wiring{})
	s.mu.Unlock()
	// A relay may have been made between the first look and the closing.
	if w.relay != nil {
		w.relay.Close()
	}
	s.engine.remove(s)
	return s.pair.Load().Close()
}

// hear is called by the pacer. at is the tick's nominal time.
func (s *Session) hear(at time.Duration, room *scratch) {
	switch w := s.wiring.Load(); {
	case w.puller != nil:
		w.ear.relieve(at, room)
	case w.ear != nil:
		w.ear.hear(w.sink, at, room)
	}
}

// tick is called by the pacer after every session of its slot has heard.
func (s *Session) tick(at time.Duration, room *scratch) {
	w := s.wiring.Load()
	s.pace.move = 0
	s.speak(w, at, room)
	s.follow(w, at)
	s.watch(w, at)
}

// follow lets the stream go with the clock of its source.
func (s *Session) follow(w *wiring, at time.Duration) {
	if w.timed == nil || !w.sending() {
		return
	}
	switch by := w.timed.Shift(at); {
	case by >= slotTime:
		s.pace.move = 1
	case by <= -slotTime:
		s.pace.move = -1
	default:
		return
	}
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	s.out.ideal += time.Duration(s.pace.move) * slotTime
}

// watch reports a far end that has fallen silent.
func (s *Session) watch(w *wiring, at time.Duration) {
	if w.timeout <= 0 || w.onTimeout == nil || !w.params.Receive {
		return
	}
	since := max(w.armedAt, time.Duration(s.count.lastReceived.Load()))
	if at-since >= w.timeout && s.pace.fired != since && s.engine.post(w.onTimeout) {
		s.pace.fired = since
	}
}

// sending reports whether packets may go out.
func (w *wiring) sending() bool {
	return w.configured && w.params.Send && !w.params.Withhold && (!w.params.Secure || w.params.SendKey.Suite() != srtp.None)
}

// target returns where packets go: the latched source, else the signalled address.
func (s *Session) target() (netip.AddrPort, bool) {
	to := *s.remote.Load()
	return to, to.IsValid() && to.Port() != 0 && !to.Addr().IsUnspecified() && to != s.LocalAddr() // a far end may claim to be here
}
