// Package audiotest is what every sound device has to do, as a test: the simulated one, a sound card with simulated
// clocks, and the kernel's snd-aloop on a booted ARM system pass the same suite.
//
// A suite speaks tones into the device's microphone and into the call, with a pacer of its own in the place of a session's,
// and looks for them in the call and at the ear. It runs in real time or inside testing/synctest, as its Bench says.
package audiotest

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/audio"
)

// Bench is a device with a person in front of it. Its Run is running.
type Bench struct {
	Device audio.Device
	// Say makes the person hum a tone of that frequency (Hz, amplitude 8000); 0 is silence.
	Say func(hz float64)
	// Heard returns what the person has heard since the last call, at 8 kHz.
	Heard func() []int16
	// Wide says that more than 4 kHz come through.
	Wide bool
	// Slow says that the machine may miss a moment now and then: an emulator under load.
	Slow bool
}

// The frequencies of the suite, far enough apart for pieces of 100 ms, and the amplitude of every tone.
const (
	fromMouth = 500.0
	fromCall  = 900.0
	fromPhone = 1300.0
	fromBell  = 1700.0
	amplitude = 8000.0
	settle    = 500 * time.Millisecond
	listen    = 400 * time.Millisecond
)

// Run runs the suite. start makes a Bench that ends with its test; bubble runs a test, in synctest or not.
func Run(t *testing.T, bubble func(*testing.T, func(*testing.T)), start func(*testing.T) Bench) {
	for _, c := range []struct {
		name  string
		frame bool // the call comes in frames of another clock, as in a conference
		run   func(*testing.T, Bench, *pacer)
	}{
		{"call both ways", false, callBothWays}, {"conference", true, callBothWays}, {"closed", false, closed},
		{"mute and volume", false, muteAndVolume}, {"prompts and tones", false, prompts}, {"ringer", false, ringer},
		{"paths", false, everyPath}, {"wideband", false, wideband}, {"wideband conference", true, wideband},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := start(t)
				p := newPacer(t, b.Device, c.frame)
				c.run(t, b, p)
			})
		})
	}
}

// expect reports which tones are in x and at what level against amplitude, in dB.
func (b *Bench) expect(t *testing.T, who string, x []int16, want map[float64]float64) {
	t.Helper()
	if len(x) < 800 || len(x) < 1600 && !b.Slow {
		t.Errorf("%s: %d samples only", who, len(x))
		return
	}
	for _, hz := range []float64{fromMouth, fromCall, fromPhone, fromBell} {
		var levels []float64
		for piece := range slices.Chunk(x[:len(x)/800*800], 800) {
			levels = append(levels, Level(piece, hz, 8000))
		}
		slices.Sort(levels)
		// A slow machine may damage a part of the pieces; a healthy one none.
		low, high := levels[0], levels[len(levels)-1]
		if b.Slow {
			low, high = levels[len(levels)/2], levels[len(levels)/2]
		}
		if at, ok := want[hz]; ok {
			if math.Abs(low-at) > 1.5 || math.Abs(high-at) > 1.5 {
				t.Errorf("%s: %.0f Hz at %.1f to %.1f dB, want %.1f", who, hz, low, high, at)
			}
		} else if high > -30 {
			t.Errorf("%s: %.0f Hz at %.1f dB, want silence", who, hz, high)
		}
	}
}

// Level is that of a tone in x against the suite's amplitude, in dB, at least -90.
func Level(x []int16, hz, rate float64) float64 {
	var re, im float64
	for i, v := range x {
		s, c := math.Sincos(2 * math.Pi * hz * float64(i) / rate)
		w := 1 - math.Cos(2*math.Pi*(float64(i)+0.5)/float64(len(x))) // Hann, mean 1
		re, im = re+w*c*float64(v), im+w*s*float64(v)
	}
	return max(-90, 20*math.Log10(2*math.Hypot(re, im)/float64(len(x))/amplitude+1e-9))
}

