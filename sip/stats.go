package sip

import "sync/atomic"

// Reasons for which a message is dropped without an answer, as in Stats.Dropped.
const (
	dropRate        = "rate"        // more than MaxDatagramsPerSourcePerSecond
	dropGarbage     = "garbage"     // not SIP, or SIP without a usable Via
	dropStray       = "stray"       // a response without a transaction
	dropConnections = "connections" // more than MaxConnections, or too many handshakes
	dropOverload    = "overload"    // too many requests waiting
)

var dropReasons = [...]string{dropRate, dropGarbage, dropStray, dropConnections, dropOverload}

// Stats is a copy of the endpoint's counters.
type Stats struct {
	In, Out      uint64            // messages received and sent, keep-alives not counted
	Refused      uint64            // requests answered 4xx or 5xx by the endpoint itself
	Dropped      map[string]uint64 // by reason: rate, garbage, stray, connections, overload
	Restarts     uint64            // listeners that died
	ServerTxs    int               // open server transactions
	ClientTxs    int               // open client transactions
	Connections  int               // open TCP and TLS connections
	AwaitingAcks int               // 2xx responses that have not been acknowledged
}

type counters struct {
	in, out, refused, restarts atomic.Uint64
	dropped                    [len(dropReasons)]atomic.Uint64
}

func (c *counters) drop(reason string) {
	for i, r := range dropReasons {
		if r == reason {
			c.dropped[i].Add(1)
		}
	}
}

// Stats returns the counters as they are now.
func (e *Endpoint) Stats() Stats {
	s := Stats{
		In: e.count.in.Load(), Out: e.count.out.Load(),
		Refused: e.count.refused.Load(), Restarts: e.count.restarts.Load(),
		Dropped: make(map[string]uint64, len(dropReasons)),
	}
	for i, r := range dropReasons {
		s.Dropped[r] = e.count.dropped[i].Load()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s.ServerTxs, s.ClientTxs = len(e.serverTxs), len(e.clientLegs)
	s.Connections, s.AwaitingAcks = len(e.streams), len(e.awaitingAck)
	return s
}
