package parkd

import (
	"fmt"
	"time"
)

// LegID names one leg: a dialog with its media session. The owner of the legs makes it; the machine
// only compares it. The empty LegID stands for the desk phone of this appliance.
type LegID string

// Party is one person or line of a call, as SIP said it.
type Party struct {
	Name   string // display name, may be empty
	URI    string // SIP or tel URI, may be empty
	Number string // what one would dial to reach it, may be empty
}

// DialogRef names the SIP dialog between the host and the caller, seen from the host (RFC 3261 §12).
// It goes to peers only: who has it can take the call with Replaces (RFC 3891).
type DialogRef struct {
	CallID    string
	LocalTag  string
	RemoteTag string
	Reach     Reach
}

// Reach is how a peer calls the far end of a dialog, to take the call over when its host is dead. It holds no key and no
// password. The zero Reach says that no peer can or may: the far end does not know Replaces, or what it takes must not
// travel the way that the peers have.
type Reach struct {
	Remote    string // URI of the far end
	Target    string // its remote target
	Routes    string // the route set, URIs parted by spaces
	Transport string // "" as the target says
	Account   string // address of record by which the call came or went, "" for none
	Codec     string // that was agreed
	Security  string // whether the media is to be encrypted
}

// Size is how many bytes it has.
func (r Reach) Size() int {
	return len(r.Remote) + len(r.Target) + len(r.Routes) + len(r.Transport) + len(r.Account) + len(r.Codec) + len(r.Security)
}

// rescuable says whether a peer may take the call over.
func (d DialogRef) rescuable() bool {
	return d.Reach.Target != "" && d.CallID != "" && d.LocalTag != "" && d.RemoteTag != ""
}

// State is what happens to a call in its orbit.
type State uint8

// The states of a call. Claiming and Waiting are never announced: the leg is still the parker's.
const (
	Waiting   State = iota + 1 // no orbit is free, but claims under way may leave one
	Claiming                   // the arbiter is asked for an orbit
	Parked                     // music
	Ending                     // music, in the last tenth of the wait before the recall
	Recalling                  // music, and a recall or escalation step rings
	Fetching                   // being joined to the one who fetches
	Moving                     // the caller has left, perhaps to a peer that took him over
)

var stateNames = [...]string{
	Waiting: "waiting", Claiming: "claiming", Parked: "parked",
	Ending: "ending", Recalling: "recalling", Fetching: "fetching", Moving: "moving",
}

// String returns the word used in logs, presence documents and panel.
func (s State) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText writes the word, so that what is stored outlives a change of the numbers.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote, for the states that are announced.
func (s *State) UnmarshalText(b []byte) (err error) {
	*s, err = ParseState(string(b))
	return err
}

// ParseState is the inverse of State.String for the states that are announced.
func ParseState(s string) (State, error) {
	for st := Parked; st <= Moving; st++ {
		if stateNames[st] == s {
			return st, nil
		}
	}
	return 0, fmt.Errorf("parkd: unknown slot state %q", s)
}

// SlotState is one call in one orbit as its host tells it: a value, safe to keep.
type SlotState struct {
	Orbit      string
	Lot        string
	CallID     string // names the parked call in the whole federation; made by the host
	Host       string // appliance that holds the leg
	State      State
	Since      time.Time // when it was parked, by the host's clock
	Deadline   time.Time // when the present state gives way to the next step; zero: never
	Caller     Party
	Parker     Party
	ParkerRef  string // where to recall: "phone" for the host's own desk phone, else a URI
	Priority   int    // grows with every unanswered round of recalls
	Step       int    // recall step: 0 the parker, n the lot's n-th escalation
	Epoch      uint64 // with Generation: when the host last changed this slot
	Generation uint64
	Dialog     DialogRef
	Moves      int       // how often it has changed its host: of two that tell of one call, the higher is right
	RecallAt   time.Time // when the wait ends, whatever the present state
	Leg        LegID     // known on the host only
	Unknown    bool      // set by View and List: the host cannot be reached
}

// End says how a call left its orbit.
type End uint8

// The ends of a parked call.
const (
	EndFetched   End = iota + 1 // somebody has the caller, by fetch, undo or recall
	EndAbandoned                // the caller hung up
	EndReleased                 // let go by policy: the recall was refused
	EndLost                     // its host is dead and did not come back in time, or the caller's line is
	EndRescued                  // a peer took it over, because its host was dead or about to leave
)

var endNames = [...]string{EndFetched: "fetched", EndAbandoned: "abandoned", EndReleased: "released", EndLost: "lost", EndRescued: "rescued"}

// String returns the word used in logs and reports.
func (e End) String() string {
	if int(e) < len(endNames) && endNames[e] != "" {
		return endNames[e]
	}
	return fmt.Sprintf("end(%d)", uint8(e))
}

// Row is the report of one call that left its orbit.
type Row struct {
	Slot  SlotState // as it was last
	Ended time.Time
	End   End
	By    LegID // who has the caller now, for EndFetched
}

// Reason says why a token was refused.
type Reason uint8

// The reasons for a refusal.
const (
	ReasonNone        Reason = iota
	ReasonTaken              // the orbit holds a call: 486 and busy tone
	ReasonFull               // no orbit of the lot is free: reorder tone
	ReasonEmpty              // nothing is parked there, or nothing to undo
	ReasonNoSuchOrbit        // not an orbit of the lot
	ReasonEmergency          // an emergency call cannot be parked
	ReasonLostRace           // somebody else was a little earlier
	ReasonUnknown            // the host of that call cannot be reached
	ReasonTimeout            // the claim or the join was not answered in time
	ReasonGone               // the caller or the fetcher hung up meanwhile
	ReasonFailed             // the join failed; the caller is back in the orbit
	ReasonUndone             // the parker took it back, or Abort
	ReasonParked             // that leg is already parked or about to be
	ReasonLimit              // MaxCalls reached
)

var reasonNames = [...]string{
	ReasonNone: "none", ReasonTaken: "taken", ReasonFull: "full", ReasonEmpty: "empty",
	ReasonNoSuchOrbit: "no-such-orbit", ReasonEmergency: "emergency", ReasonLostRace: "lost-race",
	ReasonUnknown: "unknown", ReasonTimeout: "timeout", ReasonGone: "gone", ReasonFailed: "failed",
	ReasonUndone: "undone", ReasonParked: "already-parked", ReasonLimit: "limit",
}

// String returns the word used in logs.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}