func callBothWays(t *testing.T, b Bench, p *pacer) {
	b.Device.Open(audio.PathHandset)
	b.Say(fromMouth)
	p.call.Store(fromCall)
	time.Sleep(settle)
	b.Heard()
	p.take()
	time.Sleep(listen)
	b.expect(t, "the far end", p.take(), map[float64]float64{fromMouth: 0})
	b.expect(t, "the ear", b.Heard(), map[float64]float64{fromCall: 0})
}

func closed(t *testing.T, b Bench, p *pacer) {
	b.Say(fromMouth)
	p.call.Store(fromCall)
	time.Sleep(settle)
	b.Heard()
	p.take()
	time.Sleep(listen)
	b.expect(t, "the far end of a closed path", p.take(), nil)
	for _, v := range b.Heard() {
		if v != 0 {
			t.Fatal("the ear hears something on a closed path")
		}
	}
}

func muteAndVolume(t *testing.T, b Bench, p *pacer) {
	b.Device.Open(audio.PathHandset)
	b.Device.Mute(true)
	b.Device.SetVolume(audio.Normal - 2)
	b.Say(fromMouth)
	p.call.Store(fromCall)
	time.Sleep(settle)
	b.Heard()
	p.take()
	time.Sleep(listen)
	b.expect(t, "the far end of a muted phone", p.take(), nil)
	b.expect(t, "the ear two steps down", b.Heard(), map[float64]float64{fromCall: -6})
	b.Device.Mute(false)
	b.Device.SetVolume(0)
	time.Sleep(settle)
	b.Heard()
	p.take()
	time.Sleep(listen)
	b.expect(t, "the far end after muting", p.take(), map[float64]float64{fromMouth: 0})
	b.expect(t, "the ear at volume 0", b.Heard(), nil)
}

func prompts(t *testing.T, b Bench, p *pacer) {
	var ended atomic.Int32
	b.Device.Play(&tone{hz: fromPhone, left: 10}, func() { ended.Add(1) })
	time.Sleep(settle)
	if ended.Load() != 1 {
		t.Errorf("a prompt on a closed path ended %d times", ended.Load())
	}
	b.Device.Open(audio.PathHandset)
	b.Device.Play(&tone{hz: fromPhone, left: 1000}, func() { ended.Add(1) })
	b.Device.Overlay(&tone{hz: fromCall, left: 1000})
	time.Sleep(settle)
	b.Heard()
	time.Sleep(listen)
	b.expect(t, "the ear", b.Heard(), map[float64]float64{fromPhone: 0, fromCall: 0})
	b.Device.Play(nil, nil)
	b.Device.Overlay(nil)
	time.Sleep(settle)
	b.Heard()
	time.Sleep(listen)
	b.expect(t, "the ear afterwards", b.Heard(), nil)
	if ended.Load() != 1 {
		t.Errorf("a prompt that was replaced counts as ended")
	}
}

func ringer(t *testing.T, b Bench, p *pacer) {
	b.Device.Ring(&tone{hz: fromBell, left: 1000})
	time.Sleep(settle)
	b.Heard()
	time.Sleep(listen)
	b.expect(t, "the room", b.Heard(), map[float64]float64{fromBell: 0})
	b.Device.SetRingerVolume(audio.Normal - 1)
	time.Sleep(settle)
	b.Heard()
	time.Sleep(listen)
	b.expect(t, "the room a step down", b.Heard(), map[float64]float64{fromBell: -3})
	b.Device.Ring(nil)
	time.Sleep(settle)
	b.Heard()
	time.Sleep(listen)
	for _, v := range b.Heard() {
		if v > 1 || v < -1 {
			t.Fatal("it rings on")
		}
	}
}

