package sdp

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func local() Local {
	return Local{
		Addr: netip.MustParseAddr("10.0.0.1"), Port: 4000, Codecs: []Codec{PCMU, PCMA}, DTMF: true,
		SessionID: 7, Version: 1,
	}
}

// text joins lines as SDP has them.
func text(lines ...string) []byte { return []byte(strings.Join(lines, "\r\n") + "\r\n") }

// remote is a plain description of the far end with the given lines after the m-line.
func remote(media string, attributes ...string) []byte {
	return text(append([]string{"v=0", "o=bob 1 1 IN IP4 10.0.0.2", "s=-", "c=IN IP4 10.0.0.2", "t=0 0", media}, attributes...)...)
}

func TestOfferText(t *testing.T) {
	want := string(text(
		"v=0", "o=- 7 1 IN IP4 10.0.0.1", "s=-", "c=IN IP4 10.0.0.1", "t=0 0",
		"m=audio 4000 RTP/AVP 0 8 101",
		"a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15",
		"a=ptime:20", "a=maxptime:60", "a=sendrecv"))
	if got := string(Offer(local())); got != want {
		t.Errorf("offer:\n%s\nwant:\n%s", got, want)
	}
}

func TestOfferIPv6(t *testing.T) {
	l := local()
	l.Addr = netip.MustParseAddr("fd00::1%eth0")
	if got := string(Offer(l)); !strings.Contains(got, "o=- 7 1 IN IP6 fd00::1\r\n") || !strings.Contains(got, "c=IN IP6 fd00::1\r\n") {
		t.Errorf("offer has no IPv6 address:\n%s", got)
	}
}

// RFC 3264 §8: every m-line that the session ever had is in each later offer, in its place.
func TestReofferKeepsShape(t *testing.T) {
	offer := remote("m=video 6000 RTP/AVP 31 34", "m=audio 5000 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000", "m=application 9 UDP/BFCP *")
	answer, m, err := Answer(local(), offer)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"m=video 0 RTP/AVP 31 34\r\n", "m=audio 4000 RTP/AVP 8 96\r\n", "m=application 0 UDP/BFCP *\r\n"} {
		if !strings.Contains(string(answer), want) {
			t.Errorf("answer lacks %q:\n%s", want, answer)
		}
	}
	l := local()
	l.Shape, l.DTMFPayloadType = m.Shape, m.DTMFPayloadType
	again := string(Offer(l))
	v, a, b := strings.Index(again, "m=video 0 RTP/AVP 31 34"), strings.Index(again, "m=audio 4000 RTP/AVP 0 8 96"), strings.Index(again, "m=application 0 ")
	if v < 0 || a < v || b < a {
		t.Errorf("re-offer has lost the shape:\n%s", again)
	}
	got, err := Accept(l, remote("m=video 0 RTP/AVP 31", "m=audio 5002 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000", "m=application 0 UDP/BFCP *"))
	if err != nil || got.Remote != netip.MustParseAddrPort("10.0.0.2:5002") || !slices.Equal(got.Shape, m.Shape) {
		t.Errorf("accept: %+v, %v", got, err)
	}
}

