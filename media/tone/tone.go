// Package tone makes the sounds by which a telephone speaks without words: dial tone, ringback, busy, and the
// phone's own ringing, as people of a country know them.
//
// A Tone is a media source: frames of 20 ms at 8 kHz, made without allocation. Edges of a cadence are rounded
// over 4 ms so that they do not click. It never decides which tone a call needs and starts no goroutine.
//
// Standards: ITU-T E.180/Q.35 (what the tones mean, 425 Hz as the default), E.180 Supplement 2 (the tones of
// each country), E.182 (call waiting, confirmation).
package tone

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"parklamp/media"
)

// Kind is what a tone says.
type Kind uint8

// The kinds of tone. The ringing kinds are for the ringer, all others for the ear.
const (
	Dial          Kind = iota // waiting for digits
	Ringback                  // the far end rings
	Busy                      // engaged; also: the orbit is taken
	Congestion                // no way through; also: the lot is full
	CallWaiting               // another call, heard in a call
	RecallWaiting             // a parked call comes back, heard in a call
	Reminder                  // a call is still on hold; ends by itself
	Confirm                   // done; ends by itself
	Error                     // not possible; ends by itself
	Ring                      // a call
	RingRecall                // a parked call comes back: three quick ones, unlike any other call
	RingReminder              // a held call, after the handset went down: one short ring
	kinds
)

var kindNames = [kinds]string{
	Dial: "dial", Ringback: "ringback", Busy: "busy", Congestion: "congestion",
	CallWaiting: "call-waiting", RecallWaiting: "recall-waiting", Reminder: "reminder",
	Confirm: "confirm", Error: "error",
	Ring: "ring", RingRecall: "ring-recall", RingReminder: "ring-reminder",
}

// String gives the kind's name.
func (k Kind) String() string {
	if k >= kinds {
		return fmt.Sprintf("tone %d", uint8(k))
	}
	return kindNames[k]
}

// Config chooses the country.
type Config struct {
	Country string `toml:"country" doc:"Country whose tones are used (two letters), or 'itu' for the 425 Hz of ITU-T E.180."`
}

// Default returns the tones of ITU-T E.180.
func Default() Config { return Config{Country: "itu"} }

// Validate reports a country that has no table.
func (c Config) Validate() error {
	if _, ok := countries[c.Country]; !ok {
		return fmt.Errorf("country: %q is not one of %s", c.Country, strings.Join(countryNames(), ", "))
	}
	return nil
}

// countryNames lists the countries that have a table, sorted.
func countryNames() []string {
	var names []string
	for n := range countries {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// maxFrequencies is how many sines a part of a tone is made of at most.
const maxFrequencies = 4

// part is a stretch of sound or silence.
type part struct {
	samples     int // 0: for ever
	frequencies [maxFrequencies]float64
}

// signal is a tone: the intro once, then the loop for ever; without a loop it ends.
type signal struct {
	levelDBFS float64 // of each sine's peak against full scale
	intro     []part
	loop      []part
}

// on is ms milliseconds of the frequencies in hertz together; 0 ms is for ever.
func on(ms int, hz ...float64) part {
	p := part{samples: ms * media.SampleRate / 1000}
	copy(p.frequencies[:], hz)
	return p
}

// off is ms milliseconds of silence.
func off(ms int) part { return part{samples: ms * media.SampleRate / 1000} }

// ramp is how long an edge takes: 4 ms, too short to hear and long enough not to click.
const ramp = 4 * media.SampleRate / 1000

// sines is one period, for the phase's upper ten bits.
var sines = func() (t [1025]float32) {
	for i := range t {
		t[i] = float32(math.Sin(2 * math.Pi * float64(i) / 1024))
	}
	return t
}()

// Tone is one sounding tone. One goroutine uses it.
type Tone struct {
	sig       *signal
	amplitude float32
	looping   bool
	index     int // of the part in intro or loop
	position  int // sample in the part
	phase     [maxFrequencies]uint32
	step      [maxFrequencies]uint32
	sounding  int // frequencies in this part
	ended     bool
}

var _ media.Source = (*Tone)(nil)

// New returns a tone from its beginning. A country without a table and a kind that does not exist get the
// default of ITU-T E.180 and the error tone: somebody is listening, silence would be worse.
func New(country string, kind Kind) *Tone {
	table, ok := countries[country]
	if !ok {
		table = countries["itu"]
	}
	if kind >= kinds {
		kind = Error
	}
	sig := table[kind]
	if sig == nil {
		sig = common[kind]
	}
	t := &Tone{sig: sig, amplitude: float32(32767 * math.Pow(10, sig.levelDBFS/20))}
	t.enter()
	return t
}

// Next fills a frame; silence between two bursts is a frame, too. It reports false after the end.
func (t *Tone) Next(f *media.Frame) bool {
	if t.ended {
		return false
	}
	for i := range f {
		f[i] = t.sample()
	}
	return true
}

// parts returns the list that is playing.
func (t *Tone) parts() []part {
	if t.looping {
		return t.sig.loop
	}
	return t.sig.intro
}

// enter starts the part at index, going on to the loop or the end when there is none.
func (t *Tone) enter() {
	if t.index >= len(t.parts()) {
		if len(t.sig.loop) == 0 {
			t.ended = true
			return
		}
		t.looping, t.index = true, 0
	}
	p := &t.parts()[t.index]
	t.position, t.sounding = 0, 0
	for i, hz := range p.frequencies {
		if hz == 0 {
			break
		}
		t.step[i] = uint32(hz / media.SampleRate * (1 << 32))
		t.phase[i] = 0
		t.sounding++
	}
}

// sample makes the next sample.
func (t *Tone) sample() int16 {
	if t.ended {
		return 0
	}
	var sum float32
	for i := range t.sounding {
		at := t.phase[i] >> 22
		between := float32(t.phase[i]&(1<<22-1)) / (1 << 22)
		sum += sines[at] + (sines[at+1]-sines[at])*between
		t.phase[i] += t.step[i]
	}
	p := &t.parts()[t.index]
	edge := min(t.position, ramp)
	if p.samples > 0 {
		edge = min(edge, p.samples-1-t.position)
	}
	t.position++
	if p.samples > 0 && t.position >= p.samples {
		t.index++
		t.enter()
	}
	return int16(sum * t.amplitude * float32(edge) / ramp)
}
