// Package bridge mixes the parties of a conference: each hears the sum of all the others, never itself.
//
// A Mixer has at most MaxParties. A party is what a media session plays and what listens to it (Source and Sink), or a
// local end (handset, loudspeaker) that the mixer itself asks for sound once in each tick. Who sends nothing in a tick is
// concealed for one frame and then silent; a sum that is too loud is turned down by a limiter that looks ahead within the
// frame, so that nothing is added to the delay and nothing that fits is changed by a single bit.
//
// It knows neither codecs nor RTP, starts no goroutine and does not allocate after a party was added. The ticks come from
// the parties: the first one that is asked again begins the next tick.
package bridge

import (
	"errors"
	"slices"
	"sync"

	"parklamp/media"
)

// MaxParties is how many can be in one conference.
const MaxParties = 8

// ErrFull: MaxParties are in.
var ErrFull = errors.New("bridge: the conference is full")

// Mixer is one conference. Its methods and those of its parties may be called from any goroutine; none waits for more
// than the mixing of a frame.
type Mixer struct {
	// guarded by mu
	mu      sync.Mutex
	parties []*Party
	total   [media.FrameSamples]int32 // of all parties in this tick
	begun   bool                      // there has been a tick
}

// Party is one end of a conference.
type Party struct {
	// immutable
	mixer  *Mixer
	source media.Source // of a local end, else nil
	sink   media.Sink   // of a local end, else nil

	// guarded by the mixer's mu
	in      media.Frame // came since the last tick
	fresh   bool        // in has not been mixed yet
	heard   media.Frame // its part of the mixer's total
	silent  bool        // heard is all zeros
	faded   bool        // heard is the fading end of what came last
	asked   bool        // has had its frame of this tick
	held    bool        // not to be heard by the others
	gone    bool
	out     media.Frame // what a local end hears
	limiter limiter
}

var (
	_ media.Source = (*Party)(nil)
	_ media.Sink   = (*Party)(nil)
)

// New returns a conference of nobody.
func New() *Mixer { return &Mixer{parties: make([]*Party, 0, MaxParties)} }

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

// Parties returns how many are in.
func (m *Mixer) Parties() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.parties)
}

// Leave takes the party out; what it plays from then on is nothing. Further calls do nothing.
func (p *Party) Leave() {
	m := p.mixer
	m.mu.Lock()
	defer m.mu.Unlock()
	p.gone = true
	m.parties = slices.DeleteFunc(m.parties, func(o *Party) bool { return o == p })
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
func (p *Party) Write(f *media.Frame, _ media.Kind) {
	m := p.mixer
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.gone {
		return
	}
	if p.fresh { // nobody has asked since: the local ends must not wait for that
		m.mix()
	}
	p.in, p.fresh = *f, true
}

// Next gives the party what the others say. It implements media.Source.
func (p *Party) Next(f *media.Frame) bool {
	m := p.mixer
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.gone {
		return false
	}
	if p.asked || !m.begun {
		m.mix()
	}
	p.asked = true
	p.hear(f)
	return true
}

// mix begins the next tick.
func (m *Mixer) mix() {
	m.begun = true
	clear(m.total[:])
	for _, p := range m.parties {
		p.asked = false
		if p.source != nil {
			p.fresh = p.source.Next(&p.in)
		}
		p.speak()
		if p.silent {
			continue
		}
		for i, s := range &p.heard {
			m.total[i] += int32(s)
		}
	}
	for _, p := range m.parties {
		if p.sink != nil {
			p.hear(&p.out)
			p.sink.Write(&p.out, media.Audio)
		}
	}
}

// speak settles what the others hear of the party in this tick: what came, or if nothing did the last frame once more,
// fading away, and then silence.
func (p *Party) speak() {
	switch {
	case p.fresh && !p.held:
		p.heard, p.silent, p.faded = p.in, false, false
	case !p.silent && !p.faded:
		for i, s := range &p.heard {
			p.heard[i] = int16(int32(s) * int32(len(p.heard)-i) / int32(len(p.heard)))
		}
		p.faded = true
	default:
		clear(p.heard[:])
		p.silent = true
	}
	p.fresh = false
}

// hear fills f with the sum of the others.
func (p *Party) hear(f *media.Frame) {
	var sum [media.FrameSamples]int32
	for i, t := range &p.mixer.total {
		sum[i] = t - int32(p.heard[i])
	}
	p.limiter.run(f, &sum)
}
