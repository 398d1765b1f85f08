package rtcp

import (
	"math/rand/v2"
	"time"

	pion "github.com/pion/rtcp"

	"parklamp/media/quality"
)

const (
	// memory of our own reports: an answer to an older one than that is not believed.
	memory = 8
	// maxRoundTrip beyond which an answer is taken for nonsense.
	maxRoundTrip = 10 * time.Second
	// intake is how many datagrams a second are looked at, and as many at once. A far end has reason for one in
	// some seconds.
	intake = 10
	// unknown is the value of a metric that is not known (RFC 3611 §4.7).
	unknown = 127
	// assumedBuffer is how much the far end's jitter buffer is taken to delay where it does not say, and
	// packetTime what filling a packet takes on either side.
	assumedBuffer = 40 * time.Millisecond
	packetTime    = 20 * time.Millisecond
)

// Sending is our own stream at the moment of a report.
type Sending struct {
	SSRC    uint32
	First   uint16 // sequence number of the first packet
	Packets uint64
	Octets  uint64 // of payload
	TS      uint32 // what the stream's clock shows now
}

// Playout is what the jitter buffer does; the zero value if nobody listens.
type Playout struct {
	Delay   time.Duration // at present, above the fastest packet
	Longest time.Duration // that it would choose
}

// Learnt is what the far end's reports and the round trips say. Counters are since the beginning.
type Learnt struct {
	Taken, Refused uint64 // datagrams
	Name           string // CNAME of the far end
	Bye            bool   // the far end has ended its stream

	Reported  bool // the far end has reported on our stream
	Lost      int64
	Expected  uint64
	Fraction  float64       // lost in its last interval
	Jitter    time.Duration // as it sees ours
	At        time.Duration // of that report
	Extended  Metrics       // of its extended report on our stream
	RoundTrip time.Duration // last; 0: none yet
	Worst     time.Duration
	Trips     uint64

	// Mapped: the far end's clock TS was at NTP when it sent its last sender report.
	Mapped bool
	NTP    uint64
	TS     uint32
}

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

// Reporter is our side of RTCP for one session. It belongs to one goroutine at a time.
type Reporter struct {
	// immutable
	name  string
	epoch time.Time // the time of day at 0 of the clock that all methods are given

	timing   interval
	extended bool // the far end wants or sends extended reports

	sentBefore [2]uint64 // packets of ours at the last two reports
	heardPrior [2]uint64 // packets of the far end, likewise
	seenOnce   bool

	// RFC 3550 appendix A.3: at the last report
	priorStream   uint32
	priorExpected uint64
	priorArrived  uint64

	// of the far end
	stream   uint32 // SSRC of its last sender report
	lastSR   uint32
	srAt     time.Duration
	lastRRTR uint32
	rrtrFrom uint32
	rrtrAt   time.Duration

	own     [memory]uint32 // when our last reports went out, in NTP's middle bits
	ownNext int

	reporter  uint32 // SSRC of who reports on our stream
	reporting bool
	lostOnce  int64  // counted by earlier reporters
	sentOnce  uint64 // packets of ours when the reporter changed

	tokens   float64
	tokensAt time.Duration

	buffer  time.Duration // sum of delays at reports
	buffers uint64
	longest time.Duration

	learnt Learnt
	buf    []byte
}

// NewReporter returns a reporter whose first report is due a little after now. epoch is the time of day when the clock of
// now was 0; it is not asked for again, so that a clock that is set does not look like a round trip. name is
// the CNAME, see NewName.
func NewReporter(name string, epoch time.Time, now time.Duration, random *rand.Rand) *Reporter {
	return &Reporter{name: name, epoch: epoch, timing: newInterval(random, now), tokens: intake, tokensAt: now}
}

// Extend says that the far end wants extended reports, as its SDP says (RFC 3611 §5).
func (r *Reporter) Extend() { r.extended = true }

// Due returns when Report has something to do.
func (r *Reporter) Due() time.Duration { return r.timing.next }

// Learnt returns a copy of what is known.
func (r *Reporter) Learnt() Learnt { return r.learnt }

// Report returns the compound packet that is due, or nil. It is valid until the next call. known says that there is a
// received stream.
func (r *Reporter) Report(now time.Duration, out Sending, in Received, known bool, p Playout) []byte {
	if known && (!r.seenOnce || in.Arrived != r.heardPrior[0]) {
		r.timing.heard = now // a far end that sends RTP is a member as well (RFC 3550 §6.2.1)
	}
	if !r.timing.expired(now) {
		return nil
	}
	b := r.compound(now, out, in, known, p, false)
	if b != nil {
		r.timing.sent(now, len(b))
	}
	return b
}

