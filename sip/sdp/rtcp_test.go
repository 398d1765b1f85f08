package sdp

import (
	"net/netip"
	"strings"
	"testing"
)

// TestReportsAskedForTheSession: linphone asks for extended reports above the first m-line.
func TestReportsAskedForTheSession(t *testing.T) {
	for own, want := range map[string]bool{"": true, "a=rtcp-xr:\r\n": false} {
		offer := "v=0\r\no=bob 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\n" +
			"a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\nm=audio 5000 RTP/AVP 0\r\n" + own
		l := local()
		l.RTCPXR = true
		answer, m, err := Answer(l, []byte(offer))
		if err != nil || m.RTCPXR != want || strings.Contains(string(answer), "a=rtcp-xr:rcvr") != want {
			t.Errorf("with %q of its own: %v, %v\n%s", own, m.RTCPXR, err, answer)
		}
	}
}

// TestRTCPAttributes: one port for RTP and RTCP only if both sides say so (RFC 5761 §5.1.1), extended reports to who asks.
func TestRTCPAttributes(t *testing.T) {
	one, two := netip.MustParseAddrPort("10.0.0.2:5000"), netip.MustParseAddrPort("10.0.0.2:5001")
	for _, c := range []struct {
		name       string
		ours       bool
		attributes []string
		mux, xr    bool
		text       []string // in our answer
	}{
		{"neither", false, nil, false, false, nil},
		{"only the far end", false, []string{"a=rtcp-mux"}, false, false, nil},
		{"only we", true, nil, false, false, nil},
		{"both", true, []string{"a=rtcp-mux"}, true, false, []string{"a=rtcp-mux\r\n"}},
		{"beside a=rtcp", true, []string{"a=rtcp:5000", "a=rtcp-mux"}, true, false, []string{"a=rtcp-mux\r\n"}},
		{"extended", true, []string{"a=rtcp-xr:voip-metrics"}, false, true, []string{"a=rtcp-xr:rcvr-rtt=all voip-metrics\r\n"}},
		{"extended with parameters", true, []string{"a=rtcp-xr:pkt-loss-rle=20 rcvr-rtt=all:10"}, false, true, []string{"a=rtcp-xr:"}},
		{"extended without any", true, []string{"a=rtcp-xr:"}, false, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := local()
			l.RTCPMux, l.RTCPXR = c.ours, c.ours
			offer := string(Offer(l))
			if strings.Contains(offer, "a=rtcp-mux\r\n") != c.ours || strings.Contains(offer, "a=rtcp-xr:rcvr-rtt=all voip-metrics\r\n") != c.ours {
				t.Errorf("offer:\n%s", offer)
			}
			want := two
			if c.mux {
				want = one
			}
			theirs := remote("m=audio 5000 RTP/AVP 0", c.attributes...)
			answer, m, err := Answer(l, theirs)
			if err != nil || m.RTCPMux != c.mux || m.RTCPXR != c.xr || m.RTCP != want {
				t.Errorf("answering: mux %v, extended %v, reports to %s, %v", m.RTCPMux, m.RTCPXR, m.RTCP, err)
			}
			if n := strings.Count(string(answer), "a=rtcp"); n != len(c.text) {
				t.Errorf("%d attributes in the answer, want %d:\n%s", n, len(c.text), answer)
			}
			for _, text := range c.text {
				if !strings.Contains(string(answer), text) {
					t.Errorf("answer lacks %q:\n%s", text, answer)
				}
			}
			if m, err := Accept(l, theirs); err != nil || m.RTCPMux != c.mux || m.RTCPXR != c.xr || m.RTCP != want {
				t.Errorf("offering: mux %v, extended %v, reports to %s, %v", m.RTCPMux, m.RTCPXR, m.RTCP, err)
			}
		})
	}
}
