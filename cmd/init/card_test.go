package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/supervise"
)

// A card that does not answer is given up; one that answers, however slowly, is waited for as long as a repair may take.
func TestCardThatHangs(t *testing.T) {
	for _, c := range []struct {
		name  string
		every time.Duration // a read or write is completed; 0: none ever
		takes time.Duration // the card is open
		after time.Duration
		err   error
	}{
		{name: "quick", takes: time.Second / 2, after: time.Second / 2},
		{name: "hangs", takes: time.Hour, after: cardStill, err: errStill},
		{name: "repairs itself", every: cardStill - 2*time.Second, takes: 8 * time.Minute, after: 8 * time.Minute},
		{name: "never ready", every: 10 * time.Second, takes: time.Hour, after: cardMost, err: errEndless},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var late []card
				got, err := unlessStill(func() card { time.Sleep(c.takes); return card{device: "mmcblk0p4"} },
					func(c card) { late = append(late, c) },
					func() string {
						if c.every == 0 {
							return ""
						}
						return fmt.Sprint(time.Since(began) / c.every)
					})
				if took := time.Since(began); took < c.after || took > c.after+time.Second || !errors.Is(err, c.err) || (err == nil) != (got.device != "") {
					t.Errorf("%+v, %v after %v", got, err, took)
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				if (len(late) == 1) != (c.err != nil) {
					t.Errorf("too late: %+v", late)
				}
			})
		})
	}
}

func TestTransfers(t *testing.T) {
	sys := t.TempDir()
	write := func(text string) {
		t.Helper()
		path := filepath.Join(sys, "block/mmcblk0")
		if err := errors.Join(os.MkdirAll(path, 0o755), os.WriteFile(filepath.Join(path, "stat"), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("  11  2  300  4  50  6  70  8  1  90  100\n")
	before := transfers(sys)
	write("  11  2  300  4  50  6  70  8  2  95  120\n") // in flight, and its time
	if is := transfers(sys); is != before || before != "11 50" {
		t.Errorf("%q, then %q", before, is)
	}
	write("  11  2  300  4  51  6  70  8  1  95  120\n")
	if is := transfers(sys); is == before {
		t.Errorf("%q after a write", is)
	}
}

// A file system that e2fsck -p leaves with errors is repaired all the same, keeps what was whole, and the phone tells of it.
func TestDamagedDataIsRepaired(t *testing.T) {
	const fsck = "/sbin/e2fsck" // of e2fsprogs, as are the others; part of every Debian
	run := func(program string, args ...string) string {
		t.Helper()
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
		return string(out)
	}
	dir := t.TempDir()
	journal := filepath.Join(dir, "journal")
	if err := os.WriteFile(journal, bytes.Repeat([]byte("a parked caller\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	make := func(name string, damage ...string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		run("/sbin/mke2fs", "-q", "-t", "ext4", path, "8M")
		for _, request := range append([]string{"write " + journal + " journal", "mkdir lost", "write " + journal + " lost/file"}, damage...) {
			run("/sbin/debugfs", "-w", "-R", request, path)
		}
		return path
	}
	bad := []string{"clri lost", "sif journal links_count 7", "ssv state 2"} // a folder that is gone with what it had in it; found by the kernel
	for _, c := range []struct {
		name, path string
		severity   health.Severity
		told       bool
	}{
		{name: "whole", path: make("whole")},
		{name: "damaged", path: make("damaged", bad...), told: true, severity: health.Warning},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSystem()
			ctx, cancel := context.WithCancel(t.Context())
			ended := runReaper(ctx, s.reaper)
			s.store.repair(ctx, fsck, c.path)
			cancel()
			<-ended
			got, told := s.health.Get("data.repaired")
			if told != c.told || told && got.Severity != c.severity {
				t.Errorf("%+v, %t; %+v", got, told, s.logbook.Last(logLines))
			}
			run(fsck, "-f", "-n", c.path)
			if text := run("/sbin/debugfs", "-R", "cat journal", c.path); strings.Count(text, "a parked caller") != 1000 {
				t.Errorf("the journal has %d bytes", len(text))
			}
		})
	}
	// The lines are those of e2fsck 1.47.0 on a disk with a block that gives EIO.
	for name, c := range map[string]struct {
		script, text, modes string // -y says yes to everything
	}{
		"hopeless":              {script: "exit 4", text: "cannot be repaired", modes: "-p\n-n\n-y\n"},
		"unreadable":            {modes: "-p\n", script: `printf 'Error reading block 101 (Input/output error) while getting next inode from scan.  \n\n'; exit 4`, text: "cannot be read"},
		"unreadable further on": {modes: "-p\n-n\n", script: `[ "$1" = -p ] || printf 'Pass 2: Checking directory structure\nError reading block 67 (Input/output error).  Ignore error? no\n\n'; exit 4`, text: "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSystem()
			ctx, cancel := context.WithCancel(t.Context())
			ended := runReaper(ctx, s.reaper)
			program, modes := filepath.Join(t.TempDir(), "e2fsck"), filepath.Join(t.TempDir(), "modes")
			script := "#!/bin/sh\nprintf '%s\\n' \"$1\" >>" + modes + "\n" + c.script + "\n"
			if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			s.store.repair(ctx, program, "nothing")
			cancel()
			<-ended
			got, _ := s.health.Get("data.damaged")
			if _, repaired := s.health.Get("data.repaired"); got.Severity != health.Error || !strings.Contains(got.Text, c.text) || repaired {
				t.Errorf("%+v, %t", got, repaired)
			}
			if ran, err := os.ReadFile(modes); err != nil || string(ran) != c.modes {
				t.Errorf("ran %q, %v, want %q", ran, err, c.modes)
			}
		})
	}
}

// A text counts however a program's output is cut into pieces.
func TestSoughtInPieces(t *testing.T) {
	s := sought{text: []byte("Error reading")}
	for i, piece := range []string{"Error", " Error rea", "d", "ing block"} {
		if s.found.Load() {
			t.Errorf("found before piece %d", i)
		}
		if n, err := s.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if !s.found.Load() {
		t.Error("never found")
	}
}

func runReaper(ctx context.Context, r *supervise.Reaper) <-chan struct{} {
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	return ended
}
