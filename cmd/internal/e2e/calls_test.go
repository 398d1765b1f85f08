package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/speech"
	"parklamp/parkd/panel"
)

func cancelledCall(p *place) {
	g := p.guest(p.dock1(), "201", visit{scenario: "impatient"})
	g.expect("180", func(m peer.Message) bool { return m.Status() == 180 })
	p.phone(p.dock1(), "ringing")
	g.act("INFO")
	g.gets(487)
	g.ended()
	p.phone(p.dock1(), "idle")
}

// busyPhone fills the phone of dock-1: one talks, one waits, the third is told that it is busy.
func busyPhone(p *place) {
	one := p.visitor(p.dock1(), visit{})
	two := p.guest(p.dock1(), "201", visit{})
	p.await(p.dock1(), "waiting call", func(st panel.Status) bool { return st.Phone.Ring == "waiting" })
	two.expect("180", func(m peer.Message) bool { return m.Status() == 180 })
	p.guest(p.dock1(), "201", visit{}).gets(486)
	p.talk(p.dock1(), one)
	p.press(p.dock1(), "hold") // the first is held, the second answered
	two.gets(200)
	p.talk(p.dock1(), two)
	p.hearsMusic(one)
	two.hangUp()
	p.phone(p.dock1(), "failure")
	p.press(p.dock1(), "hold")
	p.talking(p.dock1())
	p.talk(p.dock1(), one)
	p.hook(p.dock1(), false)
	one.ended()

	p.press(p.dock1(), "dnd")
	p.await(p.dock1(), "do not disturb", func(st panel.Status) bool { return st.Phone.DND })
	p.guest(p.dock1(), "201", visit{}).gets(480)
	p.press(p.dock1(), "dnd")
	p.await(p.dock1(), "an end of do not disturb", func(st panel.Status) bool { return !st.Phone.DND })
}

func emergencyCall(p *place) {
	talker := p.talker(operator, speech.Caller())
	g := p.callsOperator(talker, talker.Addr())
	for _, key := range []string{"park", "orbit-701", "hold", "transfer"} {
		p.press(p.dock1(), key)
		p.phone(p.dock1(), "talking")
	}
	p.talk(p.dock1(), g)
	for _, a := range p.Appliances {
		if st := p.status(a); len(taken(st)) > 0 {
			p.Errorf("%s: the emergency call is parked: %v", a.Name, taken(st))
		}
	}
	p.hook(p.dock1(), false) // once is not enough
	p.talk(p.dock1(), g)
	p.hook(p.dock1(), true)
	p.hook(p.dock1(), false)
	g.ended()
}

// callsOperator lets dock-1 call the emergency number. Who answers says where his sound is.
func (p *place) callsOperator(talker *peer.Talker, media netip.AddrPort) *guest {
	p.Helper()
	s, err := peer.StartSIPp(peer.SIPpOptions{Scenario: "callee", Dir: p.TempDir(), Local: p.sip(operator), Media: media})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(s.Stop)
	p.dial(p.dock1(), "112")
	p.talking(p.dock1())
	return &guest{outside: &outside{s, talker, p.T}, p: p, last: operator, number: "112", says: speech.Caller()}
}

// calledBehindNAT calls a phone that says a private address and talks from the one that its SIP comes from, as a NAT has it. A stranger
// is first to talk: he is not heard and gets nothing.
func calledBehindNAT(p *place) {
	talker, stranger := p.talker(operator, speech.Caller()), p.talker(20+int(guests.Add(1))%200, speech.Worker())
	private := netip.MustParseAddrPort("192.168.1.20:4000") // out of reach of sockets on loopback
	g := p.callsOperator(talker, private)
	at := mediaIn(p.T, g.expect("an INVITE", func(m peer.Message) bool { return m.Method() == "INVITE" && m.Status() == 0 }).Body())
	before := p.status(p.dock1()).Counters["media.strangers"]
	stranger.Aim(at)
	st := p.await(p.dock1(), "packets of a stranger", func(st panel.Status) bool {
		return len(st.Calls) == 1 && st.Counters["media.strangers"]+st.Calls[0].Media.Received >= before+50
	})
	if m := st.Calls[0].Media; m.Received > 0 || m.Remote != private.String() {
		p.Fatalf("%d packets of a stranger are heard, ours go to %s", m.Received, m.Remote)
	}
	talker.Aim(at)
	p.talk(p.dock1(), g)
	if n := len(stranger.Heard(time.Time{})); n > 0 {
		p.Errorf("%d packets of the call went to a stranger", n)
	}
	for _, up := range []bool{false, true, false} { // as an emergency call wants it
		p.hook(p.dock1(), up)
	}
	g.ended()
}

