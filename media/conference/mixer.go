// Package conference mixes the parties of a conference: each hears the sum of all the others, never itself.
//
// A Mixer has at most MaxParties. A party is what a media session plays and what listens to it (Source and Sink), or a
// local end (handset, loudspeaker) that the mixer itself asks for sound once in each tick. Who sends nothing in a tick is
// concealed for one frame and then silent; a sum that is too loud is turned down by a limiter that looks ahead within the
// frame, so that nothing is added to the delay and nothing that fits is changed by a single bit.
//
// While a wideband party is in, everything is mixed at 16 kHz and narrowband parties pass through a half-band filter (0.2
// ms); without one nothing is resampled.
//
// Sessions begin with ticks at times of their own within the 20 ms. Their parties move them together (media.Timed), and with
// the clock of a local end that has one, so that what one says reaches the others in the same tick.
//
// It knows neither codecs nor RTP, starts no goroutine and does not allocate after a party was added. The ticks come from
// the parties: the first one that is asked again begins the next tick.
package conference

import (
	"errors"
	"sync"
	"time"

	"parklamp/media"
	"parklamp/media/halfband"
)

// MaxParties is how many can be in one conference.
const MaxParties = 8

// ErrFull: MaxParties are in.
var ErrFull = errors.New("conference: full")

// Mixer is one conference. Its methods and those of its parties may be called from any goroutine; none waits for more
// than the mixing of a frame.
type Mixer struct {
	// guarded by mu
	mu      sync.Mutex
	parties []*Party
	total   [media.WideSamples]int32 // of all parties in this tick
	n       int                      // samples of this tick: media.FrameSamples or media.WideSamples
	begun   bool                     // there has been a tick
	moved   time.Duration            // when the move of the parties that are together was decided
	move    time.Duration            // by how much their next tick is to come later
}

// Party is one end of a conference.
type Party struct {
	// immutable
	mixer  *Mixer
	source media.Source // of a local end, else nil
	sink   media.Sink   // of a local end, else nil

	// guarded by the mixer's mu
	in       media.WideFrame // came since the last tick
	inWide   bool            // in is wide, else it fills the first half
	asks     bool            // it asks for wide frames
	fresh    bool            // in has not been mixed yet
	heard    media.WideFrame // its part of the mixer's total
	silent   bool            // heard is all zeros
	faded    bool            // heard is the fading end of what came last
	asked    bool            // has had its frame of this tick
	held     bool            // not to be heard by the others
	at       time.Duration   // the last tick of its session
	up, rise halfband.Up     // of what it says, of what it hears
	down     halfband.Down
	limiter  limiter
}

var (
	_ media.WideSource = (*Party)(nil)
	_ media.Timed      = (*Party)(nil)
	_ media.WideSink   = (*Party)(nil)
)

// New returns a conference of nobody.
func New() *Mixer { return &Mixer{parties: make([]*Party, 0, MaxParties), n: media.FrameSamples} }

// Add lets a party in that asks for its sound (Next) and gives its own (Write) once in each tick: a media session that
// plays the party and is listened to by it.
func (m *Mixer) Add() (*Party, error) { return m.add(nil, nil) }

// AddLocal lets in a party that the mixer asks for sound and gives sound to, once in each tick. Neither may block or call
// back; a Source that reports false is silent.
func (m *Mixer) AddLocal(source media.Source, sink media.Sink) (*Party, error) {
	return m.add(source, sink)
}

func (m *Mixer) add(source media.Source, sink media.Sink) (*Party, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.parties) == MaxParties {
		return nil, ErrFull
	}
	p := &Party{mixer: m, source: source, sink: sink, silent: true, limiter: limiter{gain: 1}}
	m.parties = append(m.parties, p)
	return p, nil
}

// Hold keeps the party from being heard by the others, while it goes on hearing them: its far end has put the conference
// on hold, and its music is not for the others.
func (p *Party) Hold(on bool) {
	m := p.mixer
	m.mu.Lock()
	defer m.mu.Unlock()
	p.held = on
}

// Write takes what the party says. It implements media.Sink.
func (p *Party) Write(f *media.Frame, _ media.Kind) { p.write(f[:], false) }

// WriteWide implements media.WideSink.
func (p *Party) WriteWide(f *media.WideFrame, _ media.Kind) { p.write(f[:], true) }

func (p *Party) write(x []int16, wide bool) {
	m := p.mixer
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.fresh { // nobody has asked since: the local ends must not wait for that
		m.mix()
	}
	copy(p.in[:], x)
	p.inWide, p.fresh = wide, true
}

// Next gives the party what the others say. It implements media.Source.
func (p *Party) Next(f *media.Frame) bool { return p.next(f[:], false) }

