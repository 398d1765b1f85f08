// Package phone is what a desk phone does with keys and calls: hook, digits with a dial plan, ringing, call waiting,
// hold, transfer, parking, fetching, do-not-disturb and emergency calls.
//
// It is a pure state machine, Step(now, input) []Effect. It never starts a goroutine, reads a clock, opens a socket,
// logs or imports another package of Parklamp: timers go out as SetTimer and come back as Timer, calls and parked calls
// go out as effects and come back as news. cmd/internal/wire owns one Machine and steps it from one goroutine.
//
// # States
//
// The state is what ear and keys are doing; a table holds the calls with states of their own. In Idle and Ringing the
// path (handset or loudspeaker) is closed, in all others it is open.
//
//	             a call, recall or held call rings
//	      +------+ -------------------------------> +---------+
//	      | Idle |                                  | Ringing |
//	      +------+ <------------------------------- +---------+
//	       |    ^    it ended, DND key                   | hook up, speaker key: answer
//	hook   |    | hook down from every state             v
//	up     v    | (a held call: Ringing)            +---------+  key hold or transfer: hold, DialTone
//	 +----------+  digit  +---------+  complete     | Talking | <----------------------+
//	 | DialTone | ------> | Dialing | -----+        +---------+                        |
//	 +----------+         +---------+      v         |  |   ^ answered   +---------+   |
//	   |  |  ^ 5 s         no number |  +---------+  |  |   +----------- | Calling |   |
//	   |  |  |                       |  | Calling |  |  |                +---------+   |
//	   |  | +--------+  committed    |  +---------+  |  | park key,       | failed     |
//	   |  | | Parked | <-----------+ |     failed |  |  | orbit key       v            |
//	   |  | +--------+  +---------+| |            |  |  v           +---------+        |
//	   |  |  | park     | Parking || +--------->  |  | +---------+  | Failure |        |
//	   |  |  | (undo)   +---------+|    Failure <-+  | | Parking |  +---------+        |
//	   |  |  v              |  ^   |                 | +---------+     | 20 s          |
//	   |  | +----------+    |  |   +--- ParkCommitted -+   | refused    v              |
//	   |  +>| Fetching | -- | -|-- Fetched: Talking --- | --+------> +-------+          |
//	   |    +----------+    |  |    refused: Failure    | Talking    | Quiet |          |
//	   | park    ^          |  +- park or orbit key     | + beep     +-------+          |
//	   v         | park     |     with a held call      v                               |
//	 +---------+ |          +- refused: Failure,     +--------------+  failed           |
//	 | Listing |-+             the call stays held   | Transferring | ------------------+
//	 +---------+                                     +--------------+  done: DialTone, Idle
//
// DialTone, Dialing, Parked, Listing, Failure and Quiet take the same keys; they differ in what is heard and how long.
// testdata/table.golden has every state with every input.
//
// # What the keys do
//
// Hook up: answers what rings, else takes the held call, else dial tone. Hook down: ends the call in the ear; a held
// call rings at once, and again each Reminder; a call being parked goes on to be parked, a fetch is given up, a transfer
// goes on. With the loudspeaker on by the speaker key, the handset can be put back.
//
// Park: the call in the ear goes to the lowest free orbit, or else the held one does. It stays with the worker until
// ParkCommitted, then the orbit is spoken; Park again within Undo takes the call back. Without a call the list of
// parked calls is spoken; Park again fetches the oldest. A refusal sounds over the call (busy: taken; reorder: full).
// If the handset is down when a park is refused, the call rings with the ring of a recall.
//
// Orbit key: in a call, parks it there. With a held call and a dark key too; after Transfer with any. Else a lit key
// fetches. With the handset down the caller comes to the loudspeaker at once, and moves to the handset when it is
// lifted; a dark key gives an error beep. The key of a recall that rings answers it. Long: pages.
//
// Hold: holds and gives dial tone for a second call; in dial tone it takes the call that waits, else the one held
// longest, so that Hold twice changes between two calls. With a call waiting it holds and answers.
//
// Transfer: holds and gives dial tone. Number, Transfer: blind, before or while the number rings. Number, talk,
// Transfer: attended. Transfer twice takes the call back. Hook down never joins two callers.
//
// Digits: dial, or in a call go to the far end (DTMF). While the phone rings or waits for something they are looked at
// for an emergency number only. In a call an emergency number is dialled after Hold.
//
// DND: refuses callers, never recalls; while ringing, it refuses the call that rings. Emergency call: cannot be parked,
// held or transferred, nothing rings during it, and it ends only when the handset is put down twice within
// EmergencyHangUp (it goes on hands-free after the first), or by the far end.
//
// # What always holds
//
// After each Step: an answered call is in the ear, on hold, or with music; a held call with the handset down rings or
// has a reminder timer; at most one call is connected, and none while the path is closed; a path is closed only with
// the handset down. Every call ends by its far end, by the worker's hanging up, or by ParkCommitted, by nothing else.
//
// Standards: RFC 3261 (status codes), RFC 3435 §2.1.5 (dial plan), RFC 3515 and RFC 5589 (transfer), RFC 3960 (early
// media), RFC 7090 (emergency call-back), ITU-T E.180 (meaning of tones).
package phone
