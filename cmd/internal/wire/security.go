package wire

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/media"
	"parklamp/media/srtp"
	"parklamp/parkd/federation"
	"parklamp/sip"
	"parklamp/sip/call"
	"parklamp/sip/reg"
	"parklamp/sip/sdp"
)

// errSecurity says that a call has to be encrypted and cannot be.
var errSecurity = errors.New("the media must be encrypted, and keys go by TLS only")

// keyAgain is the pause between two offers of new keys to a far end that did not take the first.
const keyAgain = 5 * time.Second

// wish reads a key of the configuration, which has been validated.
func wish(text string) sdp.Security {
	s, _ := sdp.ParseSecurity(text)
	return s
}

// wishOf is what the configuration wants for calls with a peer, through an account, or with anybody else. What is
// asked of other calls is not asked of a peer: where it has no TLS, every fetch would end. Where peers prove themselves,
// they speak TLS and encrypt unless told otherwise.
func (a *Appliance) wishOf(peer *federation.Peer, account *reg.Account) sdp.Security {
	switch {
	case peer != nil:
		return wish(cmp.Or(peer.SRTP, a.cfg.Federation.SRTP()))
	case account != nil:
		return wish(cmp.Or(account.SRTP, a.cfg.Calls.SRTP))
	}
	return wish(a.cfg.Calls.SRTP)
}

// secure notes how a leg's media is to travel, by what is wanted and the way of its signalling. RFC 4568 §8.1: keys need
// a signalling that nobody else can read. Who may not go without encryption is errSecurity then; an emergency call may.
func (l *leg) secure(wanted sdp.Security, byTLS, emergency bool) error {
	if emergency && wanted == sdp.Required {
		wanted = sdp.Preferred
	}
	if !byTLS && wanted == sdp.Required {
		return errSecurity
	}
	if !byTLS {
		wanted = sdp.Clear
	}
	l.security = wanted
	if wanted != sdp.Clear && l.keys == nil {
		l.keys = sdp.NewKeys()
	}
	return nil
}

// secureCall does so for a call that is to be made, which wants that much at least.
func (a *Appliance) secureCall(l *leg, o call.Invite, account *reg.Account, wanted sdp.Security) error {
	peer := a.cfg.Federation.Peer(netip.AddrPortFrom(addrOf(o.To), uint16(o.To.Port)))
	hop := o.To
	if len(o.Route) > 0 {
		hop = o.Route[0]
	}
	byTLS := a.endpoint.TLSOnly(hop, sip.Send{Transport: o.Transport, Local: o.Local})
	if err := l.secure(max(wanted, a.wishOf(peer, account)), byTLS, o.Emergency); err != nil {
		return fmt.Errorf("call %s: %w", o.To.User, err)
	}
	return nil
}

// admit decides how the media of an incoming call is to travel, and refuses it before anybody is rung for it if that
// cannot be had.
func (a *Appliance) admit(l *leg) bool {
	info := l.call.Info()
	var peer *federation.Peer
	if from := a.cfg.Federation.From(info.Source.Addr(), info.Proved); len(from) > 0 {
		peer = &from[0]
	}
	err := l.secure(a.wishOf(peer, a.accountOf(info.RequestUser)), info.TLS, a.callsBack(info))
	if err == nil {
		if err = l.call.Acceptable(sdp.Local{Codecs: l.codecs, Security: l.security, Keys: l.keys}); !errors.Is(err, sdp.ErrSecurity) {
			return true // whatever else is wrong with the offer shows when it is answered
		}
	}
	a.log.Info("a call is refused for its media's encryption", "call", l.id, "peer", info.Source.String(), "err", err)
	l.call.Reject(488, "", gosip.NewHeader("Warning", `302 parklamp "no common media encryption"`)) // RFC 3261 §20.43
	return false
}

// keyed puts the keys of what was agreed into the form of the media engine.
func keyed(m sdp.Media) (send, receive srtp.Key, err error) {
	if !m.Secure() {
		return srtp.Key{}, srtp.Key{}, nil
	}
	suite := srtp.SuiteByName(m.Suite)
	send, err = srtp.NewKey(suite, m.Ours.Key(), m.Ours.MKI)
	if err == nil {
		receive, err = srtp.NewKey(suite, m.Theirs.Key(), m.Theirs.MKI)
	}
	return send, receive, err
}

// expectKey makes a session ready for the key that the far end has offered, from the call's goroutine. What cannot be used
// shows when the loop agrees to it.
func (a *Appliance) expectKey(s *media.Session, m sdp.Media) {
	if s == nil {
		return
	}
	_, theirs, err := keyed(m)
	if err == nil {
		err = s.ExpectKey(theirs)
	}
	if err != nil {
		a.log.Debug("a key of the far end's", "peer", m.Remote.String(), "err", err)
	}
}

// keyless says whether a leg is encrypted and has lost its keys with an earlier life of this process. It is silent until
// a re-INVITE brings new ones.
func (l *leg) keyless() bool { return l.agreed.Secure() && len(l.agreed.Ours.Key()) == 0 }

// offerKeys asks again for new keys, while there are none.
func (a *Appliance) offerKeys(l *leg) {
	if !l.keyless() {
		return
	}
	a.loop.after("keys "+string(l.id), keyAgain, func() {
		if l.keyless() && !l.ended {
			l.call.Update(l.local())
		}
	})
}
