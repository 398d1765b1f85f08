package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLastSeen: an update whose sources are younger than the guess of a board without a clock does not make its clock leap.
func TestLastSeen(t *testing.T) {
	folder := t.TempDir()
	image, kept, journal := filepath.Join(folder, "image"), filepath.Join(folder, "clock"), filepath.Join(folder, "journal")
	calls := filepath.Join(journal, "calls")
	if err := os.Mkdir(journal, 0o700); err != nil {
		t.Fatal(err)
	}
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	write := func(file string, text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	want := func(at time.Time) {
		t.Helper()
		if got := lastSeen(image, kept, journal, day(30)); !got.Equal(at) {
			t.Errorf("the clock begins at %v, want %v", got, at)
		}
	}
	write(image, day(20).Format(time.RFC3339), day(1))
	want(day(20))
	write(calls, "", day(8)) // a card that has lost the time
	want(day(8))
	write(kept, day(10).Format(time.RFC3339), day(1))
	want(day(10))
	write(calls, "", day(10).Add(9*time.Minute))
	want(day(10).Add(9 * time.Minute))
	write(calls, "", day(11)) // phoned would have it so
	want(day(10))
	// A time server has lied once, and all that was written then is of no time that can be.
	write(kept, time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339), day(1))
	want(day(11))
	write(calls, "", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
	want(day(20))
	write(calls, "", time.Date(1962, 11, 25, 0, 0, 0, 0, time.UTC)) // the same year in 32 bits
	want(day(20))
}

// TestLatestTime: no time is taken from anybody at which the system is older than it can become.
func TestLatestTime(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	if got := latestTime(image); !got.Equal(farFuture) {
		t.Error(got)
	}
	if err := os.WriteFile(image, []byte("2026-11-20T00:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := latestTime(image); !got.Equal(time.Date(2046, 11, 20, 0, 0, 0, 0, time.UTC)) {
		t.Error(got)
	}
}
