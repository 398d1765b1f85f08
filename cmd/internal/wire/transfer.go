package wire

import (
	"slices"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/parkd"
	"parklamp/parkd/federation"
	"parklamp/sip/call"
)

// followTransfer makes an INVITE that obeys a REFER: RFC 3515 §2.4.3, RFC 3892 §2.2 (Referred-By), RFC 5589 §7 (Replaces
// out of the Refer-To).
func followTransfer(o *call.Invite, t *call.Transfer) {
	o.Replaces = t.Replaces
	o.ReferredBy = "<" + t.ReferredBy.URI + ">"
	if t.ReferredBy.URI == "" {
		o.ReferredBy = "" // the far end did not say who asks
	}
}

// forwards is the Max-Forwards of a call that we make on behalf of another: one less than that one's, so that two B2BUAs
// that send a caller to each other come to an end (RFC 7332 §4).
func forwards(l *leg) gosip.Header {
	left := gosip.MaxForwardsHeader(70)
	if n, err := strconv.Atoi(l.call.Info().Header("Max-Forwards")); err == nil && n > 0 && n <= 70 {
		left = gosip.MaxForwardsHeader(n - 1)
	}
	return &left
}

// report passes a provisional answer on to whoever asked for the transfer that this leg carries out.
func (l *leg) report(code int, reason string) {
	if l.referrer != nil && l.referrer.transfer != nil {
		l.referrer.transfer.Progress(code, reason)
	}
}

// finish reports the outcome of that transfer, once. RFC 3515 §2.4.5: the last NOTIFY has the final status.
func (l *leg) finish(code int, reason string) {
	if l.referrer == nil {
		return
	}
	if t := l.referrer.transfer; t != nil {
		t.Done(code, reason)
		l.referrer.transfer = nil
	}
	l.referrer = nil
}

// hangUpAfterRefusal is how soon after a refused transfer a BYE is the phone's own doing: baresip 1.0 and others hang up
// whatever became of a transfer, before anybody could have decided to drop the caller.
const hangUpAfterRefusal = time.Second

// refusedTransfer is a REFER that came to nothing.
type refusedTransfer struct {
	at    time.Time // zero: there was none
	orbit string    // where the caller was to be parked, "" for any or for a transfer to somebody
}

// keepFromRefusal parks the caller whose phone hung up because its transfer was refused. Where the orbit is taken he is
// queued: that is where people will look for him.
func (p *lot) keepFromRefusal(l *leg) {
	other := l.pair
	if other == nil || l.refused.at.IsZero() || p.now().Sub(l.refused.at) >= hangUpAfterRefusal {
		return
	}
	p.unpair(l)
	other.playMusic(p.moh)
	p.log.Info("a phone hung up on a refused transfer, the caller is parked", "orbit", l.refused.orbit, "call", other.id)
	p.park(other, &request{leg: other, keep: true, gone: true}, l.refused.orbit, l.caller, l.caller.URI)
}

// asserted is a party for P-Asserted-Identity, by which a fetcher or a recalled phone sees the parked caller; without a
// URI nothing is asserted.
func asserted(p parkd.Party) call.Party {
	return call.Party{Name: p.Name, URI: p.URI, Number: p.Number}
}

// fetcherParty is who a leg says it is, as known after its answer.
func fetcherParty(l *leg) parkd.Party { return party(l.call.Info().Remote) }

// markRecall marks an INVITE as the return of a parked call: the caller is shown, the ring is its own.
func markRecall(o *call.Invite, s parkd.SlotState) {
	o.FromName = "Parked " + s.Orbit
	if s.Caller.Name != "" {
		o.FromName += " " + s.Caller.Name
	}
	o.PAssertedIdentity = asserted(s.Caller)
	// RFC 7462 §5: a call that was put on hold rings back. The info parameter is what desk phones match on.
	o.AlertInfo = "<urn:alert:service:recall:hold>;info=parked"
}

// isOurs says whether a URI names this appliance or a peer: then the lot takes it.
func (a *Appliance) isOurs(u gosip.Uri) bool {
	if slices.ContainsFunc(a.cfg.SIP.Listen, func(l string) bool { return strings.Contains(l, ":"+u.Host+":") }) {
		return true
	}
	return slices.ContainsFunc(a.cfg.Federation.Peers, func(p federation.Peer) bool { return p.Address.Addr().String() == strings.Trim(u.Host, "[]") })
}
