// Package call is the telephone call of RFC 3261 as a thing with an owner: INVITE in both directions,
// the dialog that it makes, and everything that happens inside that dialog until its last message.
//
// A Call is an actor. Its state belongs to one goroutine, methods of Call send it a request and return
// at once, and what happens comes to the owner's Handler as events, in order, from that goroutine. A
// leg changes hands (phone to parking lot and back) with SetOwner: nothing is sent, and the events that
// follow go to the new owner. The Dialog of a call is plain data; Restore makes a call from it again
// after the process has died.
//
//	incoming --Answer--> answering --ACK--> active --BYE, either side, or a failure--> ended
//	    |  Reject, CANCEL, BYE, no answer                                               ^
//	    +------------------------------------------------------------------------------+
//	calling --2xx--> active                                                             ^
//	    |  3xx: calling its next target                                                 |
//	    +--4xx to 6xx, no target left, Hangup, no answer--------------------------------+
//
// Every call ends with exactly one Ended. It is told as soon as the call is over for the owner; the
// actor stays in the table until the last transaction is through, so that a 200 that races our CANCEL
// is acknowledged and released, and late retransmissions get their answer.
//
// The package never touches media (it hands sdp.Media to the owner), never decides who may call, and
// keeps no registration. It does not send or accept reliable provisional responses (RFC 3262), and
// follows redirections to five targets at most.
//
// Goroutines: one for each call and one for each of its client transactions, all owned by UA.Run.
//
// Standards: RFC 3261 §8.1.3.4, §9, §12 to §15; RFC 3264 (through package sdp); RFC 3311 UPDATE; RFC 3325
// P-Asserted-Identity; RFC 3326 Reason; RFC 3515, 3892 REFER and Referred-By; RFC 3891 Replaces;
// RFC 4028 session timers; RFC 5407 races; RFC 5589 transfers; RFC 5806 Diversion; RFC 6086 INFO (DTMF).
package call
