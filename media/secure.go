package media

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parklamp/media/srtp"
)

var (
	// errNoKey says that a session is to be encrypted and has no key yet: after a restart, until the re-INVITE is answered.
	errNoKey = errors.New("media: no key")
	// errStranger and errSearch say why no rollover counter was looked for: not the far end's host, or too many packets.
	errStranger = errors.New("media: a stranger's packet")
	errSearch   = errors.New("media: too many packets without a rollover counter")
)

// guardRoom is how many octets protect may add to a packet.
const guardRoom = 64

// guard makes what a session sends secret and checks what it receives, where SRTP was agreed (RFC 3711). A session whose
// wiring has none sends and takes packets in the clear. Without a key it lets nothing through: what is agreed to be secret
// is never sent in the clear.
//
// protect, protectControl, unprotect and unprotectControl work in place and return the packet with its new length; an error
// means that nothing may be sent or taken. None allocates, but where a rollover counter is looked for (srtp.Opener.Search).
type guard struct {
	count *counters
	seal  *sealing // nil: no key
	open  *opening // nil: no key
}

// sealing is the key of one direction with all that was sent under it. It outlives a Configure with the same key, so that
// the rollover counter goes on (RFC 3711 §3.3.1).
type sealing struct {
	key srtp.Key
	rtp *srtp.Sealer // RTP under the lock of the outgoing stream
	mu  sync.Mutex   // guards the Sealer's RTCP
}

// opening is the same for the other direction. The openers are guarded by in.mu of the session.
type opening struct {
	key    srtp.Key
	opener *srtp.Opener
	back   bool // the opener was in use before, and its stream may have gone on meanwhile; guarded as it is
	// before is the key that this one took the place of. Packets under it are on their way, or the far end takes the new
	// one later: it is tried first, until the new key has opened keyOverlap packets. The first is too early: RTP and RTCP
	// come on two ports, and a network may let packets overtake each other.
	before *opening
	opened atomic.Uint32 // packets by the new key, up to keyOverlap
	try    []byte        // with before: room for a packet that is tried with both, as an attempt that fails may overwrite it
}

// keyOverlap is how many packets the new key opens before the old one goes: a second of RTP.
const keyOverlap = 50

// readSize is more than any packet that is accepted.
const readSize = 1500

// secured gives the guard of a session that was configured with p; old is the present one.
func (s *Session) secured(old *guard, p Params) (*guard, error) {
	if !p.Secure {
		return nil, nil
	}
	if old == nil {
		old = &guard{}
	}
	next := &guard{count: &s.count}
	var err error
	switch {
	case p.SendKey.Suite() == srtp.None:
	case old.seal != nil && old.seal.key.Equal(p.SendKey):
		next.seal = old.seal
	default:
		next.seal = &sealing{key: p.SendKey}
		// Departs from RFC 3711 §3.3.1, which lets the rollover counter go on under a new key: SDP cannot say it, so who
		// gets a key by SDP begins at 0.
		if next.seal.rtp, err = srtp.NewSealer(p.SendKey, 0); err != nil {
			return nil, err
		}
	}
	if next.open, err = s.openedBy(old.open, p.ReceiveKey); err != nil {
		return nil, err
	}
	return next, nil
}

// openedBy gives what opens packets under a key of the far end's; old is what did so far. The caller holds mu.
func (s *Session) openedBy(old *opening, key srtp.Key) (*opening, error) {
	switch {
	case key.Suite() == srtp.None:
		return nil, nil
	case old != nil && old.key.Equal(key):
		return old, nil
	}
	opener, back, err := s.openers.get(key, s.restored)
	if err != nil || old == nil {
		return &opening{key: key, opener: opener, back: back}, err
	}
	next := &opening{key: key, opener: opener, back: back, before: old.before, try: make([]byte, readSize)}
	// Where nothing came under the present key the far end may still use the one before it.
	if was := old.before; was == nil || old.opened.Load() > 0 || was.key.Equal(key) {
		next.before = &opening{key: old.key, opener: old.opener}
	}
	return next, nil
}

// openers are those of the last keys of a far end, the latest last: what came under a key must not come again when that is
// taken up again, as by a server that joins the same streams to a call in turns.
type openers []keyed

type keyed struct {
	key    srtp.Key
	opener *srtp.Opener
}

// maxOpeners is two more than are in use at a time.
const maxOpeners = 4