func TestAnswerMedia(t *testing.T) {
	remoteAddr := netip.MustParseAddrPort("10.0.0.2:5000")
	for _, c := range []struct {
		name  string
		offer []byte
		want  Media
		text  string // in the answer
	}{
		{"plain", remote("m=audio 5000 RTP/AVP 8 101", "a=rtpmap:101 telephone-event/8000"),
			Media{Remote: remoteAddr, Codec: PCMA, DTMFPayloadType: 101, Send: true, Receive: true}, "m=audio 4000 RTP/AVP 8 101\r\n"},
		{"no events", remote("m=audio 5000 RTP/AVP 0"), Media{Remote: remoteAddr, Codec: PCMU, Send: true, Receive: true}, "m=audio 4000 RTP/AVP 0\r\n"},
		{"events at another rate only", remote("m=audio 5000 RTP/AVP 0 97", "a=rtpmap:97 telephone-event/48000"),
			Media{Remote: remoteAddr, Codec: PCMU, Send: true, Receive: true}, "m=audio 4000 RTP/AVP 0\r\n"},
		{"unknown codecs first", remote("m=audio 5000 RTP/AVP 9 111 0", "a=rtpmap:9 G722/8000", "a=rtpmap:111 opus/48000/2"),
			Media{Remote: remoteAddr, Codec: PCMU, Send: true, Receive: true}, "m=audio 4000 RTP/AVP 0\r\n"},
		{"dynamic number for G.711", remote("m=audio 5000 RTP/AVP 97", "a=rtpmap:97 pcma/8000/1"),
			Media{Remote: remoteAddr, Codec: Codec{"PCMA", 97, 8000}, Send: true, Receive: true}, "a=rtpmap:97 PCMA/8000\r\n"},
		{"sendonly", remote("m=audio 5000 RTP/AVP 0", "a=sendonly"), Media{Remote: remoteAddr, Codec: PCMU, Receive: true, RemoteHold: true}, "a=recvonly\r\n"},
		{"inactive", remote("m=audio 5000 RTP/AVP 0", "a=inactive"), Media{Remote: remoteAddr, Codec: PCMU, RemoteHold: true}, "a=inactive\r\n"},
		{"recvonly", remote("m=audio 5000 RTP/AVP 0", "a=recvonly"), Media{Remote: remoteAddr, Codec: PCMU, Send: true}, "a=sendonly\r\n"},
		{"direction for the session", text("v=0", "o=- 1 1 IN IP4 10.0.0.2", "s=-", "c=IN IP4 10.0.0.2", "t=0 0", "a=sendonly", "m=audio 5000 RTP/AVP 0"),
			Media{Remote: remoteAddr, Codec: PCMU, Receive: true, RemoteHold: true}, "a=recvonly\r\n"},
		{"zero address", text("v=0", "o=- 1 1 IN IP4 10.0.0.2", "s=-", "c=IN IP4 0.0.0.0", "t=0 0", "m=audio 5000 RTP/AVP 0"),
			Media{Codec: PCMU, Receive: true, RemoteHold: true}, "a=recvonly\r\n"},
		{"zero address and inactive", text("v=0", "o=- 1 1 IN IP4 10.0.0.2", "s=-", "c=IN IP4 0.0.0.0", "t=0 0", "m=audio 5000 RTP/AVP 0", "a=inactive"),
			Media{Codec: PCMU, RemoteHold: true}, "a=inactive\r\n"},
		{"address of the stream", remote("m=audio 5000 RTP/AVP 0", "c=IN IP4 10.0.0.9"),
			Media{Remote: netip.MustParseAddrPort("10.0.0.9:5000"), RTCP: netip.MustParseAddrPort("10.0.0.9:5001"), Codec: PCMU, Send: true, Receive: true}, ""},
		{"rtcp and ptime", remote("m=audio 5000 RTP/AVP 0", "a=rtcp:6001 IN IP4 10.0.0.2", "a=ptime:30"),
			Media{Remote: remoteAddr, RTCP: netip.MustParseAddrPort("10.0.0.2:6001"), Codec: PCMU, Send: true, Receive: true, Ptime: 30 * time.Millisecond}, ""},
		{"rtcp to a third host is ignored", remote("m=audio 5000 RTP/AVP 0", "a=rtcp:6001 IN IP4 10.9.9.9"),
			Media{Remote: remoteAddr, Codec: PCMU, Send: true, Receive: true}, ""},
		{"two audio streams", remote("m=audio 5000 RTP/AVP 0", "m=audio 5100 RTP/AVP 0"),
			Media{Remote: remoteAddr, Codec: PCMU, Send: true, Receive: true}, "m=audio 0 RTP/AVP 0\r\n"},
		{"AVPF", remote("m=audio 5000 RTP/AVPF 0"), Media{Remote: remoteAddr, Codec: PCMU, Send: true, Receive: true}, "m=audio 4000 RTP/AVPF 0\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, m, err := Answer(local(), c.offer)
			if err != nil {
				t.Fatal(err)
			}
			m.Shape = nil
			if c.want.Remote.IsValid() && !c.want.RTCP.IsValid() {
				c.want.RTCP = netip.AddrPortFrom(c.want.Remote.Addr(), c.want.Remote.Port()+1)
			}
			if c.want.Ptime == 0 {
				c.want.Ptime = 20 * time.Millisecond
			}
			if m.Remote != c.want.Remote || m.RTCP != c.want.RTCP || m.Codec != c.want.Codec || m.DTMFPayloadType != c.want.DTMFPayloadType ||
				m.Send != c.want.Send || m.Receive != c.want.Receive || m.RemoteHold != c.want.RemoteHold || m.Ptime != c.want.Ptime {
				t.Errorf("media\n got %+v\nwant %+v", m, c.want)
			}
			if !strings.Contains(string(answer), c.text) {
				t.Errorf("answer lacks %q:\n%s", c.text, answer)
			}
		})
	}
}

