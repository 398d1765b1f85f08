package update

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	askFor    = 5 * time.Second // for an answer
	deadAfter = time.Minute     // a phone that does not answer this long has no calls
	// UncountedFor is how long a phone that lives is waited for while it does not say which calls it has. It is out of order:
	// whoever updates it or restarts it expects that this mends it, and a trial of it that he falls back.
	UncountedFor = 10 * time.Minute
)

// ErrUncounted is a phone that lives and does not say which calls it has.
var ErrUncounted = errors.New("the phone does not say which calls it has")

// Caution asks the phone, before it is ended, whom that would disturb. A phone that does not answer may have died and be taking
// its parked callers back from the journal, and would hang up on them if it were ended now: only one that is silent for a
// minute has nobody to lose. One that answers with ErrUncounted may have any, and is waited for UncountedFor. A Caution has one
// owner.
type Caution struct {
	busy    func(context.Context) (string, error)
	dead    time.Duration
	counted time.Time // when it said last which calls there are
	lived   time.Time // when it answered last, whatever it said
}

// NewCaution returns one that begins now. busy says which calls there are ("2 calls"), or "".
func NewCaution(busy func(context.Context) (string, error)) *Caution {
	return &Caution{busy, deadAfter, time.Now(), time.Now()}
}

// Ask says what there is to wait for, "" for nothing. When ctx ends meanwhile the answer says nothing.
func (c *Caution) Ask(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	why, err := c.busy(ctx)
	now := time.Now()
	if err == nil {
		c.counted, c.lived = now, now
		return why
	}
	uncounted := errors.Is(err, ErrUncounted)
	if uncounted {
		c.lived = now
	}
	switch {
	case now.Sub(c.counted) >= UncountedFor, now.Sub(c.lived) >= c.dead:
		return ""
	case uncounted:
		return fmt.Sprintf("%v; it is waited for %v at most", err, UncountedFor)
	}
	return "the phone does not answer: " + err.Error()
}