// malformedMessages sends what RFC 4475 §3.1.2 and others call invalid, and worse, in the middle of a call.
func malformedMessages(p *place) {
	one := p.visitor(p.dock1(), visit{})
	names := strings.Fields("badaspec baddn badinv01 badvers bigcode clerr escruri ltgtruri lwsruri lwsstart mcl01 mismatch01 mismatch02 " +
		"ncl quotbal scalar02 scalarlg trws novelsc test bext01 insuf multi01 unkscm")
	junk := map[string][]byte{
		"nothing":          {0},
		"a keep-alive":     []byte("\r\n\r\n"),
		"not SIP":          []byte("GET / HTTP/1.1\r\nHost: dock-1\r\n\r\n"),
		"not text":         {0xff, 0xfe, 0x00, 0x01, 0x80, 0x16, 0x03, 0x01},
		"half a header":    []byte("INVITE sip:201@dock-1 SIP/2.0\r\nVia: SIP/2.0/UDP "),
		"a long line":      []byte("INVITE sip:" + strings.Repeat("2", 60000) + "@dock-1 SIP/2.0\r\n\r\n"),
		"a million header": []byte("OPTIONS sip:dock-1 SIP/2.0\r\n" + strings.Repeat("a:\r\n", 15000) + "\r\n"),
		"a bad Replaces": []byte(fmt.Sprintf("INVITE sip:701@%[1]s SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;branch=z9hG4bKx;rport\r\nMax-Forwards: 70\r\n"+
			"From: <sip:x@%[2]s>;tag=x\r\nTo: <sip:701@%[1]s>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:x@%[2]s>\r\n"+
			"Replaces: ;;;=\r\nContent-Length: 0\r\n\r\n", p.sip(1), p.sip(19))),
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("..", "..", "..", "sip", "testdata", "rfc4475", name+".dat"))
		if err != nil {
			p.Fatal(err)
		}
		junk[name] = data
	}
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(p.sip(19)), net.UDPAddrFromAddrPort(p.sip(1)))
	if err != nil {
		p.Fatal(err)
	}
	defer c.Close()
	for name, data := range junk {
		if _, err := c.Write(data); err != nil {
			p.Fatalf("send %s: %v", name, err)
		}
	}
	// What must be answered is answered; the marker, sent last, tells that everything before it was looked at.
	marker := fmt.Sprintf("OPTIONS sip:%[1]s SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;branch=z9hG4bKmarker;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:x@%[2]s>;tag=x\r\nTo: <sip:%[1]s>\r\nCall-ID: marker\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", p.sip(1), p.sip(19))
	if _, err := c.Write([]byte(marker)); err != nil {
		p.Fatal(err)
	}
	refused, buf := 0, make([]byte, 65536)
	for {
		if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
			p.Fatal(err)
		}
		n, err := c.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.Fatal("OPTIONS after the malformed messages is not answered")
		}
		if err != nil {
			p.Fatal(err)
		}
		answer := string(buf[:n])
		if strings.Contains(answer, "Call-ID: marker") {
			break
		}
		if !regexp.MustCompile(`^SIP/2.0 (4\d\d|505) `).MatchString(answer) {
			line, _, _ := strings.Cut(answer, "\r\n")
			p.Errorf("a malformed message was answered %q, want 4xx, 505 or nothing", line)
			continue
		}
		refused++
	}
	p.Logf("%d of %d malformed messages were answered, all with 4xx or 505", refused, len(junk))
	if refused < len(names)/2 {
		p.Errorf("only %d malformed messages were refused", refused)
	}
	p.phone(p.dock1(), "talking")
	p.talk(p.dock1(), one)
	if st := p.status(p.dock1()); len(st.Calls) != 1 {
		p.Errorf("calls %+v, want only the one", st.Calls)
	}
	one.hangUp()
}
