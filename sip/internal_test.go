package sip

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

func TestTidy(t *testing.T) {
	head := "OPTIONS sip:x SIP/2.0\r\n"
	for _, c := range []struct{ name, in, want string }{
		{"nothing to do", "Via: SIP/2.0/UDP a;branch=b", "Via: SIP/2.0/UDP a;branch=b"},
		{"via", "v:  SIP  / 2.0  / TCP     a.example   ;\r\n  branch  =   z9  ,\r\n SIP / 2.0 / UDP b : 5062 ; rport", "v: SIP/2.0/TCP a.example;branch=z9,SIP/2.0/UDP b:5062;rport"},
		{"folded", "TO :\r\n sip:a@b ;   tag    = 19", "TO: sip:a@b;tag=19"},
		{"quotes stay", `From: "A ; \" ;  B"   <sip:a@b>  ;  tag = x`, `From: "A ; \" ;  B" <sip:a@b>;tag=x`},
		{"brackets stay", "Contact: <sip:a@b ; x>  ;q = 1", "Contact: <sip:a@b ; x>;q=1"},
		{"other headers stay", "Subject:  a ;  b = c\r\nTo: <sip:a> ;tag=1", "Subject:  a ;  b = c\r\nTo: <sip:a>;tag=1"},
		{"body stays", "To: <sip:a> ;tag=1\r\n\r\na ; b", "To: <sip:a>;tag=1\r\n\r\na ; b"},
	} {
		in, want := head+c.in, head+c.want
		if !strings.Contains(in, "\r\n\r\n") {
			in, want = in+"\r\n\r\n", want+"\r\n\r\n"
		}
		if got := string(tidy([]byte(in))); got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, want)
		}
	}
}

func TestCompactNames(t *testing.T) {
	m, _, ok := parse([]byte("REFER sip:x SIP/2.0\r\nv: SIP/2.0/UDP a\r\nr: <sip:b?Replaces=x>\r\no: refer\r\nk: replaces\r\nx: 90\r\nl: 0\r\n\r\n"))
	req, _ := m.(*gosip.Request)
	if !ok || req == nil {
		t.Fatal("not read")
	}
	for name, want := range map[string]string{"Event": "refer", "Supported": "replaces", "Session-Expires": "90"} {
		if h := req.GetHeader(name); h == nil || h.Value() != want {
			t.Errorf("%s is %v", name, h)
		}
	}
	if r := req.ReferTo(); r == nil || r.Address.User != "" || r.Address.Host != "b" {
		t.Errorf("Refer-To is %v", r)
	}
}

func TestSourceLimit(t *testing.T) {
	now := time.Unix(0, 0)
	l := NewSourceLimit(10, time.Second)
	from := netip.MustParseAddr("10.0.0.1")
	count := func() (n int) {
		for range 100 {
			if l.Allow(from, now) {
				n++
			}
		}
		return n
	}
	if n := count(); n != 10 {
		t.Errorf("%d at once", n)
	}
	now = now.Add(500 * time.Millisecond)
	if n := count(); n != 5 {
		t.Errorf("%d after half a second", n)
	}
	if l.Allow(from, now.Add(-time.Minute)) || !l.Allow(from, now.Add(-59*time.Second)) {
		t.Error("a clock that goes back")
	}
	// sipgo keeps every source address for ever.
	a := netip.MustParseAddr("10.1.0.0")
	for range 10 * limitSources {
		l.Allow(a, now)
		a = a.Next()
	}
	if n := len(l.young) + len(l.old); n > limitSources {
		t.Errorf("%d sources remembered", n)
	}
}

func TestSerial(t *testing.T) {
	var running sync.WaitGroup
	s := newSerial(&running, 100)
	gate := make(chan struct{})
	var mu sync.Mutex
	var got []int
	for i := range 50 {
		if !s.do("a", func() { <-gate; mu.Lock(); got = append(got, i); mu.Unlock() }) {
			t.Fatal("refused")
		}
	}
	ran := make(chan struct{})
	s.do("b", func() { close(ran) })
	<-ran // another key does not wait
	for i := 0; s.do("c", func() { <-gate }); i++ {
		if i > 100 {
			t.Fatal("no limit")
		}
	}
	close(gate)
	running.Wait()
	for i, v := range got {
		if i != v {
			t.Fatalf("order %v", got)
		}
	}
	if len(s.waiting) != 0 || s.total != 0 {
		t.Errorf("left over: %d keys, %d functions", len(s.waiting), s.total)
	}
}

