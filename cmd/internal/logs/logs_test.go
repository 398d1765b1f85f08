package logs

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var then = time.Date(2026, 11, 22, 4, 5, 6, 789000, time.UTC)

func TestBookIsBounded(t *testing.T) {
	b := NewBook(1000)
	w := b.Writer("x", func() time.Time { return then })
	for i := range 100 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	last := b.Last(1000)
	if len(last) == 0 || len(last) > 10 || last[len(last)-1].Text != "line 99" {
		t.Errorf("%d lines, the last %+v", len(last), last[len(last)-1])
	}
}

func TestWriterCutsLines(t *testing.T) {
	b := NewBook(1 << 20)
	w := b.Writer("phoned", func() time.Time { return then })
	for _, part := range []string{"time=x level=WA", "RN msg=a\nlevel=ERROR msg=b\n\n", strings.Repeat("z", 3*maxLine), "\nnot \xff utf8\r\n", "no end"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Error(n, err)
		}
	}
	var got []string
	for _, l := range b.Last(10) {
		got = append(got, fmt.Sprint(l.Severity, " ", len(l.Text), " ", l.Text[:min(12, len(l.Text))]))
	}
	want := "4 23 time=x level|3 17 level=ERROR |6 1024 zzzzzzzzzzzz|6 10 not ? utf8"
	if strings.Join(got, "|") != want {
		t.Errorf("%s, want %s", strings.Join(got, "|"), want)
	}
}

// RFC 5424 §6.5 has the form.
func TestFormat(t *testing.T) {
	got := format(Line{At: then, Program: "phoned", PID: 12, Severity: Warning, Text: "a\x00b \u00e4"}, "dock-1")
	if want := "<132>1 2026-11-22T04:05:06.000789Z dock-1 phoned 12 - - \ufeffa b \u00e4"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := format(Line{Program: "a b", Severity: Info, Text: strings.Repeat("x", 5000)}, ""); !strings.HasPrefix(got, "<134>1 - - ab - - - ") || len(got) > maxPacket {
		t.Errorf("%.40q, %d bytes", got, len(got))
	}
}

// Who comes when too many lines wait is counted, and the server is told.
func TestSyslogTellsOfLosses(t *testing.T) {
	s := NewSyslog("192.0.2.9:514", "dock-1")
	for range queue + 44 {
		s.Send(Line{Program: "phoned", Severity: Info, Text: "up"})
	}
	for i := range queue + 1 {
		want := "up"
		if i == queue {
			want = "44 lines were lost here"
		}
		if line, _ := s.next(t.Context()); !strings.HasSuffix(line, want) {
			t.Fatalf("line %d: %q, want %s", i, line, want)
		}
	}
	s.Send(Line{Text: "down"})
	if line, _ := s.next(t.Context()); !strings.HasSuffix(line, "down") || len(s.lines) > 0 {
		t.Errorf("then: %q", line)
	}
}