// The codec of an answer: our first if it is offered, else the far end's first.
func TestChoice(t *testing.T) {
	for _, c := range []struct {
		ours   []Codec
		theirs string
		want   Codec
	}{
		{[]Codec{G722, PCMU, PCMA}, "0 8 9", G722},
		{[]Codec{G722, PCMU, PCMA}, "8 0", PCMA},
		{[]Codec{PCMA, G722, PCMU}, "9 0 8", PCMA},
		{[]Codec{PCMA, G722, PCMU}, "9 0", G722},
		{[]Codec{PCMU, PCMA}, "9 8", PCMA},
		{[]Codec{G722}, "0 9", G722},
	} {
		l := local()
		l.Codecs = c.ours
		answer, m, err := Answer(l, remote("m=audio 5000 RTP/AVP "+c.theirs))
		if err != nil || m.Codec != c.want || !strings.Contains(string(answer), "a=rtpmap:"+strconv.Itoa(int(c.want.PayloadType))+" "+c.want.Name+"/8000\r\n") {
			t.Errorf("ours %v, theirs %s: %+v %v\n%s", c.ours, c.theirs, m.Codec, err, answer)
		}
	}
	// An answerer has chosen already: what it puts first is what we send.
	l := local()
	l.Codecs = []Codec{G722, PCMU}
	if m, err := Accept(l, remote("m=audio 5000 RTP/AVP 0 9")); err != nil || m.Codec != PCMU {
		t.Errorf("accepted %+v, %v", m.Codec, err)
	}
}

// Each side may have numbers of its own: we send theirs and receive ours.
func TestNumbersOfEachSide(t *testing.T) {
	l := local()
	l.Codecs, l.Noise = []Codec{G722, PCMU}, true
	if offer := string(Offer(l)); !strings.Contains(offer, "RTP/AVP 9 0 13 101\r\n") || !strings.Contains(offer, "a=rtpmap:13 CN/8000\r\n") ||
		!strings.Contains(offer, "a=rtpmap:9 G722/8000\r\n") {
		t.Errorf("offer:\n%s", offer)
	}
	m, err := Accept(l, remote("m=audio 5000 RTP/AVP 98 97 96", "a=rtpmap:98 G722/8000", "a=rtpmap:97 CN/8000", "a=rtpmap:96 telephone-event/8000"))
	if err != nil || m.Codec != (Codec{"G722", 98, 8000}) || m.DTMFPayloadType != 96 || m.DTMFReceive != 101 || m.NoisePayloadType != 97 {
		t.Errorf("%+v, %v", m, err)
	}
	answer, m, err := Answer(l, remote("m=audio 5000 RTP/AVP 0 13 96", "a=rtpmap:96 telephone-event/8000"))
	if err != nil || m.DTMFPayloadType != 96 || m.DTMFReceive != 96 || m.NoisePayloadType != 13 || !strings.Contains(string(answer), "RTP/AVP 0 13 96\r\n") {
		t.Errorf("%+v, %v\n%s", m, err, answer)
	}
	l.Noise = false
	if answer, m, err := Answer(l, remote("m=audio 5000 RTP/AVP 0 13")); err != nil || m.NoisePayloadType != 0 || strings.Contains(string(answer), "13") {
		t.Errorf("noise that we do not want: %+v, %v\n%s", m, err, answer)
	}
}

