package wire

import (
	"errors"
	"net/netip"
	"testing"

	"parklamp/cmd/internal/config"
	"parklamp/media/srtp"
	"parklamp/parkd/federation"
	"parklamp/sip/reg"
	"parklamp/sip/sdp"
)

// RFC 4568 §8.1: keys go by TLS only. An emergency call goes whatever is asked for.
func TestSecurityOfALeg(t *testing.T) {
	for _, tc := range []struct {
		wanted           sdp.Security
		byTLS, emergency bool
		want             sdp.Security
		err              error
	}{
		{sdp.Clear, true, false, sdp.Clear, nil},
		{sdp.Preferred, true, false, sdp.Preferred, nil},
		{sdp.Required, true, false, sdp.Required, nil},
		{sdp.Clear, false, false, sdp.Clear, nil},
		{sdp.Preferred, false, false, sdp.Clear, nil},
		{sdp.Required, false, false, sdp.Clear, errSecurity},
		{sdp.Required, true, true, sdp.Preferred, nil},
		{sdp.Required, false, true, sdp.Clear, nil},
	} {
		l := &leg{}
		err := l.secure(tc.wanted, tc.byTLS, tc.emergency)
		if !errors.Is(err, tc.err) || l.security != tc.want || (l.keys != nil) != (tc.want != sdp.Clear) {
			t.Errorf("%+v: %v, keys %v, %v", tc, l.security, l.keys != nil, err)
		}
		keys := l.keys
		if l.secure(tc.wanted, tc.byTLS, tc.emergency); l.keys != keys {
			t.Errorf("%+v: the keys of a call have changed", tc)
		}
	}
}

// The nearest key of the configuration counts; a peer is never asked for what TCP cannot carry.
func TestWhoseWishCounts(t *testing.T) {
	a := &Appliance{cfg: config.Default()}
	a.cfg.Calls.SRTP = "required"
	for _, tc := range []struct {
		name    string
		peer    *federation.Peer
		account *reg.Account
		want    sdp.Security
	}{
		{"anybody", nil, nil, sdp.Required},
		{"account", nil, &reg.Account{SRTP: "preferred"}, sdp.Preferred},
		{"account that says nothing", nil, &reg.Account{}, sdp.Required},
		{"peer", &federation.Peer{}, nil, sdp.Clear},
		{"peer with TLS one day", &federation.Peer{SRTP: "preferred"}, &reg.Account{SRTP: "required"}, sdp.Preferred},
	} {
		if got := a.wishOf(tc.peer, tc.account); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// Every suite of an offer is one that the media engine has.
func TestSuitesOfBothSides(t *testing.T) {
	ours := sdp.Local{Addr: netip.MustParseAddr("127.0.0.1"), Port: 4000, Codecs: []sdp.Codec{sdp.PCMU}, Security: sdp.Required, Keys: sdp.NewKeys()}
	theirs := ours
	theirs.Keys, theirs.Port = sdp.NewKeys(), 5000
	_, m, err := sdp.Answer(theirs, sdp.Offer(ours))
	if err != nil {
		t.Fatal(err)
	}
	send, receive, err := keyed(m)
	if err != nil || send.Suite() == srtp.None || send.Suite() != receive.Suite() || send.Suite().String() != m.Suite || send.Equal(receive) {
		t.Errorf("%s: %v, %v, %v", m.Suite, send, receive, err)
	}
	if send, receive, err := keyed(sdp.Media{}); err != nil || send.Suite() != srtp.None || receive.Suite() != srtp.None {
		t.Error("keys in a plain call")
	}
	for _, name := range sdp.Suites() {
		if srtp.SuiteByName(name) == srtp.None {
			t.Errorf("%s is offered or taken, and cannot be had", name)
		}
	}
}
