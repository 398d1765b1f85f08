package rtcp

import (
	"cmp"
	"time"

	pion "github.com/pion/rtcp"

	"parklamp/media/quality"
	"parklamp/media/timeline"
)

const (
	// unknown is the value of a metric that is not known (RFC 3611 §4.7).
	unknown = 127
	// assumedBuffer is how much the far end's jitter buffer is taken to delay where it does not say.
	assumedBuffer = 40 * time.Millisecond
)

// Stages is what we add between mouth and network and between network and ear besides the jitter buffer, with the default
// period of the sound card: capture 3 ms, a packet 20, the card's queue 5, as TestMouthToEar of media/audio measures them.
const Stages = 28 * time.Millisecond

// Metrics is a VoIP metrics block of RFC 3611 §4.7. A rating of 127 is not known.
type Metrics struct {
	Known                            bool
	LossRate, DiscardRate            float64
	BurstDensity, GapDensity         float64
	BurstDuration, GapDuration       time.Duration
	RoundTrip, EndSystem             time.Duration
	R, MOSLQ, MOSCQ                  uint8 // both scores times ten
	BufferNominal, BufferMax, AbsMax time.Duration
}

// extension is the blocks of our extended report (RFC 3611).
func (r *Reporter) extension(now time.Duration, ntp uint64, in Received, block, sender bool, p Playout) []pion.ReportBlock {
	var all []pion.ReportBlock
	if !sender {
		// §4.4: lets those who do not send measure the round trip.
		all = append(all, &pion.ReceiverReferenceTimeReportBlock{NTPTimestamp: ntp})
	}
	if r.lastRRTR != 0 {
		all = append(all, &pion.DLRRReportBlock{Reports: []pion.DLRRReport{{SSRC: r.rrtrFrom, LastRR: r.lastRRTR, DLRR: short(now - r.rrtrAt)}}})
		r.lastRRTR = 0
	}
	if block {
		all = append(all, r.voip(in, p))
	}
	return all
}

// voip is the VoIP metrics block on what we hear (RFC 3611 §4.7).
func (r *Reporter) voip(in Received, p Playout) *pion.VoIPMetricsReportBlock {
	q := r.heard(in, p)
	burst, gap := in.Bursts.Density()
	burstFor, gapFor := in.Bursts.Durations(cmp.Or(in.Lasts, timeline.Frame))
	return &pion.VoIPMetricsReportBlock{
		SSRC:     in.SSRC,
		LossRate: part(q.LossRate()), DiscardRate: part(q.DiscardRate()), BurstDensity: part(burst), GapDensity: part(gap),
		BurstDuration: millis(burstFor), GapDuration: millis(gapFor),
		RoundTripDelay: millis(r.learnt.RoundTrip), EndSystemDelay: millis(endSystem(p)),
		SignalLevel: unknown, NoiseLevel: unknown, RERL: unknown, // §4.7.4: nobody measures the sound here
		Gmin:    quality.MinGap,
		RFactor: uint8(q.R + 0.5), ExtRFactor: unknown, MOSLQ: uint8(q.Listening*10 + 0.5), MOSCQ: uint8(q.MOS*10 + 0.5),
		RXConfig:  0b11_11_0000, // §4.7.6: standard concealment, adaptive buffer, adjustment rate not said
		JBNominal: millis(p.Delay), JBMaximum: millis(r.longest), JBAbsMax: millis(p.Longest),
	}
}

// endSystem is the delay between the network and the ear, and between the mouth and the network (RFC 3611 §4.7.3).
func endSystem(p Playout) time.Duration { return p.Delay + Stages }

