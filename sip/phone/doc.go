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
//	from          to            when
//	Idle          Ringing       a caller, a recall or a held call rings
//	Idle          DialTone      hook up, speaker key
//	Idle          Dialing       digit
//	Idle          Calling       redial
//	Idle          Talking       intercom; with a held call: hook up, Hold
//	Idle          Conference    with a held conference: hook up, speaker key, Hold
//	Idle          Fetching      lit orbit key; Park after parking (undo)
//	Idle          Listing       Park
//	Idle          Parked        a call was parked whose worker had hung up before
//	Idle          Failure       too many calls to fetch or redial
//	Ringing       Talking       hook up, speaker key, Hold, orbit key of the recall
//	Ringing       Conference    with a held conference: hook up, speaker key, Hold
//	Ringing       Fetching      another lit orbit key
//	Ringing       Calling       emergency number
//	Ringing       Idle          the call ends, DND; with a held call: Park, orbit key, pause
//	Ringing       Parked        a park that was given up was carried out after all
//	Ringing       Failure       too many calls to fetch
//	ready         Dialing       digit
//	ready         Calling       number complete, redial
//	ready         Transferring  after Transfer: number, Transfer
//	ready         Parking       with a held call: Park, orbit key, park code
//	ready         Fetching      lit orbit key, number of an orbit, fetch code; Parked, Listing: Park
//	ready         Listing       Park
//	ready         Parked        a call was parked whose worker had hung up before
//	ready         Talking       Hold: the call that waits, else the one that is held; Conference: the latter
//	ready         Conference    Hold, Conference: the conference that is held
//	ready         DialTone      the time of Parked or Listing is over; hook up, Failure by a tone alone
//	ready         Failure       dark orbit key, no such number, nobody dials
//	ready         Quiet         nobody obeys the tone
//	ready         Idle          hook down; hands-free: time
//	ready         Ringing       hook down while a call waits or is held
//	Calling       Talking       answered; Hold: back to the held call
//	Calling       Conference    Hold: back to the held conference
//	Calling       Calling       emergency number
//	Calling       Transferring  after Transfer: Transfer again
//	Calling       Failure       failed: busy or reorder tone
//	Calling       Idle          hook down
//	Calling       Ringing       hook down while a call waits or is held
//	Talking       Parking       Park, orbit key
//	Talking       DialTone      Hold, Transfer; with no held call: Conference
//	Talking       Talking       Hold while another caller waits
//	Talking       Transferring  after Transfer and a second call: Transfer
//	Talking       Conference    with a held call: Conference
//	Talking       Calling       the far end transfers this phone
//	Talking       Parked        a park that was given up was carried out after all
//	Talking       Fetching      hands-free in a page or an intercom call: lit orbit key
//	Talking       Failure       the far end hangs up: busy tone
//	Talking       Idle          a page or an intercom call ends, hands-free
//	Talking       Idle          hook down
//	Talking       Ringing       hook down while a call waits or is held
//	Conference    Talking       one far end hangs up; Conference; Hold while another caller waits
//	Conference    DialTone      Hold
//	Conference    Transferring  Transfer
//	Conference    Idle          hook down
//	Conference    Ringing       hook down while a call waits or is held
//	Parking       Parked        committed
//	Parking       Talking       refused: a tone over the call
//	Parking       Calling       emergency number, if the call was held
//	Parking       Failure       refused, and the call was held: it stays so; the caller hung up
//	Parking       Idle          hook down: the park goes on
//	Parking       Ringing       hook down while a call waits or is held
//	Fetching      Talking       fetched
//	Fetching      Calling       emergency number
//	Fetching      Failure       refused, too late, no answer
//	Fetching      Idle          hook down: the fetch is given up
//	Fetching      Ringing       hook down while a call waits or is held
//	Transferring  Talking       failed: the call is back
//	Transferring  Calling       emergency number
//	Transferring  DialTone      done
//	Transferring  Idle          hook down: the transfer goes on; hands-free: done
//	Transferring  Ringing       the same while a call waits or is held
//	Transferring  Parked        a park that was given up was carried out after all
//
// "ready" stands for DialTone, Dialing, Parked, Listing, Failure and Quiet, which take the same keys and differ in what
// is heard and how long. Tests hold every step to this table; testdata/table.golden has every state with every input.
//
// # What the keys do
//
// Hook up: answers what rings, else takes the held call, else dial tone, also in place of the busy or reorder tone of the
// loudspeaker; words are heard to their end. Hook down: ends the call in the ear; a held
// call rings at once, and again each Reminder; a call being parked goes on to be parked, a fetch is given up, a transfer
// goes on. With the loudspeaker on by the speaker key, the handset can be put back.
//
// Park: the call in the ear goes to the lowest free orbit, or else the held one does. It stays with the worker until
// ParkCommitted, then the orbit is spoken; Park again within Undo takes the call back. Without a call the list of
// parked calls is spoken; Park again fetches the oldest. A refusal sounds over the call (busy: taken; reorder: full).
// If the handset is down when a park is refused, the call rings with the ring of a recall. An orbit that becomes known
// while the worker does something else is whispered over it.
//
// Orbit key: in a call, parks it there. With a held call and a dark key too; after Transfer with any. Else a lit key
// fetches, also during a page or an intercom call that the loudspeaker opened for: that call is held. Such a call leaves no
// busy tone behind either, the loudspeaker closes with it. With the handset down the caller comes to the loudspeaker at once, and moves to the handset when it is
// lifted; a dark key gives an error beep. The key of a recall that rings answers it. Long: pages.
//
// Hold: holds and gives dial tone for a second call; in dial tone it takes the call that waits, else the one held
// longest, so that Hold twice changes between two calls. With a call waiting it holds and answers.
//
// Transfer: holds and gives dial tone. Number, Transfer: blind, before or while the number rings. Number, talk,
// Transfer: attended. Transfer twice takes the call back. The fetch code is refused: who is parked is nobody to transfer to. Hook
// down never joins two callers.
//
// Conference: with one call in the ear and one on hold, the three hear each other. With a call in the ear alone it makes
// room for the second one, as Hold does; in dial tone it takes the held call back. Pressed again it parts the two: the
// one that was on hold is so again. Hold holds both, and Hold takes both back. A far end that hangs up leaves an ordinary
// call with the other. Transfer joins the two and leaves them; hook down ends both calls, since only Transfer joins two
// callers, unless ConferenceJoin says that it does so, too. A conference cannot be parked, held or not: busy tone, nothing changes.
//
// Digits: dial, or in a call go to the far end (DTMF), in a conference to both. While the phone rings or waits for something they are looked at
// for an emergency number only. In a call an emergency number is dialled after Hold.
//
// DND: refuses callers, never recalls; while ringing, it refuses the call that rings. Emergency call: cannot be parked,
// held, transferred or joined in a conference (RFC 6881, disabling of features), nothing rings during it, and it ends only when the handset is put down twice within
// EmergencyHangUp (it goes on hands-free after the first), or by the far end.
//
// # What always holds
//
// After each Step: an answered call is in the ear, on hold, or with music; a held call with the handset down rings or
// has a reminder timer; at most one call is connected, in a conference two, and none while the path is closed; a path is closed only with
// the handset down. An answered call ends by its far end, by the worker's hanging up, by ParkCommitted or by a transfer
// that has succeeded, and by nothing else. The random world of the tests checks each of these after every step.
//
// Standards: RFC 3261 (status codes), RFC 3435 §2.1.5 (dial plan), RFC 3515 and RFC 5589 (transfer), RFC 3960 (early
// media), RFC 7090 (emergency call-back), ITU-T E.180 (meaning of tones).
package phone