// The example of RFC 7616 §3.9.1.
func TestDigestExample(t *testing.T) {
	c := Credentials{Username: "Mufasa", Password: "Circle of Life"}
	for algorithm, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		const (
			nonce  = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
			cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
			realm  = "http-auth@example.org"
		)
		got := hash(algorithm, hash(algorithm, c.Username, realm, c.Password), nonce, "00000001", cnonce, "auth",
			hash(algorithm, "GET", "/dir/index.html"))
		if got != want {
			t.Errorf("%s: response %s", algorithm, got)
		}
		cred, err := c.compute(&digest.Challenge{Realm: realm, Nonce: nonce, Algorithm: algorithm, QOP: []string{"auth"}}, "GET", "/dir/index.html", 1)
		if err != nil || cred.Nc != 1 || cred.Cnonce == "" {
			t.Errorf("%+v, %v", cred, err)
		}
	}
}

func seeds(f *testing.F) {
	f.Helper()
	files, _ := filepath.Glob("testdata/rfc4475/*.dat")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// FuzzParse looks for panics, and for messages that change when they are
// written and read again.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, bad, ok := parse(data)
		if !ok {
			return
		}
		if req, isReq := m.(*gosip.Request); isReq {
			if req.Via() == nil {
				return
			}
			if validate(req) != (fault{}) || bad != (fault{}) {
				_ = NewResponse(req, 400, "Bad").String()
				return
			}
			_ = serverKey(req, req.Method)
		}
		b, err := serialise(m)
		if err != nil {
			return // a lone CR or LF that sipgo let in does not get out
		}
		again, _, ok := parse(b)
		if !ok {
			t.Fatalf("cannot read back %q", b)
		}
		if c, err := serialise(again); err == nil && m.CSeq() != nil && again.CSeq() == nil {
			t.Fatalf("CSeq lost between %q and %q", b, c)
		}
	})
}

// FuzzFramer checks that the pieces in which a stream comes do not matter.
func FuzzFramer(f *testing.F) {
	seeds(f)
	f.Add([]byte("\r\n\r\n\r\nOPTIONS sip:x SIP/2.0\r\nl: 3\r\n\r\nabcOPTIONS sip:y SIP/2.0\r\nContent-Length: 0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if whole, pieces := frames(data, len(data)), frames(data, 3); whole != pieces {
			t.Fatalf("at once:\n%s\nin pieces:\n%s", whole, pieces)
		}
	})
}

// frames is what a framer makes of a stream that comes in pieces of a size.
func frames(data []byte, size int) string {
	fr := framer{max: 4096}
	var out strings.Builder
	pings := 0
	for len(data) > 0 {
		n := min(size, len(data))
		fr.add(data[:n])
		data = data[n:]
		for {
			m, p, err := fr.next()
			pings += p
			if err != nil {
				fmt.Fprintf(&out, "%d %v", pings, err)
				return out.String()
			}
			if m == nil {
				break
			}
			fmt.Fprintf(&out, "%d %q\n", pings, m)
		}
	}
	fmt.Fprintf(&out, "%d", pings)
	return out.String()
}

func BenchmarkParse(b *testing.B) {
	for _, name := range []string{"sdp01", "wsinv"} {
		data, err := os.ReadFile("testdata/rfc4475/" + name + ".dat")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, _, ok := parse(data); !ok {
					b.Fatal("not read")
				}
			}
		})
	}
}

func BenchmarkSourceLimit(b *testing.B) {
	l := NewSourceLimit(1<<30, time.Second)
	from, now := netip.MustParseAddr("10.0.0.1"), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		l.Allow(from, now)
	}
}
