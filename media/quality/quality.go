// Package quality says how good a call sounds, from what was counted: how losses cluster (Bursts), and what that
// and the delay do to a listener (the E-model). It has the only E-model here: package rtcp rates calls by it, package
// jitter weighs delay against loss by it, and the replays of media/jitter/lab are scored by it.
//
// It is pure: no clock, goroutine, lock, log or allocation. It never looks into a packet; package rtcp counts them.
// All parameters of the E-model that the network does not change are at their defaults; wideband speech is rated on
// the same scale as narrowband, so that its greater width earns nothing.
//
// Standards: ITU-T G.107 (E-model), G.113 appendix I (impairment of codecs), RFC 3611 §4.7.2 (bursts and gaps).
package quality

import (
	"math"
	"time"
)

// Stream is one direction of a call.
type Stream struct {
	Known     bool   // anything was measured; else nothing below means anything
	Packets   uint64 // expected, by sequence number
	Lost      uint64 // never came
	Discarded uint64 // came, and were not played: too late, or too many at once; only known of what we receive, or from an extended report
	Jitter    time.Duration
	Delay     time.Duration // from mouth to ear, estimated; what both ends add, as long as no round trip is known
	R         float64       // rating of the conversation, 0 to 93.2
	MOS       float64       // the same as a mean opinion score, 1 to 4.41 (MOS-CQ)
	Listening float64       // the score without the delay (MOS-LQ)
	Bursts    Bursts        // only known of what we receive
}

// Call is both directions of one.
type Call struct {
	In  Stream // what we heard: measured here
	Out Stream // what the far end heard, as its reports say
	// RoundTrip is the last one, RoundTripWorst the longest; 0 if none was measured.
	RoundTrip, RoundTripWorst time.Duration
	// Buffer is the mean delay of the playout here, BufferWorst the longest.
	Buffer, BufferWorst time.Duration
	// Extended says that the far end sends VoIP metrics (RFC 3611 §4.7): what Out says of its ratings is its own word then.
	Extended bool
	// SSRC of both streams; 0 is also what it is before anything came.
	SSRC, RemoteSSRC uint32
}

// LossRate returns the part that was lost, 0 to 1.
func (s Stream) LossRate() float64 { return rate(s.Lost, s.Packets) }

// DiscardRate returns the part that came and was not played, 0 to 1.
func (s Stream) DiscardRate() float64 { return rate(s.Discarded, s.Packets) }

func rate(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return min(float64(part)/float64(whole), 1)
}

// Codec is how a codec suffers: ITU-T G.113 table I.4.
type Codec struct {
	Impairment float64 // Ie
	Robustness float64 // Bpl: loss in per cent that costs half of what is left
}

// G711 is G.711 with concealment of losses (G.113: Ie 0, Bpl 25.1). It stands for G.722 as well.
var G711 = Codec{Impairment: 0, Robustness: 25.1}

// The E-model with default parameters: ITU-T G.107 table 2 and what follows from it.
const (
	basicRatio   = 94.7688  // Ro
	simultaneous = 1.4136   // Is
	noise        = -61.1792 // No, dBm0p
	receiveLoss  = 2.0      // RLR, dB
	talkerEcho   = 65.0     // TELR, dB
	echoPath     = 110.0    // WEPL, dB
)

// Rate fills in R and both scores from the loss, the discards and the delay.
func (s *Stream) Rate(c Codec) {
	bad, ratio := min(s.LossRate()+s.DiscardRate(), 1), s.Bursts.Ratio()
	s.R = Rating(c, s.Delay, bad, ratio)
	s.MOS = mos(s.R)
	s.Listening = mos(Rating(c, 0, bad, ratio))
}

// Rating is R of G.107, 0 to 93.2, for a delay from mouth to ear, the part of the packets that are bad, 0 to 1, and how
// much longer their rows are than those of independent losses (BurstR).
func Rating(c Codec, delay time.Duration, bad, burstRatio float64) float64 {
	return max(0, basicRatio-simultaneous-DelayImpairment(delay)-impairment(c, 100*bad, burstRatio))
}

// DelayImpairment is Id = Idte + Idle + Idd (G.107 §7.4): what a delay from mouth to ear takes from R.
func DelayImpairment(delay time.Duration) float64 {
	t := float64(delay) / float64(time.Millisecond)
	var idte float64
	if t >= 1 {
		terv := talkerEcho - 40*math.Log10((1+t/10)/(1+t/150)) + 6*math.Exp(-0.3*t*t)
		d := (-1.5*(noise-receiveLoss) - (80 + 2.5*(terv-14))) / 2
		idte = (d + math.Sqrt(d*d+100) - 1) * (1 - math.Exp(-t))
	}
	rle := 10.5 * (echoPath + 7) * math.Pow(2*t+1, -0.25)
	d := (basicRatio - rle) / 2
	idle := d + math.Sqrt(d*d+169)
	var idd float64
	if t > 100 {
		x := math.Log2(t / 100)
		idd = 25 * (math.Pow(1+math.Pow(x, 6), 1.0/6) - 3*math.Pow(1+math.Pow(x/3, 6), 1.0/6) + 2)
	}
	return idte + idle + idd
}

// impairment is Ie,eff (G.107 §7.5) of a loss in per cent.
func impairment(c Codec, loss, burstRatio float64) float64 {
	if loss <= 0 {
		return c.Impairment
	}
	return c.Impairment + (95-c.Impairment)*loss/(loss/burstRatio+c.Robustness)
}

// mos turns a rating into a mean opinion score (G.107 annex B).
func mos(r float64) float64 {
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return max(1, 1+0.035*r+r*(r-60)*(100-r)*7e-6)
}
