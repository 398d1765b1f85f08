// Package playout turns received packets into samples for one listener: the jitter buffer decides, the codec
// decodes, pitch periods are taken out or put in, what is missing is concealed.
//
// It is the same code in a session and in jitterlab, so that what is measured there is what is heard here. It is
// pure: no clock, goroutine, lock or log, and no allocation after New.
//
// Standards: RFC 3389 (comfort noise).
package playout

import (
	"time"

	"parklamp/media/comfort"
	"parklamp/media/jitter"
	"parklamp/media/plc"
	"parklamp/media/stretch"
	"parklamp/media/timeline"
)

const (
	// ComfortType marks comfort noise in a packet's Type; other types are the Decoder's.
	ComfortType = 0xff
)

// Kind says where the samples of a Read come from; the worst of several.
type Kind uint8

// The kinds, best first.
const (
	Audio     Kind = iota // received and decoded
	Comfort               // the sender is silent and described its background noise (RFC 3389)
	Silence               // nothing is being sent to us; the samples are zeros
	Concealed             // lost or late, replaced by concealment
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Audio:
		return "audio"
	case Comfort:
		return "comfort"
	case Silence:
		return "silence"
	case Concealed:
		return "concealed"
	}
	return "unknown"
}

// Decoder decodes a payload into dst and returns the samples written, at the rate of the player.
type Decoder interface {
	Decode(typ uint8, dst []int16, payload []byte) int
}

// Piece is one thing that was put in line to be played.
type Piece struct {
	At      time.Duration // when its first sample is played
	Kind    Kind
	Seq     uint16 // of Audio, and of Comfort that is new
	New     bool   // a packet begins here
	Samples int    // that are played
	Change  int    // samples put in; negative: taken out
}

// Stats counts samples since New.
type Stats struct {
	Played, Concealed uint64
	Removed, Inserted uint64 // by stretching
	Shorter, Longer   uint64 // pieces stretched
}

// Player belongs to one goroutine.
type Player struct {
	// Observe, if set, is told each piece.
	Observe func(Piece)

	buffer  *jitter.Buffer
	conceal *plc.Concealer
	stretch *stretch.Stretcher
	decoder Decoder
	rate    int
	stats   Stats

	fifo  []int16 // decoded, not played yet
	n     int     // samples in fifo
	kinds Kind    // worst kind in fifo
	piece []int16 // room to decode into
	noise comfort.Noise
	noisy bool // the last packet was of comfort noise
}

// New returns a player of rate samples a second, a multiple of 8000.
func New(cfg jitter.Config, rate int, d Decoder) *Player {
	most := jitter.MaxPayload * rate / timeline.ClockRate
	stretcher := stretch.New(rate)
	return &Player{
		buffer: jitter.New(cfg), conceal: plc.New(rate), stretch: stretcher, decoder: d, rate: rate,
		fifo:  make([]int16, 2*most+stretcher.Longest()),
		piece: make([]int16, most),
	}
}

// Put offers a packet that arrived at a time on the clock of Read.
func (p *Player) Put(packet *jitter.Packet, arrival time.Duration) jitter.Verdict {
	return p.buffer.Put(packet, arrival)
}

// Stats returns the counters of the player and of its jitter buffer.
func (p *Player) Stats() (Stats, jitter.Stats) { return p.stats, p.buffer.Stats() }

// Read fills dst, at most 60 ms, with what is played from a time on, and says of what kind it is.
func (p *Player) Read(dst []int16, at time.Duration) Kind {
	for p.n < len(dst) {
		p.more(at, len(dst))
	}
	copy(dst, p.fifo[:len(dst)])
	kind := p.kinds
	p.n = copy(p.fifo, p.fifo[len(dst):p.n])
	if p.n == 0 {
		p.kinds = Audio
	}
	return kind
}

// more decodes or makes up the next piece.
func (p *Player) more(at time.Duration, size int) {
	ahead := p.time(p.n)
	out := p.buffer.Get(jitter.Ask{
		At: at + ahead, Ahead: ahead, Need: max(1, (size-p.n)*timeline.ClockRate/p.rate), Grid: p.time(size),
	})
	n := min(out.Samples*p.rate/timeline.ClockRate, len(p.piece))
	piece := p.piece[:n]
	room := p.fifo[p.n:]
	event := Piece{At: at + ahead, Kind: Audio, Seq: out.Seq}
	switch out.Kind {
	case jitter.Play:
		p.noisy, event.New = false, true
		clear(piece[p.decoder.Decode(out.Type, piece, out.Payload):])
		p.conceal.Join(piece, out.Spliced)
		n = p.change(room, piece, out)
		event.Change = n - len(piece)
		p.conceal.Heard(room[:n])
		p.stats.Played += uint64(n)
	case jitter.Comfort:
		event.Kind, event.New = Comfort, true
		p.noisy = true
		p.noise.Describe(out.Payload)
		p.comfort(room[:n])
	case jitter.Silence:
		if p.noisy {
			event.Kind = Comfort // the noise lasts until there is audio again
			p.comfort(room[:n])
			break
		}
		event.Kind = Silence
		clear(room[:n])
		p.conceal.Good(room[:n], false)
	case jitter.Conceal:
		event.Kind = Concealed
		p.conceal.Conceal(room[:n])
		p.stats.Concealed += uint64(n)
	}
	p.n += n
	p.kinds = max(p.kinds, event.Kind)
	if p.Observe != nil {
		event.Samples = n
		p.Observe(event)
	}
}

// comfort makes noise as it was described last.
func (p *Player) comfort(dst []int16) {
	p.noise.Fill(dst, p.rate)
	p.conceal.Good(dst, false)
}

// change stretches a piece as the buffer asked.
func (p *Player) change(dst, piece []int16, out jitter.Out) int {
	want, care, background := out.Stretch*p.rate/timeline.ClockRate, out.Care, p.conceal.Background()
	switch {
	case want > 0:
		// Not more than three quarters of it again: beyond that it would be an echo.
		most := len(piece) + min(len(piece)*3/4, p.stretch.Longest())
		n := p.stretch.Lengthen(dst[:most], p.conceal.Past(), piece, want, care, background)
		if n > len(piece) {
			p.stats.Inserted += uint64(n - len(piece))
			p.stats.Longer++
		}
		return n
	case want < 0:
		n := p.stretch.Shorten(dst, p.conceal.Past(), piece, -want, care, background)
		if n < len(piece) {
			p.stats.Removed += uint64(len(piece) - n)
			p.stats.Shorter++
		}
		return n
	}
	return copy(dst, piece)
}

func (p *Player) time(samples int) time.Duration {
	return time.Duration(samples) * time.Second / time.Duration(p.rate)
}
