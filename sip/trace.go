package sip

import (
	"bytes"
	"context"
	"log/slog"
)

// trace logs the first line of a message at level debug, with the method of a response. Headers and bodies stay out of
// the log: they hold digest responses and what people said.
func (e *Endpoint) trace(did string, f flow, message []byte) {
	if !e.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	line, rest, _ := bytes.Cut(message, []byte("\r\n"))
	if len(line) == 0 {
		return // keep-alive
	}
	text := string(line)
	if bytes.HasPrefix(line, []byte("SIP/2.0 ")) {
		text = string(line[len("SIP/2.0 "):]) + " to " + cseqMethod(rest)
	}
	e.log.Debug("sip "+did, "line", text, "peer", f.remote().String(), "transport", f.kind())
}

// cseqMethod reads the method out of the CSeq header.
func cseqMethod(head []byte) string {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(bytes.TrimSpace(name), []byte("CSeq")) {
			if fields := bytes.Fields(value); len(fields) == 2 {
				return string(fields[1])
			}
		}
	}
	return "?"
}
