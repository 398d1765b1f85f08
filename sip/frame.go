package sip

import (
	"bytes"
	"errors"
	"strconv"
)

var (
	errNoLength  = errors.New("sip: message on a stream without Content-Length")
	errBadLength = errors.New("sip: Content-Length is not a number")
	errHeadLarge = errors.New("sip: header section too large")
	errBodyLarge = errors.New("sip: body too large")
)

// framer cuts a byte stream into messages (RFC 3261 §18.3). sipgo's stream
// parser loses its place after a malformed header; this one needs only the end
// of the header section and Content-Length, so the next message is still found.
type framer struct {
	max int // bytes of the largest message
	buf []byte
}

func (f *framer) add(b []byte) { f.buf = append(f.buf, b...) }

// partial reports whether a message has begun.
func (f *framer) partial() bool { return len(f.buf) > 0 }

// next returns the next whole message, or nil when more bytes are needed, and
// how many keep-alive pings (double CRLF) came before it. After an error the
// stream cannot be followed; the message is then the header section, if whole.
// The message is valid until the next add.
func (f *framer) next() (msg []byte, pings int, err error) {
	for {
		if bytes.HasPrefix(f.buf, []byte("\r\n\r\n")) {
			pings++
			f.buf = f.buf[4:]
			continue
		}
		// A lone CRLF before a start line is ignored, RFC 3261 §7.5; wait for
		// what follows it, it may be half a ping.
		if len(f.buf) > 2 && f.buf[0] == '\r' && f.buf[1] == '\n' && f.buf[2] != '\r' {
			f.buf = f.buf[2:]
			continue
		}
		break
	}
	if len(f.buf) <= 3 && len(bytes.Trim(f.buf, "\r\n")) == 0 {
		return nil, pings, nil
	}
	end := bytes.Index(f.buf, []byte("\r\n\r\n"))
	if end < 0 {
		if len(f.buf) > f.max {
			return nil, pings, errHeadLarge
		}
		return nil, pings, nil
	}
	head := f.buf[:end+4]
	if len(head) > f.max {
		return head, pings, errHeadLarge
	}
	length, err := contentLength(head)
	if err != nil {
		return head, pings, err
	}
	if length > f.max-len(head) {
		return head, pings, errBodyLarge
	}
	total := len(head) + length
	if len(f.buf) < total {
		return nil, pings, nil
	}
	msg = f.buf[:total:total]
	f.buf = f.buf[total:]
	return msg, pings, nil
}

// contentLength reads the length out of a header section.
func contentLength(head []byte) (int, error) {
	for line := range bytes.Lines(head) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		name = bytes.TrimSpace(name)
		if !bytes.EqualFold(name, []byte("Content-Length")) && !bytes.EqualFold(name, []byte("l")) {
			continue
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 31)
		if err != nil {
			return 0, errBadLength
		}
		return int(n), nil
	}
	return 0, errNoLength
}
