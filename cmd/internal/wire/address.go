package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/parkd"
	"parklamp/parkd/federation"
	"parklamp/sip"
	"parklamp/sip/call"
	"parklamp/sip/reg"
)

// from is what we call ourselves towards somebody, and the way there.
type from struct {
	addr netip.Addr // of ours
	uri  gosip.Uri
	send sip.Send // of the account; zero without one

	account *reg.Account // nil without one
}

// identity picks the account for a call, or our own address where there is none.
func (a *Appliance) identity(to gosip.Uri) from {
	transport, _ := to.UriParams.Get("transport")
	for i, account := range a.cfg.Registration.Accounts {
		var aor gosip.Uri
		if gosip.ParseUri(account.AOR, &aor) != nil || !strings.EqualFold(aor.Host, to.Host) {
			continue
		}
		if send, ok := a.registrar.Send(account.AOR); ok {
			return from{addr: a.addrTowards(to, transport), uri: aor, send: send, account: &a.cfg.Registration.Accounts[i]}
		}
	}
	addr := a.addrTowards(to, transport)
	return from{addr: addr, uri: gosip.Uri{Scheme: "sip", User: a.cfg.Appliance.Number, Host: sip.Host(addr)}}
}

// addrTowards is the address of ours from which a URI is reached.
func (a *Appliance) addrTowards(to gosip.Uri, transport string) netip.Addr {
	addr, _ := netip.ParseAddr(strings.Trim(a.endpoint.ContactFor(to.Host, transport).Host, "[]"))
	return addr
}

func hostPort(u gosip.Uri) string {
	if u.Port == 0 {
		return u.Host
	}
	return u.Host + ":" + strconv.Itoa(u.Port)
}

// localAddr is the listener's address towards a far end.
func (a *Appliance) localAddr(far netip.AddrPort) netip.Addr {
	return a.addrTowards(gosip.Uri{Host: sip.Host(far.Addr()), Port: int(far.Port())}, "")
}

// self is this phone as the parker, by the same URI for everybody.
func (a *Appliance) self() parkd.Party {
	p := parkd.Party{Name: a.cfg.Appliance.Name, Number: a.cfg.Appliance.Number}
	if listening := a.endpoint.Listening(); len(listening) > 0 {
		p.URI = "sip:" + p.Number + "@" + listening[0].At.String()
	}
	return p
}

// resolve turns what was dialled into a URI: a SIP URI as it is, a number of the directory, or a number at the first
// account's registrar.
func (a *Appliance) resolve(number string) (gosip.Uri, error) {
	text := number
	if !strings.Contains(number, ":") {
		entry, ok := a.cfg.Dial.Directory[number]
		switch {
		case ok:
			text = entry
		case len(a.cfg.Registration.Accounts) > 0:
			_, domain, _ := strings.Cut(a.cfg.Registration.Accounts[0].AOR, "@")
			text = "sip:" + number + "@" + domain
		default:
			return gosip.Uri{}, fmt.Errorf("%s is neither in the directory nor is there an account to call it through", number)
		}
	}
	var u gosip.Uri
	if err := gosip.ParseUri(text, &u); err != nil {
		return gosip.Uri{}, fmt.Errorf("%q: %w", text, err)
	}
	return u, nil
}

// isOurs says whether a URI names this appliance or a peer: then the lot takes it.
func (a *Appliance) isOurs(u gosip.Uri) bool {
	at := addrOf(u)
	return a.listens(at) || slices.ContainsFunc(a.cfg.Federation.Peers, func(p federation.Peer) bool { return p.Address.Addr().Unmap() == at.Unmap() })
}

// fromPeer says whether a call comes from an appliance of the site. Only these may page: who opens a microphone
// must be somebody who may (RFC 5373, security considerations).
func (a *Appliance) fromPeer(info call.Info) bool {
	return a.isPeer(info.Source.Addr(), info.Proved)
}

// isPeer says whether an appliance of the site is at an address, or among the names that a far end has proved.
func (a *Appliance) isPeer(at netip.Addr, proved []string) bool {
	return len(a.cfg.Federation.From(at, proved)) > 0
}

// applianceAt is the name of the peer that is reached at an address, "" for none.
func (a *Appliance) applianceAt(at netip.AddrPort) string {
	if p := a.cfg.Federation.Peer(at); p != nil {
		return p.Name
	}
	return ""
}

// isMine says whether a number is the desk phone's: its extension, its name, the user of an account, or none at all.
func (a *Appliance) isMine(user string) bool {
	return user == "" || user == a.cfg.Appliance.Number || user == a.cfg.Appliance.Name ||
		a.accountOf(user) != nil
}

// accountOf is the account with a user, nil if there is none.
func (a *Appliance) accountOf(user string) *reg.Account {
	if i := slices.IndexFunc(a.cfg.Registration.Accounts, func(r reg.Account) bool { return strings.Contains(r.AOR, ":"+user+"@") }); i >= 0 {
		return &a.cfg.Registration.Accounts[i]
	}
	return nil
}

// callBackFor is how long after an emergency call its service may call back: dispatchers do so within minutes.
const callBackFor = 30 * time.Minute

// callsBack says whether an emergency service calls back, which rings through everything and may do without encryption.
// RFC 7090 §4. Anybody can write the mark, so that it counts only for callBackFor after an emergency call of our own.
func (a *Appliance) callsBack(info call.Info) bool {
	return strings.EqualFold(info.Header("Priority"), "psap-callback") && !a.emergencyAt.IsZero() && a.now().Sub(a.emergencyAt) < callBackFor
}
