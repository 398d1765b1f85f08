package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/moh"
	"parklamp/media/wav"
	"parklamp/parkd/panel"
	"parklamp/sip/siptest"
)

// securePlace is a site whose appliances speak TLS on port 5061, with a softphone that does too and encrypts media in
// the given way of baresip's; its number is 301.
func securePlace(t *testing.T, encryption, extra string) (*place, *softphone) {
	t.Helper()
	p := &place{T: t, network: newNetwork(), dir: t.TempDir(), tls: t.TempDir()}
	_, _, cert, key := siptest.Certificate(t, netip.MustParseAddr("127.0.0.1"), p.addr(1), p.addr(2), p.addr(3), p.addr(4))
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": key, "both.pem": slices.Concat(cert, key)} {
		if err := os.WriteFile(filepath.Join(p.tls, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := p.registeredSoftphone("outside", speech.Caller(), peer.BaresipOptions{Certificate: filepath.Join(p.tls, "both.pem"), Encryption: encryption})
	p.desk301 = fmt.Sprintf("sip:outside@127.0.0.1:%d;transport=tls", s.Addr().Port()+1)
	p.populate(extra)
	p.Cleanup(func() { p.keepsSecrets() })
	return p, s
}

// byTLS names a user at an appliance, to be reached by TLS.
func byTLS(user string, a *site.Appliance) string {
	return fmt.Sprintf("sip:%s@%s:5061;transport=tls", user, a.Addr)
}

// encrypted waits until the only call of an appliance says how its media travels: with this suite, or "" for none.
func (p *place) encrypted(a *site.Appliance, state, suite string) {
	p.Helper()
	p.await(a, state+" with "+suite, func(st panel.Status) bool {
		return slices.ContainsFunc(st.Calls, func(c panel.Call) bool { return c.State == state && c.Media.Encryption == suite })
	})
}

// keepsSecrets fails if a log or a journal of the site holds a key of media.
func (p *place) keepsSecrets() {
	for _, a := range p.Appliances {
		for _, path := range []string{a.Log, journalOf(a)} {
			text, err := os.ReadFile(path)
			if err != nil {
				p.Error(err)
			}
			if i := bytes.Index(text, []byte("inline:")); i >= 0 && !bytes.HasPrefix(text[i:], []byte("inline:*")) {
				p.Errorf("%s holds a key", filepath.Base(path))
			}
		}
	}
}

// What is agreed with baresip 1.0: its first where it calls, our first where we do.
const (
	theirFirst = "AES_CM_128_HMAC_SHA1_80"
	ourFirst   = "AEAD_AES_256_GCM"
)

// A caller whose phone demands encryption calls, is parked, and is fetched by another appliance.
func TestEncryptedCallerIsParkedAndFetched(t *testing.T) {
	t.Parallel()
	p, s := securePlace(t, "srtp-mand", "")
	s.do("dial", fmt.Sprintf("sip:201@%s:5061", p.dock1().Addr)) // it adds its transport
	p.answer(p.dock1())
	s.sees("CALL_ESTABLISHED")
	s.talksWith(p.dock1())
	p.encrypted(p.dock1(), "talking", theirFirst)
	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.encrypted(p.dock1(), "parked", theirFirst)
	s.hears(moh.BuiltIn().Samples())
	p.fetch(p.dock2(), "701")
	s.talksWith(p.dock2())
	p.encrypted(p.dock1(), "talking", theirFirst) // its leg to the caller
	p.encrypted(p.dock2(), "talking", "")         // appliances speak TCP to each other
	p.hook(p.dock2(), false)
	s.sees("CALL_CLOSED")
	p.idle(p.Appliances...)
}

// The worker calls a phone that demands encryption, one that takes it, and one that has none.
func TestEncryptionOfOutgoingCalls(t *testing.T) {
	for _, tc := range []struct{ phone, policy, suite string }{
		{"srtp-mand", "preferred", ourFirst},
		{"srtp", "preferred", ourFirst},
		{"", "preferred", ""},
		{"srtp-mand", "required", ourFirst},
		{"", "required", "refused"},
		{"srtp", "off", ""},
	} {
		t.Run(tc.policy+" to "+strings.TrimPrefix(tc.phone+" phone", " "), func(t *testing.T) {
			t.Parallel()
			p, s := securePlace(t, tc.phone, fmt.Sprintf("[calls]\nsrtp = %q\n", tc.policy))
			p.hook(p.dock1(), true)
			if err := p.dock1().Dial(p.Context(), "301"); err != nil {
				t.Fatal(err)
			}
			if tc.suite == "refused" {
				p.phone(p.dock1(), "failure")
				return
			}
			s.sees("CALL_INCOMING")
			s.do("accept", "")
			p.talking(p.dock1())
			s.talksWith(p.dock1())
			p.encrypted(p.dock1(), "talking", tc.suite)
			p.hook(p.dock1(), false)
			s.sees("CALL_CLOSED")
			p.idle(p.Appliances...)
		})
	}
}

// Without TLS no key is offered or taken: who demands encryption is refused, and who prefers it has a plain call.
func TestNoEncryptionWithoutTLS(t *testing.T) {
	t.Parallel()
	p, _ := securePlace(t, "", "")
	for _, tc := range []struct{ encryption, event string }{{"srtp-mand", "CALL_CLOSED"}, {"srtp", "CALL_ESTABLISHED"}} {
		s := p.registeredSoftphone("plain", speech.Caller(), peer.BaresipOptions{Certificate: filepath.Join(p.tls, "both.pem"), Encryption: tc.encryption, UDP: true})
		s.do("dial", uri("201", p.dock1()))
		if tc.event == "CALL_CLOSED" {
			if e := s.sees("CALL_CLOSED"); !strings.Contains(e.Param, "488") {
				t.Errorf("closed with %q, want 488", e.Param)
			}
			continue
		}
		p.answer(p.dock1())
		s.sees("CALL_ESTABLISHED")
		p.encrypted(p.dock1(), "talking", "")
		s.talksWith(p.dock1())
		p.hook(p.dock1(), false)
		s.sees("CALL_CLOSED")
	}
	p.idle(p.Appliances...)
}

// linphone, whose SRTP is libsrtp's, is parked, holds and resumes while it waits, and is fetched.
func TestEncryptedCallerHoldsAndResumes(t *testing.T) {
	t.Parallel()
	p, _ := securePlace(t, "", "[calls]\nsrtp = \"required\"\n")
	l := p.linphoneWith("caller", peer.LinphoneOptions{SRTP: true})
	l.calls(byTLS("*68701", p.dock1()))
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.encrypted(p.dock1(), "parked", theirFirst)
	music := moh.BuiltIn().Samples()
	p.listen(growingOf("linphone", l.Heard, music))
	for range 2 {
		l.do("pause", "paused")
		l.do("resume", established)
		p.listen(growingOf("linphone", l.Heard, music))
	}
	p.fetch(p.dock2(), "701")
	p.listen(handsetOf(p.dock2(), clerk()), growingOf("linphone", l.Heard, speech.Worker()))
	p.hook(p.dock2(), false)
	p.idle(p.Appliances...)
}

// The appliance dies, and the keys with it: the parked caller gets new ones, nothing in the clear, and can be fetched.
// The caller is an appliance of another site: baresip 1.0 answers a re-INVITE with a new key and goes on with the old
// one, and linphone cannot be called back when its connection is gone.
func TestEncryptedCallerOutlivesKill(t *testing.T) {
	t.Parallel()
	p, _ := securePlace(t, "", "")
	says := filepath.Join(p.dir, "caller.wav")
	if err := wav.WriteFile(says, speech.Caller(), 8000); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := site.Start(t.Context(), site.Options{Bin: bin, Dir: p.dir, Members: []site.Member{{Name: "caller", Number: "900", Addr: p.addr(4),
		TLSCert: filepath.Join(p.tls, "cert.pem"), TLSKey: filepath.Join(p.tls, "key.pem"), TLSCA: filepath.Join(p.tls, "cert.pem"),
		Directory: map[string]string{"201": byTLS("201", p.dock1())}, Extra: fmt.Sprintf("[audio]\nspeech = %q\n\n[calls]\nsrtp = \"required\"\n", says)}}})
	if err != nil {
		t.Fatal(err)
	}
	caller := elsewhere.Appliances[0]
	t.Cleanup(func() {
		elsewhere.Stop()
		p.inspect(caller)
	})
	p.hook(caller, true)
	if err := caller.Dial(t.Context(), "201"); err != nil {
		t.Fatal(err)
	}
	p.answer(p.dock1())
	p.listen(handsetOf(caller, speech.Worker()), handsetOf(p.dock1(), speech.Caller()))
	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.encrypted(p.dock1(), "parked", ourFirst)
	music := moh.BuiltIn().Samples()
	p.handset(caller, music)
	for range 2 {
		p.kill(p.dock1(), nil)
		p.await(p.dock1(), "the call again", func(st panel.Status) bool { return len(st.Calls) == 1 && st.Calls[0].State == "parked" })
		p.handset(caller, music)
		p.encrypted(p.dock1(), "parked", ourFirst)
	}
	p.fetch(p.dock2(), "701")
	p.listen(handsetOf(p.dock2(), speech.Caller()), handsetOf(caller, speech.Worker()))
	if st := p.status(caller); len(st.Calls) != 1 || st.Calls[0].Media.Encryption != ourFirst || st.Counters["media.unauthentic"] > 0 {
		t.Errorf("calls %+v, unauthentic %d", st.Calls, st.Counters["media.unauthentic"])
	}
	p.hook(p.dock2(), false)
	p.await(caller, "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 })
	p.idle(p.Appliances...)
	if text, err := os.ReadFile(journalOf(caller)); err != nil || bytes.Contains(text, []byte("inline:")) && !bytes.Contains(text, []byte("inline:*")) {
		t.Errorf("the caller's journal holds a key, %v", err)
	}
}
