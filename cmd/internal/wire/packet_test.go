package wire

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"parklamp/media/jitter"
	"parklamp/media/timeline"
	"parklamp/sip/sdp"
)

// TestPacketsAsAskedFor: what our SDP says of the length of packets is what package media sends and takes.
func TestPacketsAsAskedFor(t *testing.T) {
	offer := string(sdp.Offer(sdp.Local{Addr: netip.MustParseAddr("192.0.2.1"), Port: 4000, Codecs: []sdp.Codec{sdp.PCMU}}))
	for _, line := range []string{
		fmt.Sprintf("\r\na=ptime:%d\r\n", timeline.Frame.Milliseconds()),
		fmt.Sprintf("\r\na=maxptime:%d\r\n", (jitter.MaxPayload * timeline.Tick).Milliseconds()),
	} {
		if !strings.Contains(offer, line) {
			t.Errorf("offer lacks %q:\n%s", line, offer)
		}
	}
}

// TestPacketTimeOfTheFarEnd: whatever length of packets a far end would like, there is a call, and ours are as long as they
// always are (RFC 4566 §6: ptime is a recommendation).
func TestPacketTimeOfTheFarEnd(t *testing.T) {
	for _, wish := range []string{"a=ptime:10", "a=ptime:30", "a=ptime:40", "a=maxptime:10", "a=ptime:10\r\na=maxptime:10", "a=ptime:0", "a=ptime:x", "a=ptime:"} {
		offer := "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n" + wish + "\r\n"
		local := sdp.Local{Addr: netip.MustParseAddr("192.0.2.1"), Port: 4000, Codecs: []sdp.Codec{sdp.PCMU}}
		answer, m, err := sdp.Answer(local, []byte(offer))
		if err != nil || !m.Send || !m.Receive || m.Codec != sdp.PCMU {
			t.Errorf("%s: %+v, %v", wish, m, err)
		}
		if want := fmt.Sprintf("\r\na=ptime:%d\r\n", timeline.Frame/time.Millisecond); !strings.Contains(string(answer), want) {
			t.Errorf("%s: answer lacks %q:\n%s", wish, want, answer)
		}
	}
}