// NextWide implements media.WideSource.
func (p *Party) NextWide(f *media.WideFrame) bool { return p.next(f[:], true) }

func (p *Party) next(dst []int16, wide bool) bool {
	m := p.mixer
	m.mu.Lock()
	defer m.mu.Unlock()
	p.asks = wide
	if p.asked || !m.begun {
		m.mix()
	}
	p.asked = true
	p.hear(dst)
	return true
}

// Shift brings the tick of the party to that of the first one, and all of them, once they are together, to the clock of a
// local end. It implements media.Timed.
func (p *Party) Shift(at time.Duration) time.Duration {
	m := p.mixer
	m.mu.Lock()
	defer m.mu.Unlock()
	p.at = at
	if off := (m.first(p).at - at) % media.FrameDuration; off != 0 {
		// The shorter way round.
		switch {
		case off > media.FrameDuration/2:
			return off - media.FrameDuration
		case off < -media.FrameDuration/2:
			return off + media.FrameDuration
		}
		return off
	}
	if m.moved != at {
		m.moved, m.move = at, m.lead(at)
	}
	return m.move
}

// first is the party that the others follow, as far as p, which has just had a tick, can tell: the first whose session has
// ticks.
func (m *Mixer) first(p *Party) *Party {
	for _, o := range m.parties {
		if o.source == nil && p.at-o.at <= 2*media.FrameDuration {
			return o
		}
	}
	return p
}

// lead is by how much a local end wants its next tick to come later.
func (m *Mixer) lead(at time.Duration) time.Duration {
	for _, p := range m.parties {
		if t, ok := p.source.(media.Timed); ok {
			return t.Shift(at)
		}
	}
	return 0
}

// mix begins the next tick.
func (m *Mixer) mix() {
	m.begun = true
	m.n = media.FrameSamples
	for _, p := range m.parties {
		if p.asks || p.fresh && p.inWide {
			m.n = media.WideSamples
		}
	}
	total := m.total[:m.n]
	clear(total)
	for _, p := range m.parties {
		p.asked = false
		if p.source != nil {
			p.ask()
		}
		p.speak()
		if p.silent {
			continue
		}
		for i, s := range p.heard[:m.n] {
			total[i] += int32(s)
		}
	}
	for _, p := range m.parties {
		if p.sink != nil {
			p.give()
		}
	}
}

// ask takes the frame of a local end.
func (p *Party) ask() {
	if wide, ok := p.source.(media.WideSource); ok && p.mixer.n == media.WideSamples {
		p.inWide, p.fresh = true, wide.NextWide(&p.in)
		return
	}
	p.inWide, p.fresh = false, p.source.Next((*media.Frame)(p.in[:]))
}

// give lets a local end hear. Its frame of this tick has been taken, so that its place is free.
func (p *Party) give() {
	if wide, ok := p.sink.(media.WideSink); ok && p.mixer.n == media.WideSamples {
		p.hear(p.in[:])
		wide.WriteWide(&p.in, media.Audio)
		return
	}
	p.hear(p.in[:media.FrameSamples])
	p.sink.Write((*media.Frame)(p.in[:]), media.Audio)
}

// speak settles what the others hear of the party in this tick: what came, or if nothing did the last frame once more,
// fading away, and then silence.
func (p *Party) speak() {
	heard := p.heard[:p.mixer.n]
	switch {
	case p.fresh && !p.held:
		if !p.inWide && len(heard) == media.WideSamples {
			p.up.Fill(heard, p.in[:media.FrameSamples])
		} else {
			copy(heard, p.in[:])
		}
		p.silent, p.faded = false, false
	case !p.silent && !p.faded:
		n := int32(len(heard))
		for i, s := range heard {
			heard[i] = int16(int32(s) * (n - int32(i)) / n)
		}
		p.faded = true
	default:
		clear(p.heard[:])
		p.silent = true
	}
	p.fresh = false
}

// hear fills dst, of either length, with the sum of the others.
func (p *Party) hear(dst []int16) {
	var sum [media.WideSamples]int32
	var out media.WideFrame
	n := p.mixer.n
	for i, t := range p.mixer.total[:n] {
		sum[i] = t - int32(p.heard[i])
	}
	switch {
	case len(dst) == n:
		p.limiter.run(dst, sum[:n])
	case len(dst) < n:
		p.limiter.run(out[:n], sum[:n])
		p.down.Fill(dst, out[:n])
	default: // it has just become wide: from the next tick on there is more to hear
		p.limiter.run(out[:n], sum[:n])
		p.rise.Fill(dst, out[:n])
	}
}
