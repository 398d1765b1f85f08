// Package duplex keeps the loudspeaker of a hands-free phone out of its microphone by switching: while only the far end
// speaks the microphone is attenuated, while only the near end speaks the loudspeaker is, and who begins is let through
// within a few milliseconds.
//
// It is a voice-switched attenuator after the idea of ITU-T P.340 (behaviour type 3, half duplex), not an echo canceller.
// It works on levels: it learns the noise at both ends and the acoustic coupling (how much of the loudspeaker comes back,
// with the room's tail), and takes the microphone for speech of the near end only when it is louder than noise and expected
// echo. When both speak, the near end wins if it is clearly louder than its echo, else it waits for the next pause.
//
// What full duplex would need besides: an adaptive filter that models loudspeaker, room and microphone over 100 to 250 ms
// (partitioned-block frequency-domain NLMS, or two-path, at 16 kHz), capture and playback on one clock or resampled to one
// with a known delay between them, a detector of double talk that freezes the filter, a suppressor for what remains and
// for the loudspeaker's distortion, and comfort noise. About 15 to 25 % of a core of a 1 GHz ARM; this takes below 0.1 %.
//
// A Switch has no lock and starts nothing; its owner calls Far and Near one at a time.
package duplex

import "math"

// Config is how a Switch behaves. Levels are in dB, times in seconds.
type Config struct {
	Loss     float64 // attenuation of the microphone while the far end speaks
	FarLoss  float64 // attenuation of the loudspeaker while the near end speaks
	Above    float64 // by how much speech of the near end is louder than its noise
	Over     float64 // by how much it is louder than the expected echo
	Hangover float64 // how long the far end keeps the way after its last sound, for the room's tail and its own pauses
	NearHold float64 // the same for the near end
	Attack   float64 // how long a switch takes
	Coupling float64 // echo against loudspeaker before anything was learnt
}

// Default suits a small loudspeaker beside its microphone.
func Default() Config {
	return Config{Loss: 45, FarLoss: 24, Above: 9, Over: 7, Hangover: 0.2, NearHold: 0.25, Attack: 0.008, Coupling: 6}
}

// State is who has the way.
type State uint8

// The states of a Switch.
const (
	Idle State = iota // neither speaks: both ways half open
	Far               // the far end speaks
	Near              // the near end speaks
)

// String returns the name in lower case.
func (s State) String() string { return [...]string{"idle", "far", "near"}[s] }

// Levels in dB below full scale.
const (
	silence   = -90.0
	leastFar  = -55.0 // softer sounds from the far end do no harm
	leastNear = -60.0
)

// Switch is the state of one hands-free path.
type Switch struct {
	cfg      Config
	state    State
	sinceFar float64 // since the far end was last heard
	sinceNow float64 // since the near end was last heard

	far, near           float64 // levels, smoothed
	tail                float64 // far level with the decay of a room
	farNoise, nearNoise float64
	coupling            float64
	farGain, nearGain   float64 // linear, as they are now
	seed                uint32
}

// New returns a Switch in Idle.
func New(cfg Config) *Switch {
	return &Switch{
		cfg: cfg, far: silence, near: silence, tail: silence, farNoise: -60, nearNoise: -60, coupling: cfg.Coupling,
		farGain: 1, nearGain: 1, sinceFar: 10, sinceNow: 10, seed: 1,
	}
}

// State returns who has the way.
func (s *Switch) State() State { return s.state }

// Far takes what goes to the loudspeaker, some milliseconds of it, and attenuates it in place.
func (s *Switch) Far(x []int16, rate int) {
	if len(x) == 0 {
		return
	}
	d := float64(len(x)) / float64(rate)
	l := level(x)
	s.far = smooth(s.far, l, d, 0.002, 0.03)
	s.farNoise = floor(s.farNoise, s.far, d)
	if s.far > max(leastFar, s.farNoise+s.cfg.Above) {
		s.sinceFar = 0
	} else {
		s.sinceFar += d
	}
	target := 1.0
	if s.state == Near {
		target = gain(-s.cfg.FarLoss)
	}
	// What the loudspeaker really plays is what comes back; 60 dB in 0.75 s is a live room.
	played := l + 20*math.Log10(max(s.farGain, 1e-4))
	s.tail = max(played, s.tail-80*d)
	s.farGain = ramp(x, s.farGain, target, d/s.cfg.Attack)
}

