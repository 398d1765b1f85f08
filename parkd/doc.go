// Package parkd decides what happens to parked calls on one appliance.
//
// It is a pure machine: Step takes one Input and the time and returns Effects, in the order in which
// they are to be carried out. It never reads a clock, opens a socket, logs, starts a goroutine or
// knows what a SIP message is; timers go out as SetTimer and come back as Timer. One goroutine owns a
// Machine. It is the single writer of the calls that its appliance hosts and alone mirrors those of the
// peers, whose documents come in as Peer: lamps, claims (Known) and rescues go by one view.
//
// A call that is parked here:
//
//	          Park                    ClaimResult granted
//	(parker) ------> claiming ------------------------------> parked --- last tenth ---> ending
//	                  |   ^                                   |  ^  ^                     |
//	      refused, or |   | lowest free: the next orbit       |  |  | join failed         | Timeout
//	      caller gone v   |                            Fetch  |  |  |                     v
//	             Refused: the leg stays                       |  |  +--- fetching <--- recalling(step)
//	             with the parker                              +--|-----> |        Fetch,  |
//	                                                             |       |        answered|
//	                                                             +-------|-- park again --+
//	                                                                     v   (priority + 1)
//	ends: fetched <------------------------------------------------------+
//	      abandoned (the caller hung up, in any state)   released (recall refused, lot says so)
//	      lost (the caller's line is gone, or the peer that hosted the call stayed away)
//	      rescued (a peer has taken it over; while that is not sure: moving, in which state it has no leg)
//
// After a crash, Restore puts back what was stored: who was parked waits on, a recall rings again, who was
// being fetched waits again.
//
// Close prepares for that: what is half done is settled, and nothing rings any more.
//
// Swap on a parked call replaces the leg and keeps the orbit: an attended transfer puts the caller in the
// place of the parker, who has dialled the park code and is parked himself. After a fetch by a leg, the two
// legs are a pair: when either ends, the other is hung up.
//
// A call whose host is dead, has said that it leaves, or lives anew without it, is rescued by the living appliance that ranks first for it: Rescue
// calls its far end, which moves with Replaces, and the call goes on here, as it was, with one more move to its name. Of
// two appliances that tell of one call the one with more moves has it, the other lets go. What became of a call is told in
// Announce, so that nobody asks its far end again; that it is being called is told first. Documents come in any order: a call
// that has left its host keeps its orbit until its new place, or its end, is known (mirror).
//
// An appliance that stood still (stopped, starved, suspended, cut off) waits for its peers' word before it says how a call
// ended, for 2 s before it rescues anybody, and lets others say who gets an orbit. Who is fetched at an appliance that its peers
// cannot see, in the seconds before they rescue, is taken back into the orbit. A rescuer's word to the others does not wait
// for its disk: one that dies between the phone's 200 and that word loses the caller.
//
// What the machine guarantees, and machine_test.go and rapid_test.go check: a token is answered once,
// by Committed, HandToPhone or Join with its end, or Refused; a caller is never hung up because a
// claim, a fetch or a recall failed; a leg is in one orbit at most; every end frees the orbit, leaves
// one Report and shows in the next Announce; the number asked for is never replaced by another one.
package parkd
