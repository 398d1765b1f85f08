package parkd

// Input is something that happened; the types of this file are all of them.
type Input interface{ input() }

// DeskPhone is the ParkerRef of the desk phone of the appliance itself.
const DeskPhone = "phone"

// Park asks to park a leg. The leg stays the parker's until Committed; Refused changes nothing.
type Park struct {
	Token     string // echoed in every effect about this request; unique among those open
	Leg       LegID  // the caller's leg
	Orbit     string // "" asks for the lowest free orbit
	Caller    Party
	Parker    Party
	ParkerRef string // where a recall rings: DeskPhone or a URI; "" skips the parker
	Dialog    DialogRef
	Emergency bool // an emergency call is never parked
	Gone      bool // the parker has hung up already, see ParkerGone
}

// ParkerGone says that the parker hung up before Park was answered. The caller is not dropped: if
// no orbit is granted, the call is queued in the orbit that was asked for.
type ParkerGone struct{ Token string }

// ClaimResult answers Claim.
type ClaimResult struct {
	Token   string
	Orbit   string // as in Claim: answers to an earlier attempt are told apart by it
	Granted bool
	Reason  Reason // when not granted
}

// Fetch asks for a parked call.
type Fetch struct {
	Token  string
	Leg    LegID  // the fetcher's leg; "" is the desk phone here
	Orbit  string // "" asks for the oldest call of the lot
	CallID string // this call and no other (INVITE with Replaces); Orbit may be ""
}

// Undo takes back what ParkerRef parked within the undo window. It ends as a Fetch does.
type Undo struct {
	Token     string
	Leg       LegID // who gets the call; "" is the desk phone here
	ParkerRef string
}

// Abort withdraws an open Park or Fetch: the desk phone went on hook, or an INVITE was cancelled.
type Abort struct{ Token string }

// JoinResult answers HandToPhone, Join and FetchRemote.
type JoinResult struct {
	Token  string
	OK     bool
	Reason Reason // when not OK; ReasonNone counts as ReasonFailed
	Leg    LegID  // FetchRemote for a fetcher's leg: the new leg to the host, joined to the fetcher's
}

// LegEnded says that a leg is gone, whoever ended it.
type LegEnded struct {
	Leg  LegID
	Lost bool // nobody hung up: the far end is not there any more, or does not know the call
	Ours bool // this appliance has hung up
	// Doubt says that peers which count as alive were not heard for a while: they may have taken the caller over.
	Doubt bool
}

// Swap puts NewLeg in the place of Leg in its orbit, or in its pair after a fetch (attended transfer, Replaces).
// The machine hangs up Leg.
type Swap struct {
	Token  string
	Leg    LegID
	NewLeg LegID
	Caller Party
	Dialog DialogRef
}

// DialogChanged says that the far end of a parked call is reached otherwise than before.
type DialogChanged struct {
	Leg    LegID
	Dialog DialogRef
}

// RescueResult answers Rescue.
type RescueResult struct {
	CallID string
	Leg    LegID // who has come to us; "": nobody
	Dialog DialogRef
	How    Outcome // without a leg: Gone, Unable, or 0 when nobody answers, or not now
}

// Leave says that this appliance is about to go: peers take its callers over at once.
type Leave struct{}

// CallerChanged gives the caller's new identity.
type CallerChanged struct {
	Leg    LegID
	Caller Party
}

// RecallProgress says that the recalled phone rings.
type RecallProgress struct{ Token string }

// RecallAnswered says that the recall was answered.
type RecallAnswered struct {
	Token string
	Leg   LegID // the leg that answered; "" is the desk phone here
}

// RecallFailed says that the recall was refused (Code 4xx to 6xx) or could not be made (Code 0).
type RecallFailed struct {
	Token string
	Code  int
}

// Peer tells what a peer hosts and whether it is alive. State is complete. A document that is not
// newer by (Epoch, Generation) only changes Alive, and Epoch 0 is none: a peer known by configuration is
// first told so, as not alive.
type Peer struct {
	Name       string
	Alive      bool
	Leaving    bool // it has said that it goes: its callers are taken over at once
	Epoch      uint64
	Generation uint64
	State      []SlotState
	Settled    []Settled
}

// StoodStill says that this process, or its machine, has not run for a while: what peers have told meanwhile may be unread.
type StoodStill struct{}

// Timer says that the time of SetTimer has come.
type Timer struct{ ID string }

// RaiseEpoch makes this appliance's epoch greater than Epoch: a peer remembers a later life of it than
// this one, as after a boot without a clock.
type RaiseEpoch struct{ Epoch uint64 }

// Restore gives back what an earlier life of this appliance hosted, as last announced, with the Leg that each call
// has in this life; it comes before any Park. Calls keep their id, orbit, time, priority and step. A wait that is
// over ends in a recall; a fetch that was under way is forgotten, the caller waits. If a peer has put somebody into
// the same orbit meanwhile, both queue there. A leg that cannot be taken is hung up.
type Restore struct {
	Slots []SlotState // oldest first
}

// Close says that the process ends, and that another one may go on with its calls (Restore). From now on nobody is rung: a
// recall ends and is made anew by the next life. A fetch under way is refused, as is a new one, and the caller waits. A
// park under way is granted without waiting for the arbiter: whoever parks goes with us, and two in an orbit queue. The
// peers hear nothing of it: that is Leave. A second Close ends the wait for what peers say of callers who have left.
type Close struct{}

func (Close) input()          {}
func (Restore) input()        {}
func (Park) input()           {}
func (ParkerGone) input()     {}
func (ClaimResult) input()    {}
func (Fetch) input()          {}
func (Undo) input()           {}
func (Abort) input()          {}
func (JoinResult) input()     {}
func (LegEnded) input()       {}
func (Swap) input()           {}
func (CallerChanged) input()  {}
func (DialogChanged) input()  {}
func (RescueResult) input()   {}
func (Leave) input()          {}
func (RecallProgress) input() {}
func (RecallAnswered) input() {}
func (RecallFailed) input()   {}
func (Peer) input()           {}
func (StoodStill) input()     {}
func (Timer) input()          {}
func (RaiseEpoch) input()     {}
