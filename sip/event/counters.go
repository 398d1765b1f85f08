package event

import "sync/atomic"

// Stats counts since the start, but Watchers and Subscriptions, which are now.
type Stats struct {
	Watchers      int64  // subscriptions that others have here
	Subscriptions int64  // ours that are active
	Sent          uint64 // NOTIFY requests sent
	Failed        uint64 // of them refused or not answered
	Received      uint64 // NOTIFY requests taken
	Refused       uint64 // requests answered with an error
}

type counters struct {
	watchers, subscriptions         atomic.Int64
	sent, failed, received, refused atomic.Uint64
}

// Stats may be called from any goroutine.
func (a *Agent) Stats() Stats {
	c := &a.count
	return Stats{
		Watchers: c.watchers.Load(), Subscriptions: c.subscriptions.Load(),
		Sent: c.sent.Load(), Failed: c.failed.Load(), Received: c.received.Load(), Refused: c.refused.Load(),
	}
}