// get returns the opener of a key, and whether it was in use before. late: the stream may have begun in another life of this
// process. Under any key but the first it may have begun under one before.
func (o *openers) get(key srtp.Key, late bool) (opener *srtp.Opener, back bool, err error) {
	if i := slices.IndexFunc(*o, func(k keyed) bool { return k.key.Equal(key) }); i >= 0 {
		opener, back = (*o)[i].opener, true
		*o = slices.Delete(*o, i, i+1)
	} else if opener, err = srtp.NewOpener(key, late || len(*o) > 0); err != nil {
		return nil, false, err
	}
	*o = append(slices.Delete(*o, 0, max(len(*o)-maxOpeners+1, 0)), keyed{key, opener})
	return opener, back, nil
}

// ExpectKey makes an encrypted session ready for packets under a new key of the far end's, beside those under the present
// one. Configure says the rest; until then everything else stays. Whoever answers an offer with a new key calls it before
// the answer goes: the far end may send under that key as soon as it has the answer (RFC 3264 §6.1).
func (s *Session) ExpectKey(key srtp.Key) error {
	var bad error
	err := s.change(func(w *wiring) {
		if w.guard == nil || key.Suite() == srtp.None {
			return
		}
		var open *opening
		if open, bad = s.openedBy(w.guard.open, key); bad == nil {
			w.guard = &guard{count: w.guard.count, seal: w.guard.seal, open: open}
		}
	})
	return errors.Join(err, bad)
}

// protect is called under the lock of the outgoing stream: never twice at the same time.
func (g *guard) protect(packet []byte) ([]byte, error) {
	if g.seal == nil {
		return nil, errNoKey
	}
	return g.seal.rtp.RTP(packet)
}

// protectControl may be called from any goroutine, also while protect runs.
func (g *guard) protectControl(packet []byte) ([]byte, error) {
	if g.seal == nil {
		return nil, errNoKey
	}
	g.seal.mu.Lock()
	defer g.seal.mu.Unlock()
	return g.seal.rtp.RTCP(packet)
}

// unprotect is called before anything looks into the packet. search bounds those that are tried with all rollover counters;
// nil: none is, as it comes from a host that the far end is not at. The caller holds in.mu of the session.
func (g *guard) unprotect(packet []byte, search *flow, now time.Duration) ([]byte, error) {
	admitted := false // once, whatever the number of keys
	return g.counted(g.opened(packet, func(o *srtp.Opener, packet []byte) ([]byte, error) {
		switch {
		case admitted || !o.Searching(packet):
		case search == nil:
			return nil, errStranger
		case !search.admit(now, searchRate, searchBurst):
			return nil, errSearch
		default:
			admitted = true
		}
		return o.RTP(packet)
	}))
}

// unprotectControl is unprotect for RTCP.
func (g *guard) unprotectControl(packet []byte) ([]byte, error) {
	return g.counted(g.opened(packet, (*srtp.Opener).RTCP))
}

func (g *guard) opened(packet []byte, with func(*srtp.Opener, []byte) ([]byte, error)) ([]byte, error) {
	o := g.open
	if o != nil && o.back {
		o.back = false
		_ = o.opener.Search() // its key was good once
	}
	switch {
	case o == nil:
		return nil, errNoKey
	case o.before == nil || o.opened.Load() == keyOverlap:
		return with(o.opener, packet)
	case len(packet) > len(o.try):
		return nil, srtp.ErrMalformed
	}
	n := copy(o.try, packet)
	out, refused := with(o.before.opener, o.try[:n])
	if refused == nil {
		return packet[:copy(packet, out)], nil
	}
	// Also a packet that is a replay under the old key: its number is looked at before its tag, and under a new key SRTCP
	// counts from the beginning (RFC 3711 §3.3.1).
	out, err := with(o.opener, packet)
	switch {
	case err == nil:
		o.opened.Add(1)
	case errors.Is(err, srtp.ErrAuthentication):
		err = refused
	}
	return out, err
}

// counted counts what was refused by its reason.
func (g *guard) counted(packet []byte, err error) ([]byte, error) {
	switch {
	case err == nil:
	case errors.Is(err, errNoKey):
		g.count.early.Add(1)
	case errors.Is(err, errStranger):
		g.count.strangers.Add(1)
	case errors.Is(err, errSearch):
		g.count.overruns.Add(1)
	case errors.Is(err, srtp.ErrReplayed):
		g.count.bad.Add(1)
		g.count.replayed.Add(1)
	default:
		g.count.bad.Add(1)
		g.count.unauthentic.Add(1)
	}
	return packet, err
}

// roc is the rollover counter of the stream that a session sends; 0 in the clear. The caller holds o.mu.
func (w *wiring) roc() uint32 {
	if g := w.guard; g != nil && g.seal != nil {
		return g.seal.rtp.ROC()
	}
	return 0
}
