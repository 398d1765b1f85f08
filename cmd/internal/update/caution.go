package update

import (
	"context"
	"time"
)

const (
	askFor    = 5 * time.Second // for an answer
	deadAfter = time.Minute     // a phone that does not answer this long has no calls
)

// Caution asks the phone, before it is ended, whom that would disturb. A phone that does not answer may have died and be taking
// its parked callers back from the journal, and would hang up on them if it were ended now: only one that is silent for a
// minute has nobody to lose. A Caution has one owner.
type Caution struct {
	busy     func(context.Context) (string, error)
	dead     time.Duration
	answered time.Time
}

// NewCaution returns one that begins now. busy says which calls there are ("2 calls"), or "".
func NewCaution(busy func(context.Context) (string, error)) *Caution {
	return &Caution{busy, deadAfter, time.Now()}
}

// Ask says what there is to wait for, "" for nothing. When ctx ends meanwhile the answer says nothing.
func (c *Caution) Ask(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	why, err := c.busy(ctx)
	switch now := time.Now(); {
	case err == nil:
		c.answered = now
	case now.Sub(c.answered) < c.dead:
		return "the phone does not answer: " + err.Error()
	default:
		return ""
	}
	return why
}
