package main

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("4242 (odd) name 1) S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20 0 9 0 100 200 300\n"))
	if err != nil || got != 2810*time.Millisecond {
		t.Errorf("got %v, %v; want 2.81 s", got, err)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1 2", "1 (x) S 1 2 3 4 5 6 7 8 9 10 a b"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: taken", bad)
		}
	}
}

func TestParseStatus(t *testing.T) {
	got, err := parseStatus("Name:\tparkd\nVmPeak:\t  999 kB\nVmRSS:\t   15360 kB\nThreads:\t9\n")
	if err != nil || got != (footprint{15, 9}) {
		t.Errorf("got %+v, %v; want 15 MB and 9 threads", got, err)
	}
	for _, bad := range []string{"", "VmRSS:\t1 kB\n", "VmRSS:\tx kB\nThreads:\t9\n", "VmRSS:\t1 kB\nThreads:\tx\n"} {
		if _, err := parseStatus(bad); err == nil {
			t.Errorf("%q: taken", bad)
		}
	}
}

func TestParseBusy(t *testing.T) {
	//                      user nice system idle iowait irq softirq steal guest guest_nice
	got := parseBusy("cpu  100 1 20 9999 500 3 4 5 70 80")
	if want := 133 * tick; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOwnProcessCanBeRead(t *testing.T) {
	u, err := usageOf(os.Getpid())
	if err != nil || u.at.IsZero() {
		t.Errorf("usage %+v, %v", u, err)
	}
	f, err := footprintOf(os.Getpid())
	if err != nil || f.rss < 1 || f.threads < 1 {
		t.Errorf("footprint %+v, %v", f, err)
	}
}

func TestPercentOfACore(t *testing.T) {
	start := time.Now()
	a, b := usage{start, time.Second}, usage{start.Add(4 * time.Second), 3 * time.Second}
	if got := b.percent(a); got != 50 {
		t.Errorf("got %v %%, want 50", got)
	}
	if got := a.percent(a); got != 0 {
		t.Errorf("no time at all: %v %%", got)
	}
}
