package quality

import "time"

// MinGap is Gmin of RFC 3611 §4.7.2: so many good packets in a row end a burst.
const MinGap = 16

// Bursts tells how the packets that were lost or discarded lay among the others (RFC 3611 §4.7.2). A burst begins
// and ends with one and holds at least two; a single one far from others is part of a gap. The zero value is ready.
// It is fed in the order of sequence numbers, by one goroutine.
type Bursts struct {
	Total  uint64 // packets
	Bad    uint64 // of these lost or discarded
	Runs   uint64 // unbroken rows of bad packets
	Bursts uint64 // that have ended
	Inside uint64 // packets inside of bursts
	Worse  uint64 // bad packets inside of bursts

	good uint64 // since the last bad one
	open uint64 // packets from the first bad one of what may become a burst to the last
	bads uint64 // bad ones among these
}

// Good notes n packets that came in time.
func (b *Bursts) Good(n uint64) {
	b.Total += n
	b.good += n
}

// Lost notes n packets in a row that are missing, for whatever reason.
func (b *Bursts) Lost(n uint64) {
	if n == 0 {
		return
	}
	if b.Bad == 0 || b.good > 0 {
		b.Runs++
	}
	if b.bads > 0 && b.good < MinGap {
		b.open += b.good + n
	} else {
		b.end()
		b.open, b.bads = n, 0
	}
	b.bads += n
	b.Total += n
	b.Bad += n
	b.good = 0
}

// end closes what may have been a burst.
func (b *Bursts) end() {
	if b.bads > 1 {
		b.Bursts++
		b.Inside += b.open
		b.Worse += b.bads
	}
	b.open, b.bads = 0, 0
}

// Closed returns the account as if the stream ended here.
func (b Bursts) Closed() Bursts {
	b.end()
	return b
}

// Density returns the part of bad packets inside of bursts and inside of gaps, 0 to 1. Call it on Closed.
func (b Bursts) Density() (burst, gap float64) {
	return rate(b.Worse, b.Inside), rate(b.Bad-b.Worse, b.Total-b.Inside)
}

// Durations returns the mean length of bursts and of the gaps before, between and behind them, for packets of the
// given length. Call it on Closed.
func (b Bursts) Durations(packet time.Duration) (burst, gap time.Duration) {
	if b.Bursts > 0 {
		burst = time.Duration(b.Inside) * packet / time.Duration(b.Bursts)
	}
	return burst, time.Duration(b.Total-b.Inside) * packet / time.Duration(b.Bursts+1)
}

// Ratio is BurstR of ITU-T G.107 §7.5: the mean length of a row of bad packets over that of random losses of the
// same rate. It is at least 1, and at most 2 where more than 2 % are bad: the E-model was not fitted to more.
func (b Bursts) Ratio() float64 {
	if b.Runs == 0 || b.Bad >= b.Total {
		return 1
	}
	part := rate(b.Bad, b.Total)
	most := 8.0
	if part > 0.02 {
		most = 2
	}
	return min(max(1, float64(b.Bad)/float64(b.Runs)*(1-part)), most)
}