// Bye returns the compound packet that ends our stream (RFC 3550 §6.6), or nil if there is nothing to end: who
// has sent neither RTP nor RTCP sends none (§6.3.7). Nothing is to be sent after it.
func (r *Reporter) Bye(now time.Duration, out Sending, in Received, known bool, p Playout) []byte {
	if out.Packets == 0 && r.ownNext == 0 {
		return nil
	}
	return r.compound(now, out, in, known, p, true)
}

// compound is SR or RR, SDES, and what else fits (RFC 3550 §6.1).
func (r *Reporter) compound(now time.Duration, out Sending, in Received, known bool, p Playout, bye bool) []byte {
	// RFC 3550 §6.4: a sender report if anything was sent since the last report but one (§6.3.8).
	sender := out.Packets > r.sentBefore[1] || r.ownNext == 0 && out.Packets > 0
	// A block for a source that was heard since then.
	block := known && (in.Arrived != r.heardPrior[1] || in.SSRC != r.priorStream || !r.seenOnce)
	r.sentBefore = [2]uint64{out.Packets, r.sentBefore[0]}
	r.heardPrior = [2]uint64{in.Arrived, r.heardPrior[0]}
	r.seenOnce = r.seenOnce || known
	if p.Delay > 0 {
		r.buffer += p.Delay
		r.buffers++
		r.longest = max(r.longest, p.Delay)
	}

	var blocks []pion.ReceptionReport
	if block {
		blocks = []pion.ReceptionReport{r.reception(now, in)}
	}
	ntp := r.ntp(now)
	packets := make([]pion.Packet, 0, 4)
	if sender {
		packets = append(packets, &pion.SenderReport{SSRC: out.SSRC, NTPTime: ntp, RTPTime: out.TS,
			PacketCount: uint32(out.Packets), OctetCount: uint32(out.Octets), Reports: blocks})
	} else {
		packets = append(packets, &pion.ReceiverReport{SSRC: out.SSRC, Reports: blocks})
	}
	packets = append(packets, pion.NewCNAMESourceDescription(out.SSRC, r.name))
	if r.extended {
		if x := r.extension(now, ntp, out, in, block, sender, p); len(x) > 0 {
			packets = append(packets, &pion.ExtendedReport{SenderSSRC: out.SSRC, Reports: x})
		}
	}
	if bye {
		packets = append(packets, &pion.Goodbye{Sources: []uint32{out.SSRC}})
	}
	b, err := pion.Marshal(packets)
	if err != nil {
		return nil // nothing here can be too large for its field
	}
	r.own[r.ownNext%memory] = middle(ntp)
	r.ownNext++
	r.buf = b
	return b
}

// reception is the block on the far end's stream (RFC 3550 §6.4.1, appendix A.3).
func (r *Reporter) reception(now time.Duration, in Received) pion.ReceptionReport {
	if in.SSRC != r.priorStream || in.Expected < r.priorExpected {
		r.priorStream, r.priorExpected, r.priorArrived = in.SSRC, 0, 0
	}
	expected, arrived := int64(in.Expected-r.priorExpected), int64(in.Arrived-r.priorArrived)
	r.priorExpected, r.priorArrived = in.Expected, in.Arrived
	var fraction uint8
	if lost := expected - arrived; expected > 0 && lost > 0 {
		fraction = uint8(min(lost<<8/expected, 255))
	}
	// Appendix A.3: a signed number of 24 bits; duplicates make it smaller, below 0 if they are many.
	lost := min(max(int64(in.Expected)-int64(in.Arrived), -1<<23), 1<<23-1)
	b := pion.ReceptionReport{SSRC: in.SSRC, FractionLost: fraction, TotalLost: uint32(lost) & 0xffffff,
		LastSequenceNumber: in.Highest, Jitter: uint32(in.Jitter * clockRate / time.Second)}
	if r.lastSR != 0 && r.stream == in.SSRC {
		b.LastSenderReport, b.Delay = r.lastSR, short(now-r.srAt)
	}
	return b
}