// Our own hold: the answer is the common part of both directions.
func TestAnswerWhileHolding(t *testing.T) {
	for _, c := range []struct{ ours, theirs, want Direction }{
		{SendOnly, SendRecv, SendOnly},
		{SendOnly, SendOnly, Inactive},
		{SendOnly, RecvOnly, SendOnly},
		{Inactive, SendRecv, Inactive},
		{RecvOnly, SendRecv, RecvOnly},
		{RecvOnly, RecvOnly, Inactive},
	} {
		l := local()
		l.Direction = c.ours
		answer, m, err := Answer(l, remote("m=audio 5000 RTP/AVP 0", "a="+c.theirs.String()))
		if err != nil || !strings.Contains(string(answer), "a="+c.want.String()+"\r\n") || m.Send != c.want.Sends() || m.Receive != c.want.Receives() {
			t.Errorf("ours %v, theirs %v: want %v, got %+v %v\n%s", c.ours, c.theirs, c.want, m, err, answer)
		}
	}
}

func TestRefusals(t *testing.T) {
	v6 := local()
	v6.Addr = netip.MustParseAddr("fd00::1")
	for _, c := range []struct {
		name  string
		l     Local
		offer []byte
		want  error
	}{
		{"empty", local(), nil, ErrMalformed},
		{"garbage", local(), []byte("hello"), ErrMalformed},
		{"too long", local(), []byte("v=0\r\n" + strings.Repeat("a=x\r\n", 5000)), ErrMalformed},
		{"too many streams", local(), remote(strings.Repeat("m=audio 5000 RTP/AVP 0\r\n", 17) + "a=x"), ErrMalformed},
		{"no stream", local(), remote("a=x"), ErrNoAudio},
		{"video only", local(), remote("m=video 5000 RTP/AVP 31"), ErrNoAudio},
		{"port 0", local(), remote("m=audio 0 RTP/AVP 0"), ErrNoAudio},
		{"encrypted", local(), remote("m=audio 5000 RTP/SAVP 0"), ErrSecurity},
		{"no codec", local(), remote("m=audio 5000 RTP/AVP 9 13 111", "a=rtpmap:111 opus/48000/2"), ErrNoCodec},
		{"number of G.711 given to another codec", local(), remote("m=audio 5000 RTP/AVP 0", "a=rtpmap:0 opus/48000/2"), ErrNoCodec},
		{"stereo", local(), remote("m=audio 5000 RTP/AVP 97", "a=rtpmap:97 PCMU/8000/2"), ErrNoCodec},
		{"other family", v6, remote("m=audio 5000 RTP/AVP 0"), ErrAddress},
		{"broadcast", local(), remote("m=audio 5000 RTP/AVP 0", "c=IN IP4 255.255.255.255"), ErrAddress},
		{"multicast", local(), remote("m=audio 5000 RTP/AVP 0", "c=IN IP4 224.2.1.1/127"), ErrAddress},
		{"host name", local(), remote("m=audio 5000 RTP/AVP 0", "c=IN IP4 pbx.example.com"), ErrAddress},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := Answer(c.l, c.offer); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if _, err := Accept(c.l, c.offer); !errors.Is(err, c.want) {
				t.Errorf("accept: got %v, want %v", err, c.want)
			}
		})
	}
	if err := Check(Local{Codecs: []Codec{PCMU}}, remote("m=audio 5000 RTP/AVP 8")); !errors.Is(err, ErrNoCodec) {
		t.Errorf("check: %v", err)
	}
}

