package main

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/zaf/g711"

	"parklamp/media/codec"
	"parklamp/media/moh"
)

const (
	frame      = 20 * time.Millisecond
	samples    = 160 // of a frame at 8 kHz
	rtpHeader  = 12
	probeMagic = 0x506c6231
	probeHz    = 2000 // of the tone behind the mark; no tone of a phone has it
)

// kind says what a packet carries.
type kind uint8

const (
	other kind = iota // speech of a handset, silence
	music
	probe // a packet of ours that was relayed
)

// packet is what is kept of an RTP packet.
type packet struct {
	at   stamp
	kind kind
	mark uint32 // the number of the frame in the music, or the name of the mouth that sent the probe
	sent stamp  // of a probe: when it was handed to the kernel
}

// score recognises the music: each frame of it by its bytes. It is read only.
var score = sync.OnceValue(func() map[[samples]byte]uint32 {
	m := map[[samples]byte]uint32{}
	piece := moh.BuiltIn()
	source := piece.Source()
	for n := range uint32(piece.Length() / frame) {
		var f [samples]byte
		source.NextEncoded(codec.PCMU, f[:])
		if silent(f[:]) {
			continue // could be anybody's
		}
		if _, there := m[f]; !there {
			m[f] = n
		}
	}
	return m
})

func silent(f []byte) bool {
	for _, b := range f {
		if b != f[0] {
			return false
		}
	}
	return true
}

// classify reads an RTP packet; false if it is none with 20 ms of mu-law.
func classify(data []byte, at stamp) (packet, bool) {
	if len(data) != rtpHeader+samples || data[0] != 0x80 || data[1]&0x7f != 0 {
		return packet{}, false
	}
	p := packet{at: at}
	payload := data[rtpHeader:]
	if binary.BigEndian.Uint32(payload) == probeMagic {
		p.kind, p.mark, p.sent = probe, binary.BigEndian.Uint32(payload[4:]), stamp(binary.BigEndian.Uint64(payload[8:]))
		return p, true
	}
	if n, ok := score()[[samples]byte(payload)]; ok {
		p.kind, p.mark = music, n
	}
	return p, true
}

// ear is one RTP port that remembers what came last.
type ear struct {
	sock *socket
	done sync.WaitGroup

	mu   sync.Mutex
	log  [512]packet // a ring of 10 s; guarded by mu
	next int         // guarded by mu
}

func newEar(addr netip.Addr) (*ear, error) {
	sock, err := openSocket(netip.AddrPortFrom(addr, 0))
	if err != nil {
		return nil, err
	}
	score()
	e := &ear{sock: sock}
	e.done.Go(func() {
		sock.read(func(data []byte, _ netip.AddrPort, at stamp) {
			if p, ok := classify(data, at); ok {
				e.mu.Lock()
				e.log[e.next%len(e.log)] = p
				e.next++
				e.mu.Unlock()
			}
		})
	})
	return e, nil
}

func (e *ear) close() {
	e.sock.close()
	e.done.Wait()
}

// first returns the first packet after a moment that is wanted.
func (e *ear) first(after stamp, wanted func(packet) bool) (packet, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := max(0, e.next-len(e.log)); i < e.next; i++ {
		if p := e.log[i%len(e.log)]; p.at >= after && wanted(p) {
			return p, true
		}
	}
	return packet{}, false
}

// longestGap returns the longest time between two packets in a row of which the later came after a moment.
func (e *ear) longestGap(after stamp) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	var gap time.Duration
	for i := max(1, e.next-len(e.log)+1); i < e.next; i++ {
		if p := e.log[i%len(e.log)]; p.at >= after {
			gap = max(gap, p.at.since(e.log[(i-1)%len(e.log)].at))
		}
	}
	return gap
}

// errNotHeard says that what was awaited did not come.
var errNotHeard = errors.New("the audio that was awaited did not come")

// await waits for the first packet after a moment that is wanted. It looks now and then, so that it takes no time from
// what is measured; the times are the kernel's.
func (e *ear) await(ctx context.Context, after stamp, wanted func(packet) bool) (packet, error) {
	var p packet
	return p, poll(ctx, errNotHeard, func() (ok bool) {
		p, ok = e.first(after, wanted)
		return ok
	})
}

// poll looks every few milliseconds whether something has come, and gives up with err after answerLimit.
func poll(ctx context.Context, err error, come func() bool) error {
	for end := time.Now().Add(answerLimit); ; {
		if come() {
			return nil
		}
		if time.Now().After(end) {
			return err
		}
		if e := pause(ctx, 5*time.Millisecond); e != nil {
			return e
		}
	}
}

func isMusic(p packet) bool { return p.kind == music }

// from wants packets that a certain mouth sent.
func from(m *mouth) func(packet) bool {
	return func(p packet) bool { return p.kind == probe && p.mark == m.id }
}

// tone is a frame of probeHz in mu-law; each frame ends at a whole number of periods.
var tone = sync.OnceValue(func() []byte {
	f := make([]byte, samples)
	for i := range f {
		f[i] = g711.EncodeUlawFrame(int16(12000 * math.Sin(2*math.Pi*probeHz*(float64(i)+0.5)/8000)))
	}
	return f
})

// hasTone reports whether a frame of sound is mostly probeHz. A quarter of it is enough: a frame of a jitter buffer may
// begin in the middle of the first packet.
func hasTone(pcm []int16) bool {
	var re, im, power float64
	for i, s := range pcm {
		a := 2 * math.Pi * probeHz * float64(i) / 8000
		re += float64(s) * math.Cos(a)
		im += float64(s) * math.Sin(a)
		power += float64(s) * float64(s)
	}
	n := float64(len(pcm))
	return n > 0 && power/n > 1e6 && (re*re+im*im)*2/n > power/2
}