// extendedBlock takes a block of the far end's extended report.
func (r *Reporter) extendedBlock(block pion.ReportBlock, from uint32, now time.Duration, out Sending) {
	r.extended = true // who sends them understands them
	switch b := block.(type) {
	case *pion.ReceiverReferenceTimeReportBlock:
		r.lastRRTR, r.rrtrFrom, r.rrtrAt = middle(b.NTPTimestamp), from, now
	case *pion.DLRRReportBlock:
		for _, d := range b.Reports {
			if d.SSRC == out.SSRC {
				r.trip(d.LastRR, d.DLRR, now)
			}
		}
	case *pion.VoIPMetricsReportBlock:
		if b.SSRC == out.SSRC {
			r.learnt.Extended = Metrics{
				Known: true, LossRate: float64(b.LossRate) / 256, DiscardRate: float64(b.DiscardRate) / 256,
				BurstDensity: float64(b.BurstDensity) / 256, GapDensity: float64(b.GapDensity) / 256,
				BurstDuration: ms(b.BurstDuration), GapDuration: ms(b.GapDuration), RoundTrip: ms(b.RoundTripDelay), EndSystem: ms(b.EndSystemDelay),
				R: b.RFactor, MOSLQ: b.MOSLQ, MOSCQ: b.MOSCQ,
				BufferNominal: ms(b.JBNominal), BufferMax: ms(b.JBMaximum), AbsMax: ms(b.JBAbsMax),
			}
		}
	}
}

// Call returns the quality of both directions.
func (r *Reporter) Call(in Received, known bool, p Playout) quality.Call {
	l := &r.learnt
	c := quality.Call{Extended: l.Extended.Known, RoundTrip: l.RoundTrip, RoundTripWorst: l.Worst, Buffer: p.Delay, BufferWorst: max(r.longest, p.Delay)}
	if r.buffers > 0 {
		c.Buffer = r.buffer / time.Duration(r.buffers)
	}
	if known {
		p.Delay = c.Buffer // over the whole call
		c.In = r.heard(in, p)
	}
	c.Out = r.theirs()
	return c
}

// heard rates what we hear.
func (r *Reporter) heard(in Received, p Playout) quality.Stream {
	s := quality.Stream{Known: true, Packets: in.Packets, Lost: in.Lost, Discarded: in.Discarded, Jitter: in.Jitter, Bursts: in.Bursts,
		Delay: r.oneWay(p.Delay)}
	s.Rate(quality.G711)
	return s
}

// oneWay is the delay from mouth to ear with a jitter buffer at the ear: half of the round trip and of what both ends add
// besides their buffers. The mean of both directions is the delay of RFC 3611 §4.7.3, which takes them to be the same. As long
// as no round trip is known, it is left out.
func (r *Reporter) oneWay(buffer time.Duration) time.Duration {
	_, stages := r.farEnd()
	return buffer + (r.learnt.RoundTrip+Stages+stages)/2
}

// farEnd is how long the far end's jitter buffer delays and what it adds besides, as it tells (RFC 3611 §4.7.3, §4.7.5); what
// it does not tell is taken to be a buffer of 40 ms, and what we add.
func (r *Reporter) farEnd() (buffer, stages time.Duration) {
	x := r.learnt.Extended
	if buffer = x.BufferNominal; buffer == 0 {
		buffer = assumedBuffer
	}
	if x.EndSystem == 0 {
		return buffer, Stages
	}
	buffer = min(buffer, x.EndSystem) // which holds it
	return buffer, x.EndSystem - buffer
}

// theirs rates what the far end hears of us, as far as it tells.
func (r *Reporter) theirs() quality.Stream {
	l := &r.learnt
	buffer, _ := r.farEnd()
	s := quality.Stream{Known: l.Reported, Packets: l.Expected, Lost: uint64(max(l.Lost, 0)), Jitter: l.Jitter, Delay: r.oneWay(buffer)}
	if !s.Known {
		return quality.Stream{}
	}
	if x := l.Extended; x.Known {
		s.Discarded = uint64(x.DiscardRate*float64(s.Packets) + 0.5)
	}
	s.Rate(quality.G711)
	if x := l.Extended; x.Known { // it knows better what its people heard
		if x.R <= 100 {
			s.R = float64(x.R)
		}
		if x.MOSCQ >= 10 && x.MOSCQ <= 50 {
			s.MOS = float64(x.MOSCQ) / 10
		}
		if x.MOSLQ >= 10 && x.MOSLQ <= 50 {
			s.Listening = float64(x.MOSLQ) / 10
		}
	}
	return s
}
