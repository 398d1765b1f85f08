package e2e

import (
	"bytes"
	"os"
	"strings"
	"time"

	"parklamp/cmd/internal/site"
)

// said counts the lines of a log that hold a text.
func said(a *site.Appliance, text string) int {
	b, err := os.ReadFile(a.Log)
	if err != nil {
		return 0
	}
	return bytes.Count(b, []byte(text))
}

// logged waits until the log of an appliance has a text.
func (p *place) logged(a *site.Appliance, text string) {
	p.Helper()
	p.loggedAt(a, time.Time{}, text)
}

// loggedAt waits until the log of an appliance has a line with a text that came after a moment, and returns its time.
func (p *place) loggedAt(a *site.Appliance, after time.Time, text string) time.Time {
	p.Helper()
	after = after.Truncate(time.Millisecond) // as the log has it
	for began := time.Now(); time.Since(began) < limit; {
		log, err := os.ReadFile(a.Log)
		if err != nil {
			p.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			if !strings.Contains(line, text) {
				continue
			}
			stamp, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			if at, err := time.Parse(time.RFC3339, stamp); err == nil && !at.Before(after) {
				return at
			}
		}
		select {
		case <-time.After(20 * time.Millisecond): // a file tells nobody that it grew
		case <-p.Context().Done():
			p.FailNow()
		}
	}
	p.Fatalf("%s has not logged %s within %v", a.Name, text, limit)
	return time.Time{}
}
