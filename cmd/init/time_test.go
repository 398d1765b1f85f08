package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parklamp/cmd/internal/authority"
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
}

// TestLatestTime: no time is taken from anybody at which the appliance's own certificate has ended, or the system is too old.
func TestLatestTime(t *testing.T) {
	folder := t.TempDir()
	image, file := filepath.Join(folder, "image"), filepath.Join(folder, "cert.pem")
	built := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	site, _, err := authority.New("hall", built)
	if err != nil {
		t.Fatal(err)
	}
	until := func(end time.Time) []byte {
		pair, err := site.Issue(authority.Subject{ID: "dock-7", From: built.Add(-time.Hour), Until: end})
		if err != nil {
			t.Fatal(err)
		}
		return pair.Cert
	}
	end, service := built.AddDate(15, 0, 0), built.AddDate(20, 0, 0)
	for name, c := range map[string]struct {
		image       string
		certificate []byte
		want        time.Time
	}{
		"an appliance of a site": {built.Format(time.RFC3339), until(end), end},
		"without its image's":    {"", until(end), end},
		"no identity":            {built.Format(time.RFC3339), nil, service},
		"no certificate":         {built.Format(time.RFC3339), []byte("torn"), service},
		"one that has ended":     {built.Format(time.RFC3339), until(built.Add(-time.Minute)), service},
		"nothing":                {"", nil, farFuture},
	} {
		if err := errors.Join(os.WriteFile(image, []byte(c.image+"\n"), 0o600), os.WriteFile(file, c.certificate, 0o600)); err != nil {
			t.Fatal(err)
		}
		if got := latestTime(image, file); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	none := filepath.Join(folder, "none")
	if got := latestTime(none, none); !got.Equal(farFuture) {
		t.Error(got)
	}
}
