package peer

import (
	"testing"
	"time"
)

const traceLog = "----------------------------------------------- 2026-11-21 22:46:16.908803\nUDP message sent (100 bytes):\n\n" +
	"INVITE sip:701@127.0.0.1 SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length:     5\r\n\r\nv=0\r\n\n" +
	"----------------------------------------------- 2026-11-21 22:46:17.000001\nUDP message received [90] bytes :\n\n" +
	"SIP/2.0 486 Orbit taken\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n\n" +
	"----------------------------------------------- 2026-11-21 22:46:17.100000\nUDP message received [90] bytes :\n\n" +
	"NOTIFY sip:1 SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 50\r\n\r\nthis body is still being wri"

func TestTrace(t *testing.T) {
	all, err := parseTrace(traceLog)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 {
		t.Fatalf("%d messages, want 2: %v", len(all), all)
	}
	invite, busy := all[0], all[1]
	if !invite.Sent || invite.Status() != 0 || invite.Method() != "INVITE" || invite.Header("call-id") != "1" || invite.Body() != "v=0\n\n" {
		t.Errorf("the INVITE was read as %+v", invite)
	}
	if busy.Sent || busy.Status() != 486 || busy.Method() != "INVITE" || busy.StartLine() != "SIP/2.0 486 Orbit taken" {
		t.Errorf("the answer was read as %+v", busy)
	}
	if want := 91198 * time.Microsecond; busy.At.Sub(invite.At) != want {
		t.Errorf("the answer came after %v, want %v", busy.At.Sub(invite.At), want)
	}
}
