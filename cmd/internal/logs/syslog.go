package logs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	facility  = 16               // local0. RFC 5424 §6.2.1
	queue     = 256              // lines waiting to be sent; more are dropped, and the server is told how many
	maxPacket = 1400             // RFC 5426 §3.2: a receiver takes 480 bytes at least, 2048 well; no fragments on Ethernet
	redial    = 10 * time.Second // between two tries to reach the server's address
)

// Syslog sends lines to a server.
type Syslog struct {
	server, host string       // immutable
	lines        chan string  // capacity queue; full: dropped and counted
	dropped      atomic.Int64 // that the server does not know of
}

// NewSyslog makes a sender to a server, as "192.0.2.9:514", in the name of a host. Nothing is sent before Run.
func NewSyslog(server, host string) *Syslog {
	return &Syslog{server: server, host: host, lines: make(chan string, queue)}
}

// Send queues a line. It does not block.
func (s *Syslog) Send(l Line) {
	select {
	case s.lines <- format(l, s.host):
	default:
		s.dropped.Add(1)
	}
}

// Run sends until ctx ends. A server that cannot be reached is tried again; lines meanwhile wait or are dropped.
func (s *Syslog) Run(ctx context.Context) {
	var conn net.Conn
	refused := false
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	for {
		line, more := s.next(ctx)
		if !more {
			return
		}
		for {
			var err error
			if conn == nil {
				conn, err = (&net.Dialer{}).DialContext(ctx, "udp", s.server)
			}
			if err == nil {
				if _, err = conn.Write([]byte(line)); err == nil {
					break
				}
				_ = conn.Close()
			}
			conn = nil
			if errors.Is(err, syscall.ECONNREFUSED) { // tells of the line before: this one has not been sent yet
				refused = !refused
				if refused {
					continue
				}
			}
			select {
			case <-time.After(redial):
			case <-ctx.Done():
				return
			}
		}
		refused = false
	}
}

// next waits for a line. It makes room for one that tells how many had none.
func (s *Syslog) next(ctx context.Context) (line string, more bool) {
	select {
	case line = <-s.lines:
	case <-ctx.Done():
		return "", false
	}
	if n := s.dropped.Load(); n > 0 {
		note := Line{At: time.Now(), Program: "init", Severity: Warning, Text: fmt.Sprintf("%d lines were lost here", n)}
		select {
		case s.lines <- format(note, s.host):
			s.dropped.Add(-n)
		default:
		}
	}
	return line, true
}

// format writes a line as a syslog message. RFC 5424 §6.
func format(l Line, host string) string {
	at := "-" // RFC 5424 §6.2.3: who has no time says so
	if l.At.Year() >= 2020 {
		at = l.At.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	pid := "-"
	if l.PID > 0 {
		pid = strconv.Itoa(l.PID)
	}
	// RFC 5424 §6.4: the BOM says that the message is UTF-8.
	text := fmt.Sprintf("<%d>1 %s %s %s %s - - \ufeff%s", facility<<3|int(l.Severity), at, field(host, 255), field(l.Program, 48), pid,
		strings.Map(printable, l.Text))
	if len(text) > maxPacket {
		text = strings.ToValidUTF8(text[:maxPacket], "")
	}
	return text
}

// field is PRINTUSASCII of a limited length, "-" for nothing. RFC 5424 §6.
func field(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}
