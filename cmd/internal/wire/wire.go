// Package wire joins the parts of an appliance: it owns the legs, steps the desk phone and the orbit machine, and
// carries out their effects on SIP, media, lamps and sounds. What becomes of a parked call and what a key does is decided
// in parkd and sip/phone; here are the rules that need legs or hands: who is parked again because messages crossed, a fetcher
// vanished or an orbit is free in a moment (stranded.go, vanish.go, lot.go), short and long presses, the headset's key and Park
// held at power-on (desk.go, headset.go, poweron.go), and when a self test has to wait (selftest.go).
//
// One goroutine, the loop, owns every leg and both machines. Keypad, calls, federation and panel post to it, so that
// every event is taken whole before the next. Appliance.Run (run.go) starts a goroutine for each part: endpoint, calls, events,
// registrations, federation, panel, media engine, the loop, the journal and self tests, with a phone its lamps, keypad and sound
// card, and one each that watches the network's links, the first process of an image or else disk and clock, and sends reports
// of calls, if they are collected. It returns when all have ended.
package wire

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/board"
	"parklamp/cmd/internal/access"
	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/exam"
	"parklamp/cmd/internal/health"
	"parklamp/keypad"
	"parklamp/leds"
	"parklamp/media"
	"parklamp/media/moh"
	"parklamp/parkd"
	"parklamp/parkd/federation"
	"parklamp/parkd/panel"
	"parklamp/sip"
	"parklamp/sip/call"
	"parklamp/sip/event"
	"parklamp/sip/reg"
	"parklamp/sip/sdp"
)

// stopGrace is how long the calls have to say good-bye when the appliance stops.
const stopGrace = 3 * time.Second

// silenceLimit is how long a far end may send no RTP before it is asked whether it is there. Phones that suppress silence
// send comfort noise or keep-alives more often.
const silenceLimit = time.Minute

// Appliance is one desk phone or gateway.
type Appliance struct {
	// immutable
	cfg     config.Config
	version string
	log     *slog.Logger
	now     func() time.Time
	health  *health.Set
	started time.Time

	endpoint   *sip.Endpoint
	ua         *call.UA
	agent      *event.Agent
	registrar  *reg.Registrar
	engine     *media.Engine
	moh        *moh.Music
	federation *federation.Federation
	flood      *access.Flood
	keeper     *keeper
	panel      *panel.Server
	lamps      *leds.Driver    // nil in a gateway
	scanner    *keypad.Scanner // nil in a gateway
	board      board.Board     // nil in a gateway
	may        int             // sound cards that the phone may have; 0 in a gateway
	loop       *loop
	news       *news // who watches the status
	documents  *documents
	examiner   *exam.Examiner

	codecs []sdp.Codec // of the configuration

	// owned by the loop
	legs    map[parkd.LegID]*leg
	lot     *lot
	desk    *desk // nil in a gateway
	turns   []func()
	inTurns bool
	frozen  bool // see freeze
	sounds  *sounds
	ignored uint64      // inputs that had no meaning
	ended   mediaTotals // of the sessions that are closed
	peers   map[string]panel.Peer

	emergencyAt time.Time // when the last emergency call was dialled here

	restored restored // made before the loop runs, then the loop's
}

// inTurn runs f after everything that is being carried out now, so that no machine is stepped in the middle of its own
// effects.
func (a *Appliance) inTurn(f func()) {
	a.turns = append(a.turns, f)
	if a.inTurns {
		return
	}
	a.inTurns = true
	for len(a.turns) > 0 {
		next := a.turns[0]
		a.turns = a.turns[1:]
		next()
	}
	a.inTurns = false
}

// addLeg makes a leg of a call.
func (a *Appliance) addLeg(c *call.Call) *leg {
	l := &leg{id: legName(c), call: c, codecs: a.codecs}
	a.legs[l.id] = l
	return l
}

// removeLeg forgets a leg that has ended, and tells parkd if it was there.
func (a *Appliance) removeLeg(l *leg, ev call.Ended) {
	a.unpair(l)
	if l.transfer != nil { // asked for a transfer and hung up: its outcome has nobody to hear it
		l.transfer = nil
	}
	l.finish(max(ev.Code, 487), ev.Reason)
	if l.media != nil {
		a.ended.add(l.media.Stats())
		if err := l.media.Close(); err != nil {
			a.log.Warn("a media session does not close", "call", l.id, "err", err)
		}
	}
	delete(a.legs, l.id)
	a.lot.step(parkd.LegEnded{Leg: l.id, Lost: vanished(ev.Cause), Ours: ev.Cause == call.Local, Doubt: l.parked && a.federation.Quiet()})
}

