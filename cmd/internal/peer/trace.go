package peer

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Message is one SIP message that SIPp sent or received.
type Message struct {
	At   time.Time // by SIPp's clock
	Sent bool
	Text string // with line ends of one character
}

// StartLine is the request line or the status line.
func (m Message) StartLine() string {
	line, _, _ := strings.Cut(m.Text, "\n")
	return line
}

// Header is the value of the first header of that name, "" without one.
func (m Message) Header(name string) string {
	head, _, _ := strings.Cut(m.Text, "\n\n")
	for line := range strings.Lines(head) {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Body is what follows the headers.
func (m Message) Body() string {
	_, body, _ := strings.Cut(m.Text, "\n\n")
	return body
}

// Status is the code of a response, 0 of a request.
func (m Message) Status() int {
	rest, ok := strings.CutPrefix(m.StartLine(), "SIP/2.0 ")
	if !ok {
		return 0
	}
	code, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(code)
	return n
}

// Method is that of a request, or that which a response answers.
func (m Message) Method() string {
	if m.Status() == 0 {
		method, _, _ := strings.Cut(m.StartLine(), " ")
		return method
	}
	_, method, _ := strings.Cut(m.Header("CSeq"), " ")
	return method
}

// rule is what SIPp writes before each message, followed by the time.
const rule = "-----------------------------------------------"

// Trace returns the messages that SIPp has logged so far, in order; one that is still being written is left out.
func (s *SIPp) Trace() ([]Message, error) {
	data, err := os.ReadFile(s.Messages())
	if err != nil && !os.IsNotExist(err) { // SIPp makes it with the first message
		return nil, err
	}
	return parseTrace(string(data))
}

func parseTrace(log string) ([]Message, error) {
	var all []Message
	for part := range strings.SplitSeq(log, rule+" ") {
		stamp, rest, _ := strings.Cut(part, "\n")
		about, text, ok := strings.Cut(rest, "\n\n")
		if !ok {
			continue // what is before the first, or half a one
		}
		at, err := time.ParseInLocation("2006-01-02 15:04:05.000000", strings.TrimSpace(stamp), time.Local)
		if err != nil {
			return nil, fmt.Errorf("message log of sipp: %w", err)
		}
		if whole(text) {
			all = append(all, Message{at, strings.Contains(about, "message sent"), strings.ReplaceAll(text, "\r\n", "\n")})
		}
	}
	return all, nil
}

// whole reports whether the log has all of a message.
func whole(text string) bool {
	head, body, ok := strings.Cut(text, "\r\n\r\n")
	if !ok {
		return false
	}
	length := Message{Text: strings.ReplaceAll(head, "\r\n", "\n")}.Header("Content-Length")
	n, err := strconv.Atoi(length)
	return length == "" || err == nil && len(body) >= n
}

// Poke sends a request to SIPp within a call: scenarios wait for one to know that it is time to act. Calls count from 1.
func (s *SIPp) Poke(method string, call int) error {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.local))
	if err != nil {
		return err
	}
	defer c.Close()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s sip:poke@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKpoke%d\r\n", method, s.local, c.LocalAddr(), time.Now().UnixNano())
	fmt.Fprintf(&b, "From: <sip:test@%s>;tag=poke\r\nTo: <sip:poke@%s>\r\n", c.LocalAddr(), s.local)
	fmt.Fprintf(&b, "Call-ID: %s\r\nCSeq: 1 %s\r\nMax-Forwards: 1\r\nContent-Length: 0\r\n\r\n", s.CallID(call), method)
	_, err = c.Write(b.Bytes())
	return err
}

// CallID is the Call-ID of a call of this run; calls count from 1.
func (s *SIPp) CallID(call int) string {
	return fmt.Sprintf("%d-%d@%s", call, s.cmd.Process.Pid, s.local.Addr())
}
