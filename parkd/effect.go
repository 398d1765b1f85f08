package parkd

import (
	"slices"
	"time"
)

// Effect is something to do; the types of this file are all of them.
type Effect interface{ effect() }

// Claim asks the orbit's arbiter. The answer comes back as ClaimResult with the same token and orbit.
type Claim struct {
	Token string
	Orbit string
}

// ReleaseClaim gives back a claim that was made and will not be used.
type ReleaseClaim struct {
	Token string
	Orbit string
}

// Announce is everything that this appliance hosts, after a change: store it, then tell the peers.
type Announce struct {
	Epoch      uint64
	Generation uint64
	Slots      []SlotState // oldest first
	Leaving    bool        // it is about to go
	Settled    []Settled   // what has become of calls of dead peers, oldest first
}

// Settled tells what has become of a call whose host was dead or about to leave.
type Settled struct {
	CallID string
	Moves  int // the copies with fewer are meant
	How    Outcome
	// Who has the call, or tries, and the document of that appliance that said so: with Host "", who tells this.
	Host       string
	Epoch      uint64
	Generation uint64
}

// Outcome is how a rescue goes.
type Outcome uint8

// The outcomes.
const (
	Rescued Outcome = iota + 1 // the caller came: no other appliance has him
	Gone                       // the far end knew nothing of the call any more; told by its host: it has ended there
	Unable                     // the far end does not come: only the host can go on with the call
	Trying                     // the far end is being called; it may have come already
	Absent                     // as Gone, unless another appliance says in time that it has the caller
)

var outcomeNames = [...]string{Rescued: "rescued", Gone: "gone", Unable: "unable", Trying: "trying", Absent: "absent"}

// String returns the word used in presence documents.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return ""
}

// ParseOutcome is the inverse of Outcome.String; 0 is a word that is not known.
func ParseOutcome(s string) Outcome { return Outcome(max(0, slices.Index(outcomeNames[:], s))) }

// Music takes the leg over (or back, which undoes a join under way) and plays music on the next tick.
type Music struct{ Leg LegID }

// Committed says that the park holds: the parker may be told the orbit and let go.
type Committed struct {
	Token string
	Leg   LegID
	Orbit string
	Slot  SlotState
}

// Refused ends a request. A Park: the call is where it was. A Fetch or an answered recall: the
// fetcher's leg is to be told why and ended.
type Refused struct {
	Token  string
	Leg    LegID // the leg of the request: caller's for Park, fetcher's for Fetch
	Orbit  string
	Reason Reason
}

// HandToPhone gives the parked leg to the desk phone; JoinResult answers.
type HandToPhone struct {
	Token string
	Leg   LegID
	Slot  SlotState
}

// Join relays media between the parked leg and the fetcher's (answer it first, if it is not);
// JoinResult answers.
type Join struct {
	Token   string
	Parked  LegID
	Fetcher LegID
	Slot    SlotState
}

// FetchRemote takes the call from its host: INVITE with Replaces. JoinResult answers.
type FetchRemote struct {
	Token   string
	Fetcher LegID // "" is the desk phone here
	Slot    SlotState
}

// CancelFetch ends a FetchRemote or Join whose fetcher is gone.
type CancelFetch struct{ Token string }

// Recall rings the parker (Step 0) or an escalation step. RecallProgress, RecallAnswered and
// RecallFailed answer with the same token.
type Recall struct {
	Token string
	To    string // DeskPhone or a URI
	Step  int
	Slot  SlotState // the caller to be shown
}

// StopRecall ends a recall that rings.
type StopRecall struct{ Token string }

// Rescue takes over a call whose host is dead or about to leave: INVITE with Replaces to its far end (RFC 3891).
// RescueResult answers, always.
type Rescue struct{ Slot SlotState }

// Stranded says that a caller cannot be rescued from here, or not now: unless another appliance has him or takes him, he hears
// nothing until his host is back. Somebody should ring back.
type Stranded struct{ Slot SlotState }

// HangUp ends a leg. Reason is text for people and the Reason header.
type HangUp struct {
	Leg    LegID
	Reason string
}

// Report is one row for the report: a call has left its orbit.
type Report struct{ Row Row }

// Changed says that View of these orbits is another one now.
type Changed struct{ Orbits []string }

// SetTimer asks for Timer with this ID at that time; it replaces an earlier one of the same ID.
type SetTimer struct {
	ID string
	At time.Time
}

// StopTimer withdraws a timer.
type StopTimer struct{ ID string }

// Ignored says that an input had no meaning in this state. It is for counting and logs.
type Ignored struct {
	State State // of the call that it was about; 0 when there is none
	Input Input
}

func (Claim) effect()        {}
func (ReleaseClaim) effect() {}
func (Announce) effect()     {}
func (Music) effect()        {}
func (Committed) effect()    {}
func (Refused) effect()      {}
func (HandToPhone) effect()  {}
func (Join) effect()         {}
func (FetchRemote) effect()  {}
func (CancelFetch) effect()  {}
func (Recall) effect()       {}
func (StopRecall) effect()   {}
func (Rescue) effect()       {}
func (Stranded) effect()     {}
func (HangUp) effect()       {}
func (Report) effect()       {}
func (Changed) effect()      {}
func (SetTimer) effect()     {}
func (StopTimer) effect()    {}
func (Ignored) effect()      {}
