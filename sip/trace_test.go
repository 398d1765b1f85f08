package sip

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func TestTraceHoldsNoHeaders(t *testing.T) {
	var out bytes.Buffer
	e := &Endpoint{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	f := &udpFlow{l: &listener{}, to: netip.MustParseAddrPort("192.0.2.1:5060")}
	e.trace("sent", f, []byte("REGISTER sip:example.com SIP/2.0\r\nAuthorization: Digest response=\"secret\"\r\n\r\n"))
	e.trace("received", f, []byte("SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest nonce=\"secret\"\r\ncseq: 7 REGISTER\r\n\r\n"))
	e.trace("sent", f, []byte("\r\n\r\n"))
	got := out.String()
	for _, want := range []string{`msg="sip sent" line="REGISTER sip:example.com SIP/2.0" peer=192.0.2.1:5060`,
		`msg="sip received" line="401 Unauthorized to REGISTER"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "secret") || strings.Count(got, "\n") != 2 {
		t.Errorf("the log holds more than two first lines:\n%s", got)
	}
}
