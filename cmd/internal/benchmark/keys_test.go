package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestKeyEventInALog(t *testing.T) {
	at, ok := parseKeyEvent(`time=2026-03-01T10:00:00.123Z level=DEBUG msg=phone input="key park"` + "\n")
	if want := stampOf(time.Date(2026, 3, 1, 10, 0, 0, 123e6, time.UTC)); !ok || at != want {
		t.Errorf("got %d, %v; want %d", at, ok, want)
	}
	for _, line := range []string{"", `time=2026-03-01T10:00:00Z level=DEBUG msg=phone input="key hold"`, `time=x msg=phone input="key park"`} {
		if _, ok := parseKeyEvent(line); ok {
			t.Errorf("%q: taken", line)
		}
	}
}

func TestArrivalOfTheKernel(t *testing.T) {
	message := func(level, kind int32, data ...uint64) []byte {
		b := make([]byte, unix.CmsgSpace(8*len(data)))
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		h.SetLen(unix.CmsgLen(8 * len(data)))
		h.Level, h.Type = level, kind
		for i, d := range data {
			binary.NativeEndian.PutUint64(b[unix.CmsgLen(0)+8*i:], d)
		}
		return b
	}
	other := message(unix.SOL_IP, unix.IP_TTL, 64)
	stamped := message(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 12, 345)
	const want = stamp(12*time.Second + 345)
	for name, oob := range map[string][]byte{"alone": stamped, "after another": append(bytes.Clone(other), stamped...)} {
		if at, ok := arrival(oob); !ok || at != want {
			t.Errorf("%s: %d, %v", name, at, ok)
		}
	}
	for name, oob := range map[string][]byte{"none": nil, "another": other, "cut off": stamped[:unix.CmsgLen(0)+4], "too short": message(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1)} {
		if at, ok := arrival(oob); ok {
			t.Errorf("%s: taken as %d", name, at)
		}
	}
}

func TestTableIsMarkdown(t *testing.T) {
	var r report
	r.add("A long figure", "ms", "20", "1.00", "")
	r.add("Short, in µs", "µs", "3", "2", "theirs")
	r.note("once %d", 1)
	r.note("once %d", 1)
	var b strings.Builder
	r.print(&b)
	want := "| Figure        | unit | n  | Parklamp | for scale |\n" +
		"|---------------|------|----|----------|-----------|\n" +
		"| A long figure | ms   | 20 | 1.00     | -         |\n" +
		"| Short, in µs  | µs   | 3  | 2        | theirs    |\n"
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("got\n%s", b.String())
	}
	if strings.Count(b.String(), "- once 1\n") != 1 {
		t.Errorf("the note does not stand there once:\n%s", b.String())
	}
}