// What real devices send although it is not what the RFC says.
func TestLenient(t *testing.T) {
	for name, offer := range map[string]string{
		"line feeds only":    "v=0\no=- 1 1 IN IP4 10.0.0.2\ns=-\nc=IN IP4 10.0.0.2\nt=0 0\nm=audio 5000 RTP/AVP 0\n",
		"no last line end":   "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0",
		"empty line at end":  "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n\r\n",
		"blank session name": "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns= \r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n",
		"fractional ptime":   "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\na=ptime:20.0\r\n",
		"unknown attributes": "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nb=AS:84\r\nt=0 0\r\na=X-nat:0\r\nm=audio 5000 RTP/AVP 0\r\nb=TIAS:64000\r\na=ssrc:1 cname:x\r\n",
	} {
		if _, m, err := Answer(local(), []byte(offer)); err != nil || m.Remote.Port() != 5000 || m.Ptime != 20*time.Millisecond {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// Two of ours, offer to answer: both sides see the same stream.
func TestRoundTrip(t *testing.T) {
	a, b := local(), local()
	b.Addr, b.Port, b.Codecs = netip.MustParseAddr("10.0.0.2"), 5000, []Codec{PCMA}
	a.Direction = SendOnly
	answer, mb, err := Answer(b, Offer(a))
	if err != nil {
		t.Fatal(err)
	}
	ma, err := Accept(a, answer)
	if err != nil {
		t.Fatal(err)
	}
	if ma.Codec != PCMA || mb.Codec != PCMA || !ma.Send || ma.Receive || mb.Send || !mb.Receive || !mb.RemoteHold || ma.RemoteHold ||
		ma.Remote.Port() != 5000 || mb.Remote.Port() != 4000 || ma.DTMFPayloadType != 101 || mb.DTMFPayloadType != 101 {
		t.Errorf("a %+v\nb %+v", ma, mb)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(Offer(local()))
	f.Add(remote("m=video 6000 RTP/AVP 31", "m=audio 5000 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000", "a=rtcp:1 IN IP4 10.0.0.2"))
	// RFC 4317 §2.1, first offer.
	f.Add(text("v=0", "o=alice 2890844526 2890844526 IN IP4 host.atlanta.example.com", "s=", "c=IN IP4 10.0.0.9", "t=0 0",
		"m=audio 49170 RTP/AVP 0 8 97", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:97 iLBC/8000",
		"m=video 51372 RTP/AVP 31 32", "a=rtpmap:31 H261/90000", "a=rtpmap:32 MPV/90000"))
	f.Add(Offer(with(Required)))
	f.Add(Offer(with(Preferred)))
	f.Add(remote("m=audio 5000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:"+rfcKey+"|2^20|1:4", "m=audio 5100 RTP/AVP 0"))
	f.Fuzz(func(t *testing.T, offer []byte) {
		l := with(Preferred)
		answer, m, err := Answer(l, offer)
		if err != nil {
			return
		}
		// The answer is a description that an offerer with the same stream accepts, and agrees with.
		far := local()
		far.Shape, far.Codecs = m.Shape, []Codec{m.Codec}
		if m.Secure() { // whose keys are not ours to know: that there are some is what matters
			if !bytes.Contains(answer, []byte("a=crypto:")) || m.Ours.Suite != m.Suite || m.Theirs.Suite != m.Suite {
				t.Fatalf("encrypted without keys: %+v", m)
			}
			return
		}
		if isSecure(m.Proto) {
			t.Fatalf("plain media in %s", m.Proto)
		}
		got, err := Accept(far, answer)
		if err != nil {
			t.Fatalf("own answer: %v\n%s", err, answer)
		}
		if got.Receive && !m.Send && m.Remote.IsValid() {
			t.Fatalf("sides disagree: %+v %+v", got, m)
		}
		if m.Send && !m.Remote.IsValid() {
			t.Fatalf("send to nowhere: %+v", m)
		}
		l.Shape = m.Shape
		if _, err := parse(Offer(l)); err != nil {
			t.Fatalf("own re-offer: %v", err)
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	l, offer := local(), Offer(local())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Answer(l, offer); err != nil {
			b.Fatal(err)
		}
	}
}
