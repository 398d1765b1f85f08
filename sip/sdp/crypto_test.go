package sdp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// key is a master key of n bytes in base64.
func key(n int, fill byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, n))
}

// rfcKey is the key of the examples of RFC 4568.
const rfcKey = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"

func TestParseCrypto(t *testing.T) {
	for _, c := range []struct {
		value string
		tag   uint32
		suite string
		mki   []byte
	}{
		// RFC 4568 §1 and §6.1.
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey + "|2^20|1:32", 1, "AES_CM_128_HMAC_SHA1_80", append(make([]byte, 31), 1)},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey + "|2^20|1:4", 1, "AES_CM_128_HMAC_SHA1_80", []byte{0, 0, 0, 1}},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey + "|1066:4", 1, "AES_CM_128_HMAC_SHA1_80", []byte{0, 0, 4, 42}},
		{"2 AES_CM_128_HMAC_SHA1_32 inline:" + rfcKey + "|2^48", 2, "AES_CM_128_HMAC_SHA1_32", nil},
		{"999999999 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey + "|1048576 WSH=128 -later=7", 999999999, "AES_CM_128_HMAC_SHA1_80", nil},
		{"3 AES_256_CM_HMAC_SHA1_80 inline:" + key(46, 5), 3, "AES_256_CM_HMAC_SHA1_80", nil},
		{"4 AEAD_AES_128_GCM inline:" + key(28, 5), 4, "AEAD_AES_128_GCM", nil},
		{"5 AEAD_AES_256_GCM inline:" + strings.TrimRight(key(44, 5), "="), 5, "AEAD_AES_256_GCM", nil},
	} {
		got, err := parseCrypto(c.value)
		if err != nil || got.Tag != c.tag || got.Suite != c.suite || !bytes.Equal(got.MKI, c.mki) || len(got.Key()) == 0 {
			t.Errorf("%s: %v %x, %v", c.value, got, got.MKI, err)
		}
	}
	with := "1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey
	for _, bad := range []string{
		"", "1", "1 AES_CM_128_HMAC_SHA1_80", "x AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey, "-1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey,
		"1234567890 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey, "+1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey,
		"1 F8_128_HMAC_SHA1_80 inline:" + rfcKey, "1 NULL_HMAC_SHA1_80 inline:" + rfcKey, "1 AES_CM_128_HMAC_SHA1_80 outline:" + rfcKey,
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + key(29, 1), "1 AES_CM_128_HMAC_SHA1_80 inline:" + key(46, 1),
		"1 AES_CM_128_HMAC_SHA1_80 inline:", "1 AES_CM_128_HMAC_SHA1_80 inline:!" + rfcKey[1:],
		with + "|2^20|1:4;inline:" + rfcKey + "|2^20|2:4", // two keys
		with + "|2^49", with + "|2^0", with + "|0", with + "|2^", with + "|x", with + "|-5", with + "|", with + "|2^20|", with + "|2^20|2^20",
		with + "|1:0", with + "|1:129", with + "|256:1", with + "|:4", with + "|1:", with + "|x:4", with + "|1:4|2^20",
		with + " KDR=0", with + " KDR=5", with + " UNENCRYPTED_SRTP", with + " UNENCRYPTED_SRTCP", with + " UNAUTHENTICATED_SRTP",
		with + " FEC_ORDER=FEC_SRTP", with + " FEC_KEY=inline:" + rfcKey, with + " WSH=63", with + " WSH=", with + " whatever",
	} {
		if c, err := parseCrypto(bad); !errors.Is(err, errCrypto) {
			t.Errorf("%q: %v, %v", bad, c, err)
		} else if strings.Contains(err.Error(), rfcKey[:8]) {
			t.Errorf("the error has the key: %v", err)
		}
	}
}

// with is our side with a wish for encryption.
func with(security Security) Local {
	l := local()
	l.Security, l.Keys = security, NewKeys()
	return l
}

// far is the other side with one.
func far(security Security) Local {
	l := with(security)
	l.Addr, l.Port = remoteAddr, 5000
	return l
}

var remoteAddr = local().Addr.Next()