// extension is the blocks of our extended report (RFC 3611).
func (r *Reporter) extension(now time.Duration, ntp uint64, out Sending, in Received, block, sender bool, p Playout) []pion.ReportBlock {
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
	burstFor, gapFor := in.Bursts.Durations(packetTime)
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
func endSystem(p Playout) time.Duration { return p.Delay + packetTime + packetTime }

// Take takes a datagram of the far end that came now; ours is our SSRC and sent the packets that we have sent. It is
// taken whole or not at all. The error is ErrCompound, ErrOwn, ErrFlood or ErrStranger; admit is asked about its sender.
func (r *Reporter) Take(b []byte, now time.Duration, out Sending, admit func(sender uint32) bool) error {
	err := r.take(b, now, out, admit)
	if err != nil {
		r.learnt.Refused++
	} else {
		r.learnt.Taken++
	}
	return err
}

func (r *Reporter) take(b []byte, now time.Duration, out Sending, admit func(sender uint32) bool) error {
	r.tokens = min(intake, r.tokens+intake*(now-r.tokensAt).Seconds())
	r.tokensAt = now
	if r.tokens < 1 {
		return ErrFlood
	}
	r.tokens--
	p, err := parse(b)
	switch {
	case err != nil:
		return err
	case p.sender == out.SSRC:
		return ErrOwn
	case !admit(p.sender):
		return ErrStranger
	}
	r.timing.took(now, len(b))
	if p.name != "" {
		r.learnt.Name = p.name
	}
	r.learnt.Bye = p.bye
	if p.sr != nil {
		r.stream, r.lastSR, r.srAt = p.sr.SSRC, middle(p.sr.NTPTime), now
		r.learnt.Mapped, r.learnt.NTP, r.learnt.TS = true, p.sr.NTPTime, p.sr.RTPTime
	}
	for _, block := range p.blocks {
		if block.SSRC == out.SSRC {
			r.report(block, p.sender, now, out)
		}
	}
	for _, block := range p.xr {
		r.extendedBlock(block, p.sender, now, out)
	}
	return nil
}

// report takes a block of the far end on our stream.
func (r *Reporter) report(b pion.ReceptionReport, from uint32, now time.Duration, out Sending) {
	l := &r.learnt
	lost := int64(int32(b.TotalLost<<8) >> 8)
	if r.reporting && r.reporter != from {
		// Somebody else receives our stream now, and counts from the beginning of that.
		r.lostOnce, r.sentOnce = l.Lost, l.Expected
	}
	r.reporter, r.reporting = from, true
	l.Reported, l.At = true, now
	l.Fraction = float64(b.FractionLost) / 256
	l.Jitter = time.Duration(b.Jitter) * time.Second / clockRate
	l.Lost = r.lostOnce + lost
	l.Expected = max(out.expected(b.LastSequenceNumber), r.sentOnce)
	r.trip(b.LastSenderReport, b.Delay, now)
}

// expected is how many of our packets had been sent up to an extended sequence number that the far end reports: the
// number that fits best to what was sent by now, as its count of cycles depends on when it began to listen.
func (out Sending) expected(highest uint32) uint64 {
	d := int16(uint16(out.Packets) - (uint16(highest) - out.First + 1))
	return uint64(max(int64(out.Packets)-int64(d), 0))
}

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

// trip measures a round trip: now, less when our report went out, less how long the far end kept the answer (RFC 3550
// §6.4.1). An answer to a report that was never made is not believed.
func (r *Reporter) trip(last, kept uint32, now time.Duration) {
	if last == 0 {
		return
	}
	for _, own := range r.own {
		if own != last {
			continue
		}
		d := int64(int32(middle(r.ntp(now)) - last - kept))
		// Rounding of the far end may make it a little less than nothing.
		trip := max(time.Duration(d)*time.Second>>16, 0)
		if d > -65536/100 && trip < maxRoundTrip {
			r.learnt.RoundTrip = max(trip, time.Microsecond)
			r.learnt.Worst = max(r.learnt.Worst, r.learnt.RoundTrip)
			r.learnt.Trips++
		}
		return
	}
}

// Call returns the quality of both directions.
func (r *Reporter) Call(in Received, known bool, p Playout) quality.Call {
	l := &r.learnt
	c := quality.Call{RoundTrip: l.RoundTrip, RoundTripWorst: l.Worst, Buffer: p.Delay, BufferWorst: max(r.longest, p.Delay)}
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
		Delay: r.oneWay(p)}
	s.Rate(quality.G711)
	return s
}

// oneWay is the delay from mouth to ear, the same in both directions (RFC 3611 §4.7.3): half of the round trip and of what
// both ends add; as long as no round trip is known, without it.
func (r *Reporter) oneWay(p Playout) time.Duration {
	theirs := assumedBuffer + 2*packetTime
	if x := r.learnt.Extended; x.Known && x.EndSystem > 0 {
		theirs = x.EndSystem
	}
	return (r.learnt.RoundTrip + endSystem(p) + theirs) / 2
}

// theirs rates what the far end hears of us, as far as it tells.
func (r *Reporter) theirs() quality.Stream {
	l := &r.learnt
	s := quality.Stream{Known: l.Reported, Packets: l.Expected, Lost: uint64(max(l.Lost, 0)), Jitter: l.Jitter, Delay: r.oneWay(Playout{Delay: assumedBuffer})}
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
