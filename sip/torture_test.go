package sip_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

// TestTorture sends each message of RFC 4475 as a datagram. Where the RFC lets
// an element choose, the line says what we chose.
func TestTorture(t *testing.T) {
	want := map[string]string{
		// §3.1.1, valid messages
		"dblreq":     "handler REGISTER", // and the second request in the datagram is ignored
		"esc01":      "handler INVITE",
		"esc02":      "SIP/2.0 405 Method Not Allowed", // RE%47IST%45R is not REGISTER
		"escnull":    "handler REGISTER",
		"intmeth":    "SIP/2.0 405 Method Not Allowed",
		"longreq":    "handler INVITE",
		"lwsdisp":    "SIP/2.0 200 OK",
		"mpart01":    "handler MESSAGE",
		"noreason":   "silence", // a response to nothing
		"semiuri":    "SIP/2.0 200 OK",
		"transports": "SIP/2.0 200 OK",
		"unreason":   "silence", // a response to nothing
		"wsinv":      "handler INVITE",
		// §3.1.2, invalid messages
		"badaspec":   "SIP/2.0 400 Malformed To Header",
		"badbranch":  "SIP/2.0 200 OK", // taken as a client of RFC 2543
		"baddate":    "handler INVITE", // Date is not looked at
		"baddn":      "SIP/2.0 400 Malformed Message",
		"badinv01":   "SIP/2.0 400 Malformed Via Header",
		"badvers":    "SIP/2.0 505 Version Not Supported",
		"bigcode":    "silence",
		"clerr":      "SIP/2.0 400 Malformed Message",
		"escruri":    "SIP/2.0 400 Headers In Request-URI",
		"ltgtruri":   "SIP/2.0 400 Malformed Request-Line",
		"lwsruri":    "SIP/2.0 400 Malformed Request-Line",
		"lwsstart":   "SIP/2.0 400 Malformed Request-Line",
		"mcl01":      "SIP/2.0 400 Header Given Twice",
		"mismatch01": "SIP/2.0 400 CSeq Method Does Not Match",
		"mismatch02": "SIP/2.0 400 CSeq Method Does Not Match",
		"ncl":        "SIP/2.0 400 Malformed Content-Length Header",
		"quotbal":    "SIP/2.0 400 Malformed To Header",
		"regbadct":   "handler REGISTER", // a registrar's to judge, and we are none
		"scalar02":   "SIP/2.0 400 Malformed CSeq Header",
		"scalarlg":   "silence",
		"trws":       "SIP/2.0 400 Malformed Request-Line",
		// §3.2, transaction layer
		"novelsc": "SIP/2.0 416 Unsupported URI Scheme",
		"test":    "silence", // no Via to answer by
		// §3.3, application layer
		"bcast":    "silence",
		"bext01":   "SIP/2.0 420 Bad Extension",
		"cparam01": "handler REGISTER",
		"cparam02": "handler REGISTER",
		"insuf":    "SIP/2.0 400 Missing From Header",
		"inv2543":  "handler INVITE",
		"invut":    "handler INVITE", // the body is the call's to refuse
		"multi01":  "SIP/2.0 400 Multiple From Headers",
		"regaut01": "handler REGISTER", // the authenticator's to refuse
		"regescrt": "handler REGISTER",
		"sdp01":    "handler INVITE", // the offer is the call's to refuse
		"unkscm":   "SIP/2.0 416 Unsupported URI Scheme",
		"unksm2":   "handler REGISTER",
		"zeromf":   "SIP/2.0 200 OK", // OPTIONS asks this hop, RFC 3261 §11
	}
	files, err := filepath.Glob("testdata/rfc4475/*.dat")
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d messages, %d expectations, %v", len(files), len(want), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".dat")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if got := torture(t, data); got != want[name] {
				t.Errorf("got %q, want %q", got, want[name])
			}
		})
	}
}

// torture sends a datagram to an endpoint and returns what it did: the methods
// that reached a handler, or the first line of its answer, or "silence".
func torture(t *testing.T, data []byte) (outcome string) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		reached := make(chan string, 16)
		siptest.NewEndpoint(t, n, "10.0.0.2", func(e *sip.Endpoint) {
			for _, m := range []string{"INVITE", "REGISTER", "MESSAGE", "ACK", "BYE"} {
				e.Handle(m, func(req *gosip.Request, tx *sip.ServerTx) {
					reached <- "handler " + m
					if tx != nil {
						_ = tx.Respond(sip.NewResponse(req, 200, "OK"))
					}
				})
			}
		})
		n.Tap(func(p siptest.Packet) {
			if p.From.Addr() == netip.MustParseAddr("10.0.0.2") {
				line, _, _ := strings.Cut(string(p.Data), "\r\n")
				select {
				case reached <- line:
				default:
				}
			}
		})
		c, err := n.Host(addrA).ListenPacket(t.Context(), netip.AddrPortFrom(addrA, 5060))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.WriteTo(data, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), 5060))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		select {
		case outcome = <-reached:
		default:
			outcome = "silence"
		}
	})
	return outcome
}