// openMedia gives a leg its media session on the address that its SIP uses.
func (a *Appliance) openMedia(l *leg, at netip.Addr) error {
	if l.media != nil {
		return nil
	}
	s, err := a.engine.Open(at)
	if err != nil {
		return fmt.Errorf("media of call %s: %w", l.id, err)
	}
	l.media = s
	l.call.SetOwner(a.handler(s))
	a.watchSilence(l)
	a.hearDigits(l)
	a.noteSource(l)
	return nil
}

// watchSilence asks a far end that sends no RTP whether it is still there: the re-INVITE ends a call whose far end is gone
// (RFC 3261 §12.2.1.2: 481 and 408). A parked caller whose network died must not hold an orbit until the session timer.
func (a *Appliance) watchSilence(l *leg) {
	l.media.OnTimeout(silenceLimit, func() {
		a.loop.post(func() {
			if !l.ended && l.answered {
				l.call.Update(l.local())
			}
		})
	})
}

// answer accepts an incoming call with our media.
func (a *Appliance) answer(l *leg) error {
	if err := a.openMedia(l, a.localAddr(l.call.Info().Source)); err != nil {
		return err
	}
	a.move(l) // its address may have gone while it rang
	l.answered = true
	l.call.Answer(l.local())
	return nil
}

// agree puts a negotiated session into the leg's media.
func (a *Appliance) agree(l *leg, m sdp.Media) {
	if err := l.agree(m, l.source()); err != nil {
		a.log.Warn("the agreed media cannot be used", "call", l.id, "err", err)
	}
}

// confirm notes that the far end of a leg has our answer: now it is sent what it is to hear.
func (a *Appliance) confirm(l *leg) {
	if !l.confirmed {
		l.confirmed = true
		if l.agreed.Remote.IsValid() { // else the answer is to come, in the ACK
			a.agree(l, l.agreed)
		}
	}
}

// invite calls somebody, in the codec of other if it is going to be joined with that leg. with may change the INVITE before
// it goes.
func (a *Appliance) invite(to gosip.Uri, other *leg, with func(*call.Invite)) (*leg, error) {
	return a.inviteAs(a.identity(to), to, speaking(a.codecs, other), sdp.Clear, with)
}

// inviteAs does so under a name of ours, with codecs in that order, and with encryption that is wanted at least.
func (a *Appliance) inviteAs(from from, to gosip.Uri, codecs []sdp.Codec, wanted sdp.Security, with func(*call.Invite)) (*leg, error) {
	s, err := a.engine.Open(from.addr)
	if err != nil {
		return nil, fmt.Errorf("media of a call to %s: %w", to.User, err)
	}
	l := &leg{media: s, codecs: codecs}
	o := call.Invite{To: to, From: from.uri, FromName: a.cfg.Appliance.Name, Auth: from.send.Auth, Route: from.send.Route,
		Transport: from.send.Transport}
	if with != nil {
		with(&o)
	}
	if err := a.secureCall(l, o, from.account, wanted); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	o.Media = l.local()
	c, err := a.ua.Invite(o, a.handler(s))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("call %s: %w", to.User, err), s.Close())
	}
	l.id, l.call = legName(c), c
	a.watchSilence(l)
	a.hearDigits(l)
	a.noteSource(l)
	l.caller = parkd.Party{URI: "sip:" + to.User + "@" + to.Host, Number: to.User}
	a.legs[l.id] = l
	return l, nil
}

// hold tells the far end of a leg that it is on hold, or not any more.
func (a *Appliance) hold(l *leg, on bool) {
	if l.onHold == on || !l.answered || l.ended {
		return
	}
	l.onHold = on
	l.call.Update(l.local())
}

// relay makes a pair of two legs and lets them hear each other.
func (a *Appliance) relay(x, y *leg) error {
	a.unpair(x)
	a.unpair(y)
	x.pair, y.pair = y, x
	if err := a.connect(x); err != nil {
		x.pair, y.pair = nil, nil
		return err
	}
	return nil
}

// connect relays the media of a pair.
func (a *Appliance) connect(l *leg) error {
	b, err := media.Join(l.media, l.pair.media)
	if err != nil {
		return fmt.Errorf("relay %s and %s: %w", l.id, l.pair.id, err)
	}
	l.relay, l.pair.relay = b, b
	return nil
}

// pause ends the relay of a pair; both legs go on with what they played before.
func (a *Appliance) pause(l *leg) {
	if l.relay != nil {
		l.relay.Close()
		l.relay, l.pair.relay = nil, nil
	}
}

// unpair parts the two legs of a pair.
func (a *Appliance) unpair(l *leg) {
	if l.pair == nil {
		return
	}
	a.pause(l)
	l.pair.pair, l.pair = nil, nil
}