// Near takes what the microphone hears and attenuates it in place. While it does, soft noise of the room's level takes its
// place, so that the far end does not hear the line die.
func (s *Switch) Near(x []int16, rate int) {
	if len(x) == 0 {
		return
	}
	d := float64(len(x)) / float64(rate)
	l := level(x)
	s.near = smooth(s.near, l, d, 0.002, 0.03)
	echo := s.tail + s.coupling
	if s.sinceFar > s.cfg.Hangover {
		s.nearNoise = floor(s.nearNoise, s.near, d)
	}
	if s.near > max(leastNear, s.nearNoise+s.cfg.Above, echo+s.cfg.Over) {
		s.sinceNow = 0
	} else {
		s.sinceNow += d
	}
	s.learn(d)
	s.decide()
	target := 1.0
	if s.state == Far {
		target = gain(-s.cfg.Loss)
	}
	s.nearGain = ramp(x, s.nearGain, target, d/s.cfg.Attack)
	s.comfort(x)
}

// learn follows the coupling while only the far end speaks: up at once, for an echo let through is worse than a word that
// waits, and down slowly.
func (s *Switch) learn(d float64) {
	if s.state != Far || s.sinceFar > 0 || s.far < s.farNoise+15 || s.near < s.nearNoise+6 {
		return
	}
	c := s.near - s.tail
	switch {
	case c > s.coupling:
		s.coupling += min(c-s.coupling, 40*d)
	default:
		s.coupling -= min(s.coupling-c, 3*d)
	}
	s.coupling = max(-40, min(20, s.coupling))
}

// decide is the state machine. Far goes before Near when both begin at once; Near takes the way from Far only above
// the expected echo, which sinceNow already knows.
func (s *Switch) decide() {
	near := s.sinceNow < s.cfg.NearHold
	far := s.sinceFar < s.cfg.Hangover
	switch {
	case s.sinceNow == 0:
		s.state = Near
	case s.state == Near && near:
	case far:
		s.state = Far
	case near:
		s.state = Near
	default:
		s.state = Idle
	}
}

// comfort adds noise in the measure in which the microphone is shut.
func (s *Switch) comfort(x []int16) {
	a := 32768 * gain(s.nearNoise) * (1 - s.nearGain) * math.Sqrt(3)
	if a < 1 {
		return
	}
	for i := range x {
		s.seed ^= s.seed << 13
		s.seed ^= s.seed >> 17
		s.seed ^= s.seed << 5
		x[i] = clip(float64(x[i]) + a*(float64(s.seed)/(1<<31)-1))
	}
}

// level is the power of x in dB of full scale.
func level(x []int16) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return max(silence, 10*math.Log10(sum/float64(len(x))/(32768*32768)+1e-12))
}

func gain(db float64) float64 { return math.Pow(10, db/20) }

// smooth follows to with one time constant upward and another downward.
func smooth(from, to, d, up, down float64) float64 {
	t := down
	if to > from {
		t = up
	}
	return from + (to-from)*(1-math.Exp(-d/t))
}

// floor follows the lowest level: down within a tenth of a second, up by 3 dB in a second.
func floor(from, to, d float64) float64 {
	if to < from {
		return from + (to-from)*min(1, d/0.1)
	}
	return min(to, from+3*d)
}

// ramp multiplies x by a gain that goes from one value towards another, in dB evenly enough for the ear, and returns where
// it is at the end. part is how much of the way it goes.
func ramp(x []int16, from, to, part float64) float64 {
	if from == to && from == 1 {
		return 1
	}
	end := to
	if part < 1 {
		end = from + (to-from)*part
	}
	if math.Abs(end-to) < 1e-4 {
		end = to
	}
	step := (end - from) / float64(len(x))
	for i := range x {
		from += step
		x[i] = clip(float64(x[i]) * from)
	}
	return end
}

func clip(v float64) int16 { return int16(max(-32768, min(32767, v))) }
