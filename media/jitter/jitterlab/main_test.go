package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// traceFile writes 500 packets with 30 ms of delay, one lost, one comfort noise packet at the end.
func traceFile(t *testing.T) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprintln(z, "# name=even set=test clock_rate=8000 ptime_us=20000 rx_skew_ppm=50 tick_phase_us=3000")
	for n := range 500 {
		arrival := fmt.Sprint(n*20000 + 30000)
		switch n {
		case 250:
			arrival = "lost"
		case 499:
			arrival += ",C"
		}
		fmt.Fprintf(z, "%d,%d,%d,%s\n", uint16(65300+n), uint32(n*160), n*20000, arrival)
	}
	z.Close()
	path := t.TempDir() + "/t.csv.gz"
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLogAccountsForAllTime(t *testing.T) {
	log := t.TempDir() + "/log.csv"
	if err := run(traceFile(t), log, "-50"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if lines[0] != "# jblog=1 buffer=parklamp rx_skew_ppm=-50 mode=events" {
		t.Errorf("header %q", lines[0])
	}
	played, concealed := 0, 0
	due := 3000
	for i, l := range lines[2:] {
		f := strings.Split(l, ",")
		at, err := strconv.Atoi(f[1])
		if f[2] == strconv.Itoa((65300+499)%65536) {
			due, played = 0, played+1 // how long comfort noise lasts is not said
			continue
		}
		if err != nil || due > 0 && (at < due-3 || at > due+3) {
			t.Fatalf("row %d is %q; want it at %d", i, l, due)
		}
		note := ""
		if len(f) > 3 {
			note = f[3]
		}
		length := 20000
		switch f[2] {
		case "conceal", "silence":
			fmt.Sscanf(note, "dur_us=%d", &length)
			if f[2] == "conceal" {
				concealed += length
			}
		default:
			played++
			change := 0
			if n, _ := fmt.Sscanf(note, "inserted=%d", &change); n == 1 {
				length += change * 125
			} else if n, _ := fmt.Sscanf(note, "removed=%d", &change); n == 1 {
				length -= change * 125
			}
		}
		due = at + length
	}
	if played < 497 || concealed < 10000 || concealed > 60000 {
		t.Errorf("%d played, %d µs concealed; want 499 played, and little more than the lost one concealed", played, concealed)
	}
	if due < 11_900_000 || due > 12_100_000 {
		t.Errorf("the log ends at %d µs; want 2 s after the last arrival", due)
	}
}

// A tick of the log is a packet's length, whatever that is.
func TestTickIsAPacketLong(t *testing.T) {
	for _, length := range []int{5000, 10000, 20000, 30000, 60000} {
		path := t.TempDir() + "/t.csv"
		text := fmt.Sprintf("# ptime_us=%d tick_phase_us=3000\n", length)
		for n := range 50 {
			text += fmt.Sprintf("%d,%d,%d,%d\n", n, n*length/125, n*length, n*length+30000)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(path, path+".log", ""); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(path + ".log")
		if err != nil {
			t.Fatal(err)
		}
		rows := strings.Split(strings.TrimSpace(string(log)), "\n")[2:]
		for _, row := range rows {
			var tick, at int
			if _, err := fmt.Sscanf(row, "%d,%d", &tick, &at); err != nil {
				t.Fatal(err)
			}
			// What is played is decided at most a packet and what it is stretched by ahead.
			if first := 3000 + tick*length; at < first || at >= first+3*length {
				t.Fatalf("packets of %d µs: row %q; tick %d is at %d", length, row, tick, first)
			}
		}
		if len(rows) < 50 {
			t.Errorf("packets of %d µs: %d rows", length, len(rows))
		}
	}
}

func TestBadTraceNamesTheLine(t *testing.T) {
	path := t.TempDir() + "/t.csv"
	if err := os.WriteFile(path, []byte("# name=x\n1,160,0,1\nx,y,z,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(path, path+".log", ""); err == nil || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), `line 3: seq="x"; 0 to 65535`) {
		t.Errorf("error %v does not name file, line, column and what is allowed", err)
	}
}

func TestBadOptions(t *testing.T) {
	path := traceFile(t)
	for _, skew := range []string{"NaN", "Inf", "-1000000", "-2e6", "1e9", "fast"} {
		if err := run(path, path+".log", skew); err == nil || !strings.Contains(err.Error(), "-skew") || !strings.Contains(err.Error(), "-10000 to 10000 is allowed") {
			t.Errorf("-skew %s: error %v", skew, err)
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := path + ".link"
	if err := os.Symlink(path, other); err != nil {
		t.Fatal(err)
	}
	for _, log := range []string{path, other} {
		if err := run(path, log, ""); err == nil || !strings.Contains(err.Error(), "is the trace itself") {
			t.Errorf("log over the trace: error %v", err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the trace is another now (%v)", err)
	}
}
