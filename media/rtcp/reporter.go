package rtcp

import (
	"math/rand/v2"
	"time"

	pion "github.com/pion/rtcp"

	"parklamp/media/timeline"
)

const (
	// memory of our own reports: an answer to an older one than that is not believed.
	memory = 8
	// maxRoundTrip beyond which an answer is taken for nonsense.
	maxRoundTrip = 10 * time.Second
	// intake is how many datagrams a second are looked at, and as many at once. A far end has reason for one in
	// some seconds.
	intake = 10
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
		if x := r.extension(now, ntp, in, block, sender, p); len(x) > 0 {
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
		LastSequenceNumber: in.Highest, Jitter: uint32(in.Jitter / timeline.Tick)}
	if r.lastSR != 0 && r.stream == in.SSRC {
		b.LastSenderReport, b.Delay = r.lastSR, short(now-r.srAt)
	}
	return b
}

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
	l.Jitter = time.Duration(b.Jitter) * timeline.Tick
	l.Lost = r.lostOnce + lost
	l.Expected = max(out.expected(b.LastSequenceNumber), r.sentOnce)
	r.trip(b.LastSenderReport, b.Delay, now)
}

// expected is how many of our packets had been sent up to an extended sequence number that the far end reports: the
// number that fits best to what was sent by now, as its count of cycles depends on when it began to listen.
func (out Sending) expected(highest uint32) uint64 {
	d := timeline.Packets(uint16(out.Packets), uint16(highest)-out.First+1)
	return uint64(max(int64(out.Packets)-d, 0))
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
