package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
)

const answered = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.9:5060;branch=z9hG4bKx;rport=5060\r\n" +
	"From: <sip:a@127.0.0.9:5060>;tag=f1\r\nto: \"Lot; <odd\" <sip:701@127.0.0.1:5060>;x=y;tag=t1\r\nCall-ID: b1@127.0.0.9\r\n" +
	"CSeq: 1 INVITE\r\nContact: <sip:701@127.0.0.1:5060;transport=udp>\r\nContent-Type: application/sdp\r\nContent-Length: 101\r\n\r\n" +
	"v=0\r\no=x 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20004 RTP/AVP 0\r\na=sendrecv\r\nbeyond"

const asked = "NOTIFY sip:lamp0@127.0.0.9:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKa\r\n" +
	"Via: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKb\r\nFrom: <sip:701@127.0.0.1>;tag=n\r\nTo: <sip:lamp0@127.0.0.9>;tag=w\r\n" +
	"Call-ID: b2@127.0.0.9\r\nCSeq: 7 NOTIFY\r\nEvent: dialog\r\nContent-Length: 0\r\n\r\n"

func TestParseResponse(t *testing.T) {
	m, ok := parse([]byte(answered))
	if !ok {
		t.Fatal("refused")
	}
	if m.code != 200 || string(m.method) != "INVITE" || m.seq != 1 || string(m.callID) != "b1@127.0.0.9" {
		t.Errorf("got %d %s %d %s", m.code, m.method, m.seq, m.callID)
	}
	if got := m.uri("Contact"); got != "sip:701@127.0.0.1:5060;transport=udp" {
		t.Errorf("Contact %q", got)
	}
	if got := m.tag("From"); got != "f1" {
		t.Errorf("From tag %q", got)
	}
	if got, want := m.media(), netip.MustParseAddrPort("127.0.0.1:20004"); got != want {
		t.Errorf("media %v, want %v", got, want)
	}
	if bytes.Contains(m.body, []byte("beyond")) {
		t.Error("the body goes beyond Content-Length")
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":            "",
		"keep-alive":         "\r\n\r\n",
		"no end of the head": "OPTIONS sip:x SIP/2.0\r\nCSeq: 1 OPTIONS\r\n",
		"no CSeq":            "OPTIONS sip:x SIP/2.0\r\nCall-ID: a\r\n\r\n",
		"no Call-ID":         "OPTIONS sip:x SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n",
		"two methods":        "OPTIONS sip:x SIP/2.0\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n",
		"no number":          "SIP/2.0 OK\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n",
		"number too large":   "SIP/2.0 700 OK\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n",
	} {
		if _, ok := parse([]byte(text)); ok {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestReply(t *testing.T) {
	m, ok := parse([]byte(asked))
	if !ok {
		t.Fatal("refused")
	}
	text := string(m.reply(200, "OK", "mine", "sip:lamp0@127.0.0.9:5060", nil))
	r, ok := parse([]byte(text))
	if !ok || r.code != 200 || r.seq != 7 || string(r.method) != "NOTIFY" || string(r.callID) != "b2@127.0.0.9" {
		t.Fatalf("the reply cannot be read: %q", text)
	}
	if strings.Count(text, "Via: ") != 2 || strings.Index(text, "bKa") > strings.Index(text, "bKb") {
		t.Errorf("not both Vias in order: %q", text)
	}
	if r.tag("To") != "w" {
		t.Errorf("the tag of To was changed: %q", text)
	}
	if strings.Contains(text, "Event:") {
		t.Errorf("headers of the request came back: %q", text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(answered))
	f.Add([]byte(asked))
	f.Add([]byte("SIP/2.0 200 OK\r\nCSeq:1 X\r\nCall-ID:\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, ok := parse(data)
		if !ok {
			return
		}
		m.media()
		m.tag("To")
		m.uri("Contact")
		if m.code != 0 {
			return
		}
		// What is said to the far end must be readable, whatever it sent.
		r, ok := parse(m.reply(200, "OK", "t", "sip:a@b", offer(netip.MustParseAddrPort("127.0.0.1:9"))))
		if !ok || !bytes.Equal(r.callID, m.callID) || r.seq != m.seq {
			t.Errorf("the reply to %q cannot be read", data)
		}
	})
}