// Two of ours, every wish against every other.
func TestSecurityRoundTrip(t *testing.T) {
	const best = "AEAD_AES_256_GCM"
	for _, c := range []struct {
		a, b  Security
		suite string
		proto string
		err   error
	}{
		{Clear, Clear, "", "RTP/AVP", nil},
		{Clear, Preferred, "", "RTP/AVP", nil},
		{Clear, Required, "", "", ErrSecurity},
		{Preferred, Clear, "", "RTP/AVP", nil},
		{Preferred, Preferred, best, "RTP/AVP", nil},
		{Preferred, Required, best, "RTP/AVP", nil},
		{Required, Clear, "", "", ErrSecurity},
		{Required, Preferred, best, "RTP/SAVP", nil},
		{Required, Required, best, "RTP/SAVP", nil},
	} {
		t.Run(fmt.Sprint(c.a, " calls ", c.b), func(t *testing.T) {
			a, b := with(c.a), far(c.b)
			offer := Offer(a)
			if err := Check(b, offer); !errors.Is(err, c.err) {
				t.Errorf("check: %v, want %v", err, c.err)
			}
			answer, mb, err := Answer(b, offer)
			if !errors.Is(err, c.err) {
				t.Fatalf("answer: %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			ma, err := Accept(a, answer)
			if err != nil {
				t.Fatal(err)
			}
			if ma.Suite != c.suite || mb.Suite != c.suite || ma.Proto != c.proto || mb.Proto != c.proto || ma.Secure() != (c.suite != "") {
				t.Fatalf("a %s %s, b %s %s", ma.Proto, ma.Suite, mb.Proto, mb.Suite)
			}
			if !ma.Ours.Equal(mb.Theirs) || !ma.Theirs.Equal(mb.Ours) || c.suite != "" && ma.Ours.Equal(ma.Theirs) {
				t.Error("the two sides have not the same two keys")
			}
			// A later offer of either side repeats the very same keys, and no others.
			a.Proto, a.Suite, a.Shape = ma.Proto, ma.Suite, ma.Shape
			b.Proto, b.Suite, b.Shape = mb.Proto, mb.Suite, mb.Shape
			again := Offer(b)
			if n := bytes.Count(again, []byte("a=crypto:")); n != min(len(c.suite), 1) {
				t.Errorf("%d keys in a later offer", n)
			}
			answer, m2, err := Answer(a, again)
			if err != nil {
				t.Fatal(err)
			}
			m3, err := Accept(b, answer)
			if err != nil || !m2.Ours.Equal(ma.Ours) || !m2.Theirs.Equal(ma.Theirs) || !m3.Ours.Equal(mb.Ours) || m2.Proto != c.proto {
				t.Errorf("the keys have changed, %v", err)
			}
		})
	}
}

func TestAnswerCrypto(t *testing.T) {
	const good = "AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey
	for _, c := range []struct {
		name     string
		security Security
		offer    []byte
		err      error
		suite    string
		text     string
	}{
		{"SAVP", Preferred, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:7 "+good+"|2^31"), nil, "AES_CM_128_HMAC_SHA1_80", "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:"},
		{"SAVPF", Required, remote("m=audio 5000 RTP/SAVPF 0", "a=crypto:1 "+good), nil, "AES_CM_128_HMAC_SHA1_80", "m=audio 4000 RTP/SAVPF 0\r\n"},
		{"SAVP, off", Clear, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:1 "+good), ErrSecurity, "", ""},
		{"SAVP without a key", Preferred, remote("m=audio 5000 RTP/SAVP 0"), ErrSecurity, "", ""},
		{"SAVP with keys for others", Preferred, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:1 F8_128_HMAC_SHA1_80 inline:"+rfcKey), ErrSecurity, "", ""},
		{"AVP and keys", Preferred, remote("m=audio 5000 RTP/AVP 0", "a=crypto:1 "+good), nil, "AES_CM_128_HMAC_SHA1_80", "m=audio 4000 RTP/AVP 0\r\n"},
		{"AVP and keys for others", Preferred, remote("m=audio 5000 RTP/AVP 0", "a=crypto:1 F8_128_HMAC_SHA1_80 inline:"+rfcKey), nil, "", "RTP/AVP 0\r\n"},
		{"AVP and keys, off", Clear, remote("m=audio 5000 RTP/AVP 0", "a=crypto:1 "+good), nil, "", "RTP/AVP 0\r\n"},
		{"AVP, required", Required, remote("m=audio 5000 RTP/AVP 0"), ErrSecurity, "", ""},
		{"first that can be used", Preferred, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:1 "+good+" KDR=3", "a=crypto:2 "+good+" UNENCRYPTED_SRTP",
			"a=crypto:3 AES_CM_128_HMAC_SHA1_32 inline:"+rfcKey, "a=crypto:4 "+good), nil, "AES_CM_128_HMAC_SHA1_32", "a=crypto:3 AES_CM_128_HMAC_SHA1_32 "},
		{"two lines of one tag", Preferred, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:1 "+good, "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:"+rfcKey), ErrSecurity, "", ""},
		{"both ways, preferred", Preferred, remote("m=audio 5000 RTP/AVP 0", "m=audio 5100 RTP/SAVP 0", "a=crypto:1 "+good), nil, "AES_CM_128_HMAC_SHA1_80", "m=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/SAVP 0\r\n"},
		{"both ways, off", Clear, remote("m=audio 5100 RTP/SAVP 0", "a=crypto:1 "+good, "m=audio 5000 RTP/AVP 0"), nil, "", "m=audio 0 RTP/SAVP 0\r\nm=audio 4000 RTP/AVP 0\r\n"},
		{"both ways, unusable key", Preferred, remote("m=audio 5100 RTP/SAVP 0", "m=audio 5000 RTP/AVP 0"), nil, "", "m=audio 0 RTP/SAVP 0\r\nm=audio 4000 RTP/AVP 0\r\n"},
		{"key for another stream", Required, remote("m=video 5100 RTP/SAVP 31", "a=crypto:1 "+good, "m=audio 5000 RTP/SAVP 0"), ErrSecurity, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := with(c.security)
			answer, m, err := Answer(l, c.offer)
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if checked := Check(l, c.offer); !errors.Is(checked, c.err) {
				t.Errorf("check: %v, want %v", checked, c.err)
			}
			if err != nil {
				return
			}
			want := 0
			if c.suite != "" {
				want = 1
			}
			if m.Suite != c.suite || !strings.Contains(string(answer), c.text) || bytes.Count(answer, []byte("a=crypto")) != want {
				t.Errorf("suite %q, want %q\n%s", m.Suite, c.suite, Redact(answer))
			}
			if m.Secure() && base64.StdEncoding.EncodeToString(m.Theirs.Key()) != rfcKey {
				t.Error("their key is another")
			}
		})
	}
}

func TestAcceptCrypto(t *testing.T) {
	line := "AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey
	for _, c := range []struct {
		name     string
		security Security
		answer   []byte
		err      error
		suite    string
	}{
		{"their choice", Required, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:4 "+line), nil, "AES_CM_128_HMAC_SHA1_80"},
		{"preferred and taken", Preferred, remote("m=audio 5000 RTP/AVP 0", "a=crypto:4 "+line), nil, "AES_CM_128_HMAC_SHA1_80"},
		{"preferred and taken as SAVP", Preferred, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:4 "+line), nil, "AES_CM_128_HMAC_SHA1_80"},
		{"preferred and passed over", Preferred, remote("m=audio 5000 RTP/AVP 0"), nil, ""},
		{"another tag", Required, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:1 "+line), ErrSecurity, ""},
		{"another tag, preferred", Preferred, remote("m=audio 5000 RTP/AVP 0", "a=crypto:1 "+line), ErrSecurity, ""},
		{"another suite", Required, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:"+rfcKey), ErrSecurity, ""},
		{"no key", Required, remote("m=audio 5000 RTP/SAVP 0"), ErrSecurity, ""},
		{"plain", Required, remote("m=audio 5000 RTP/AVP 0"), ErrSecurity, ""},
		{"an unusable key", Preferred, remote("m=audio 5000 RTP/AVP 0", "a=crypto:4 "+line+" UNENCRYPTED_SRTP"), ErrSecurity, ""},
		{"a key that nobody asked for", Clear, remote("m=audio 5000 RTP/AVP 0", "a=crypto:4 "+line), nil, ""},
		{"SAVP that nobody asked for", Clear, remote("m=audio 5000 RTP/SAVP 0", "a=crypto:4 "+line), ErrSecurity, ""},
	} {
		m, err := Accept(with(c.security), c.answer)
		if !errors.Is(err, c.err) || m.Suite != c.suite {
			t.Errorf("%s: %q %v, want %q %v", c.name, m.Suite, err, c.suite, c.err)
		}
	}
	// Our own offer sent back as the answer, and our own line as an offer.
	l := with(Required)
	if _, err := Accept(l, bytes.ReplaceAll(Offer(l), []byte("10.0.0.1"), []byte("10.0.0.2"))); !errors.Is(err, ErrSecurity) {
		t.Errorf("our own keys: %v", err)
	}
	if _, _, err := Answer(l, Offer(l)); !errors.Is(err, ErrSecurity) {
		t.Errorf("our own keys offered: %v", err)
	}
}

// Without keys nothing is offered in clear that must not be.
func TestRequiredWithoutKeys(t *testing.T) {
	l := local()
	l.Security = Required
	if offer := string(Offer(l)); !strings.Contains(offer, "RTP/SAVP") || strings.Contains(offer, "crypto") {
		t.Errorf("offer:\n%s", offer)
	}
	if _, _, err := Answer(l, Offer(with(Required))); !errors.Is(err, ErrSecurity) {
		t.Error(err)
	}
}

func TestKeysShowNowhere(t *testing.T) {
	a, b := with(Required), far(Required)
	answer, m, err := Answer(b, Offer(a))
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{base64.StdEncoding.EncodeToString(m.Ours.Key()), base64.StdEncoding.EncodeToString(m.Theirs.Key()),
		strings.Trim(fmt.Sprint(m.Ours.Key()), "[]"), fmt.Sprintf("%x", m.Ours.Key())}
	var texts []string
	for _, v := range []any{a, b, m, m.Ours, &m, a.Keys, struct{ hidden Crypto }{m.Ours}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
	}
	for _, v := range []any{a, m} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if _, err := json.Marshal(m.Ours); err == nil {
		t.Error("a line can be marshalled")
	}
	if _, err := json.Marshal(a.Keys); err == nil {
		t.Error("keys can be marshalled")
	}
	redacted := Redact(answer)
	if !Redacted(redacted) || Redacted(string(answer)) || !strings.Contains(redacted, "a=crypto:1 AEAD_AES_256_GCM inline:*\r\n") {
		t.Error(redacted)
	}
	// What is no description may hold a key all the same.
	_, bad := parse(append([]byte("v=0\r\nx=a=crypto:1 "), answer...))
	texts = append(texts, redacted, fmt.Sprint(bad), Redact([]byte("A=CRYPTO: 1 X INLINE:"+secrets[0])), Redact([]byte("a=crypto:"+secrets[0])))
	for _, text := range texts {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Fatalf("a key is in %s", text)
			}
		}
	}
}

func FuzzCrypto(f *testing.F) {
	for _, line := range []string{"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey + "|2^20|1:32", "2 AEAD_AES_128_GCM inline:" + key(28, 9) + " WSH=64 -x",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey + "|2^20|1:4;inline:" + rfcKey + "|2^20|2:4 FEC_ORDER=FEC_SRTP"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := parseCrypto(value)
		if err != nil {
			return
		}
		if c.MKI != nil && (len(c.MKI) == 0 || len(c.MKI) > 128) || len(c.Key()) != suites[suiteOf(c.Suite)].length {
			t.Fatalf("%q: %v", value, c)
		}
		c.MKI = nil // we write none
		w := &writer{}
		w.crypto(c)
		line, _ := strings.CutPrefix(strings.TrimSpace(string(w.b)), "a=crypto:")
		again, err := parseCrypto(line)
		if err != nil || !again.Equal(c) || again.Tag != c.Tag {
			t.Fatalf("%q: %v", value, err)
		}
	})
}
