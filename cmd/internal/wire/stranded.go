package wire

import (
	"strings"
	"time"

	"parklamp/parkd"
)

// shelterAgain is the pause between two tries to park a caller whom nobody else has.
const shelterAgain = time.Second

// crossing is how soon after the fetch was confirmed a BYE of the fetcher counts as a CANCEL that came too late: nobody
// has said a word by then. A fetcher that has sent no RTP is given longer.
const (
	crossing       = 300 * time.Millisecond
	silentCrossing = time.Second
)

// hangUpAfterRefusal is how soon after a refused transfer a BYE is the phone's own doing: baresip 1.0 and others hang up
// whatever became of a transfer, before anybody could have decided to drop the caller.
const hangUpAfterRefusal = time.Second

// givenBack and the orbit that he waits in are the Reason (RFC 3326) of the BYE by which an appliance that goes leaves a caller to
// the peer that it fetched him from. A peer that does not know it ends his call, as it would without.
const givenBack = "the caller is given back to "

// refusedTransfer is a REFER that came to nothing.
type refusedTransfer struct {
	at    time.Time // zero: there was none
	orbit string    // where the caller was to be parked, or was fetched from if he was to be transferred; "" for any
}

// shelter parks a caller who was fetched for somebody that is gone: in the orbit that he came from, where he is queued if it is
// taken meanwhile, and never refused for want of one: the end of the fetcher's leg would end his.
func (p *lot) shelter(l *leg) { p.shelterFor(l, parkd.Party{}) }

// shelterFor does so and has somebody recalled for him, if that is not nobody.
func (p *lot) shelterFor(l *leg, parker parkd.Party) {
	if l.ended || l.parking != "" { // a park of whoever is gone is under way: the machine knows that he is
		return
	}
	p.a.unpair(l)
	l.playMusic(p.a.moh)
	p.a.log.Info("the fetcher is gone, the caller is parked again", "orbit", l.stranded, "call", l.id)
	p.park(l, &request{leg: l, shelter: true, gone: true}, l.stranded, parker, parker.URI)
}

// shelterFromCrossing parks the caller again whose fetcher ended the call as it was answered: his CANCEL crossed our 200, and
// his phone ended with BYE what it had never wanted (RFC 3261 §15, §9.1).
func (p *lot) shelterFromCrossing(fetcher *leg) {
	other := fetcher.pair
	if other == nil || fetcher.joined.IsZero() {
		return
	}
	since := p.a.now().Sub(fetcher.joined)
	if since < crossing || since < silentCrossing && fetcher.media.Stats().Received == 0 {
		other.stranded = fetcher.fetched
		p.shelter(other)
	}
}

// shelterElsewhere goes on when that orbit is taken, or all are: nobody else has this caller.
func (p *lot) shelterElsewhere(l *leg) {
	l.stranded = ""
	p.a.loop.after("shelter "+string(l.id), shelterAgain, func() {
		if !l.parked && l.pair == nil && l.desk == "" { // somebody has him meanwhile
			p.shelter(l)
		}
	})
}

// shelterFromRefusal parks the caller whose phone hung up because its transfer was refused. Where the orbit is taken he is
// queued: that is where people will look for him.
func (p *lot) shelterFromRefusal(l *leg) {
	other := l.pair
	if other == nil || l.refused.at.IsZero() || p.a.now().Sub(l.refused.at) >= hangUpAfterRefusal {
		return
	}
	p.a.unpair(l)
	other.playMusic(p.a.moh)
	p.a.log.Info("a phone hung up on a refused transfer, the caller is parked", "orbit", l.refused.orbit, "call", other.id)
	p.park(other, &request{leg: other, shelter: true, gone: true}, l.refused.orbit, l.caller, l.caller.URI)
}

// takeBack parks the caller again whom a peer that goes gives back, and reports whether it does.
func (p *lot) takeBack(fetcher *leg, reason string) bool {
	orbit, back := strings.CutPrefix(reason, givenBack)
	if back && fetcher.pair != nil {
		fetcher.pair.stranded = orbit
		p.shelter(fetcher.pair)
	}
	return back
}

// shelterFromVanished parks the caller again whose fetcher is not there any more.
func (p *lot) shelterFromVanished(fetcher *leg) {
	if other := fetcher.pair; other != nil && !fetcher.joined.IsZero() {
		other.stranded = fetcher.fetched
		p.shelter(other)
	}
}
