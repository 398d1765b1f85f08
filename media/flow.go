package media

import "time"

const (
	// flowRate packets a second are taken of a far end in the long run: audio in packets of 4 ms. RFC 3551 §4.2 has 20 ms.
	flowRate = 250
	// flowBurst packets may come at once: what a network held back for as long as the relay bears.
	flowBurst = 500
	// controlRate datagrams of RTCP a second are handed on, and controlBurst at once: reports come every few seconds, and each
	// wakes the control goroutine.
	controlRate  = 20
	controlBurst = 40
	// searchRate packets a second are tried with all rollover counters (srtp.Opener), which takes 0.2 ms for each key. One of
	// the far end's is enough; as it sends 50, this is another number, so that nobody's forged ones are always a step ahead.
	searchRate  = 47
	searchBurst = 10
)

// flow bounds what a far end can make us do. Its packets are worked on by the readers of all sockets and are sent on by
// a relay, perhaps to where they come from again: the address of a far end may be another call's, here or on another
// appliance. It is guarded by in.mu of its session.
type flow struct {
	spent time.Duration // worth of packets that count as taken ahead of time
	at    time.Duration // of the last packet
}

// admit reports whether a packet is taken that came at a time, of rate a second and burst at once.
func (f *flow) admit(at time.Duration, rate, burst int) bool {
	each := time.Second / time.Duration(rate)
	most := time.Duration(burst) * each
	if gone := at - f.at; gone > 0 {
		f.spent, f.at = max(f.spent-gone, 0), at
	}
	if f.spent+each > most {
		return false
	}
	f.spent += each
	return true
}
