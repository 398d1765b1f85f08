// Package keypad turns the lines of a board into key and hook events: scan, debounce, long press, stuck keys,
// ghosting.
//
// At rest all rows are driven and nothing runs: an edge on a column or the hook wakes the Scanner, which scans
// row by row until every key is open again and the hook is still; between two scans all rows are driven too. The
// decisions are in Machine, pure and without a clock; Scanner reads the lines and feeds it.
//
// A press is reported when its contact has been closed for Config.Confirm, so a glove's slow, chattering press
// costs its chatter and no more; a release only after Config.Release without contact, so that the same chatter
// never becomes two presses. Both are told from the times of the edges, which the driver keeps (board.Board.Wait), and not from
// how often somebody looked: a program that gets no processor for a while finds out afterwards what was done. The edges of a
// column say when one of its keys was down, and a single look within the press says which.
//
// So a press is reported once, however long the machine stands still before or in it, as long as it goes on after that for two
// scans and the pause between them. Where the columns settle in 50 µs these take 3 ms: a press of 60 ms with 5 ms of bounce outlasts
// a standstill of 50 ms, one of 80 ms 70 ms. Where they take 2 ms a scan of 8 rows takes 16, and 80 ms outlast 40 ms. A shorter one
// that no look has seen is reported where its column has one key; elsewhere nobody can say which key it was, and it is
// counted (Stats.Unseen), never guessed; within Config.Release of another one of its column it passes for that one's chatter.
// A standstill never makes two presses of one, nor a long press of a short one.
//
// A crossing that three other closed keys could have faked is not believed until it
// is unambiguous. Lines that are joined or shorted are found out by what presses look like, named (Short), and what they
// could have faked is not believed. A line that flickers is named too, and looked at every few ScanPeriods instead of at each of
// its edges. The kernel is not asked to filter the hook's: it would swallow what the fault is known by. A key
// that is held when the scanner starts is not a press: it is Held.
//
// It never knows what a key is for, never repeats a key and never writes an LED. Scanner.Run runs in the
// caller's goroutine and starts none.
package keypad

import (
	"fmt"
	"time"

	"parklamp/board"
)

// Hook is the Key of the events Lifted and Replaced.
const Hook board.Key = "hook"

// Kind says what happened to a key.
type Kind uint8

// The kinds of Event. For a key the order is Down, then Long and Stuck if it is held, then Up. For a key that was held when
// the scanner started it is Held, then Stuck, then Up.
const (
	Down     Kind = iota // pressed
	Up                   // released
	Long                 // held for Config.LongPress; once for each press
	Stuck                // held for Config.StuckAfter: jammed or wired wrongly, a health condition
	Lifted               // the handset left its cradle
	Replaced             // the handset is back
	Held                 // was down when the scanner started: a finger at power-on, or a jammed key; no press
)

// String gives the kind's name for logs and transcripts.
func (k Kind) String() string {
	switch k {
	case Down:
		return "down"
	case Up:
		return "up"
	case Long:
		return "long"
	case Stuck:
		return "stuck"
	case Lifted:
		return "lifted"
	case Held:
		return "held"
	default:
		return "replaced"
	}
}

// Event is one thing that a hand did.
type Event struct {
	Key  board.Key
	Kind Kind
	// At is when the contact moved: the stamp of an edge where that can only be the key's, the scan that saw it otherwise.
	At time.Time
	// Seen is when the scanner was sure; Seen minus At is the latency of debouncing.
	Seen time.Time
}

// Config holds the times of debouncing.
type Config struct {
	ScanPeriod time.Duration `toml:"scan_period" doc:"Time between two scans of the matrix while a key moves."`
	Confirm    time.Duration `toml:"confirm" doc:"A contact must be closed this long to be a press."`
	Release    time.Duration `toml:"release" doc:"A contact must be open this long to be a release."`
	LongPress  time.Duration `toml:"long_press" doc:"A key held this long is a long press."`
	StuckAfter time.Duration `toml:"stuck_after" doc:"A key held this long is reported as stuck."`
	HookUp     time.Duration `toml:"hook_up" doc:"The handset must be lifted this long to be off the hook."`
	HookDown   time.Duration `toml:"hook_down" doc:"The handset must rest this long to be on the hook; a bump of the cradle must not end a call."`
}

// Default returns times for industrial switches and gloves: a press is known 2 to 4 ms after its contact is
// firm, 10 ms of chatter in a release are ridden out three times over.
func Default() Config {
	return Config{
		ScanPeriod: 2 * time.Millisecond,
		Confirm:    1500 * time.Microsecond,
		Release:    30 * time.Millisecond,
		LongPress:  800 * time.Millisecond,
		StuckAfter: 30 * time.Second,
		HookUp:     10 * time.Millisecond,
		HookDown:   80 * time.Millisecond,
	}
}

// Validate reports the first value that is out of range.
func (c Config) Validate() error {
	ranges := []struct {
		key           string
		value         time.Duration
		lowest, above time.Duration
	}{
		{"scan_period", c.ScanPeriod, 500 * time.Microsecond, 10 * time.Millisecond},
		{"confirm", c.Confirm, 0, 20 * time.Millisecond},
		{"release", c.Release, 5 * time.Millisecond, 200 * time.Millisecond},
		{"long_press", c.LongPress, 300 * time.Millisecond, 5 * time.Second},
		{"stuck_after", c.StuckAfter, 5 * time.Second, 10 * time.Minute},
		{"hook_up", c.HookUp, 0, 200 * time.Millisecond},
		{"hook_down", c.HookDown, 10 * time.Millisecond, time.Second},
	}
	for _, r := range ranges {
		if r.value < r.lowest || r.value > r.above {
			return fmt.Errorf("%s: %v is not from %v to %v", r.key, r.value, r.lowest, r.above)
		}
	}
	return nil
}