func everyPath(t *testing.T, b Bench, p *pacer) {
	p.call.Store(fromCall)
	for _, path := range []audio.Path{audio.PathHandset, audio.PathSpeaker, audio.PathHeadset, audio.PathHandset} {
		b.Device.Open(path)
		time.Sleep(settle)
		b.Heard()
		time.Sleep(listen)
		b.expect(t, path.String(), b.Heard(), map[float64]float64{fromCall: 0})
	}
}

func wideband(t *testing.T, b Bench, p *pacer) {
	p.wide.Store(true)
	b.Device.Open(audio.PathHandset)
	hz := fromMouth
	if b.Wide {
		hz = 5500
	}
	b.Say(hz)
	p.call.Store(fromCall)
	time.Sleep(settle)
	b.Heard()
	p.take()
	time.Sleep(listen)
	x := p.take()
	if at := Level(x[:len(x)/2], hz, media.WideRate); math.Abs(at) > 1.5 && !b.Slow || at < -3 {
		t.Errorf("the far end has %.0f Hz at %.1f dB", hz, at)
	}
	b.expect(t, "the ear", b.Heard(), map[float64]float64{fromCall: 0})
}

// tone is a source of left frames.
type tone struct {
	hz   float64
	left int
	at   int
}

// Next implements media.Source.
func (s *tone) Next(f *media.Frame) bool {
	if s.left == 0 {
		return false
	}
	s.left--
	fill(f[:], s.hz, &s.at, media.SampleRate)
	return true
}

func fill(x []int16, hz float64, at *int, rate float64) {
	for i := range x {
		x[i] = int16(amplitude * math.Sin(2*math.Pi*hz*float64(*at)/rate))
		*at++
	}
}

// pacer stands for a session, which follows the device's clock in both directions, or for a conference, which does not:
// every 20 ms it takes a frame of the microphone and, if the device is not to read it by itself, gives one of the call.
type pacer struct {
	call frequency
	wide atomic.Bool
	said int // of the call, in samples; owned by who makes them

	mu  sync.Mutex
	far []int16 // guarded by mu
}

// Rate implements media.Voice.
func (p *pacer) Rate() int {
	if p.wide.Load() {
		return media.WideRate
	}
	return media.SampleRate
}

// Read implements media.Voice.
func (p *pacer) Read(dst []int16, _ time.Duration) media.Kind {
	clear(dst)
	if hz := p.call.load(); hz != 0 {
		fill(dst, hz, &p.said, float64(p.Rate()))
	}
	return media.Audio
}

type frequency struct{ v atomic.Uint64 }

func (f *frequency) Store(hz float64) { f.v.Store(math.Float64bits(hz)) }
func (f *frequency) load() float64    { return math.Float64frombits(f.v.Load()) }

func newPacer(t *testing.T, d audio.Device, frames bool) *pacer {
	p := &pacer{}
	stop, ended := make(chan struct{}), make(chan struct{})
	capture, play := d.Capture(), d.Playback()
	if !frames {
		voice := play.(media.Puller)
		voice.Take(p)
		t.Cleanup(func() { voice.Drop(p) })
	}
	go func() {
		defer close(ended)
		var frame media.Frame
		var wide media.WideFrame
		for due := time.Now(); ; due = due.Add(media.FrameDuration) {
			select {
			case <-stop:
				return
			case <-time.After(time.Until(due)):
			}
			x := frame[:]
			if p.wide.Load() {
				x = wide[:]
			}
			if frames {
				p.Read(x, 0)
			}
			switch {
			case len(x) == len(wide):
				if frames {
					play.WriteWide(&wide, media.Audio)
				}
				capture.NextWide(&wide)
			default:
				if frames {
					play.Write(&frame, media.Audio)
				}
				capture.Next(&frame)
			}
			if !frames {
				due = due.Add(capture.(media.Timed).Shift(0))
			}
			p.mu.Lock()
			p.far = append(p.far, x...)
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() { close(stop); <-ended })
	return p
}

// take returns what the far end has heard since the last call.
func (p *pacer) take() []int16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.far
	p.far = nil
	return x
}
