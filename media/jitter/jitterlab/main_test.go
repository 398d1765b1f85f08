package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
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

func TestLogHasARowForEachTick(t *testing.T) {
	log := t.TempDir() + "/log.csv"
	if err := run(traceFile(t), log, "-50"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if lines[0] != "# jblog=1 buffer=parklamp rx_skew_ppm=-50 mode=ticks" {
		t.Errorf("header %q", lines[0])
	}
	what := map[string]int{}
	for i, l := range lines[1:] {
		f := strings.Split(l, ",")
		if len(f) != 3 || f[0] != fmt.Sprint(i) {
			t.Fatalf("row %d is %q", i, l)
		}
		if f[2] != "conceal" && f[2] != "silence" {
			f[2] = "played"
		}
		what[f[2]]++
	}
	if n := len(lines) - 1; n < 595 || n > 605 {
		t.Errorf("%d rows; want one for each tick until 2 s after the last arrival", n)
	}
	// One frame may go to shorten the delay of the beginning.
	if what["played"] < 498 || what["conceal"] != 1 {
		t.Errorf("%v; want 499 played, or one less, and the lost one concealed", what)
	}
}

func TestBadTraceNamesTheLine(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprint(z, "# name=x\n1,160,0,1\nx,y,z,1\n")
	z.Close()
	if _, err := read(&b); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("error %v does not name line 3", err)
	}
}
