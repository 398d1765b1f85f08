package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"parklamp/cmd/internal/site"
)

// How an appliance is told to go, as the first process of an image does it.
const (
	toRestart = syscall.SIGUSR1
	toReboot  = syscall.SIGUSR2
)

// goes ends an appliance politely. When it has waited for its peers up to its bound, it says so: nothing here may make it wait so
// long.
func (p *place) goes(a *site.Appliance, by syscall.Signal) {
	p.Helper()
	began := time.Now()
	if err := a.Go(by); err != nil {
		p.Fatal(err)
	}
	p.Logf("%s went by %v in %v", a.Name, by, time.Since(began).Round(time.Millisecond))
	if said(a, "the peers have not taken over everybody in time") > 0 {
		p.Errorf("%s has waited for its peers in vain", a.Name)
	}
}

// cut ends an appliance as a power cut would.
func (p *place) cut(a *site.Appliance) {
	p.Helper()
	if err := a.Kill(); err != nil {
		p.Fatal(err)
	}
}

// comes starts an appliance that has ended, and waits until it answers.
func (p *place) comes(a *site.Appliance) {
	p.Helper()
	if err := a.Start(); err != nil {
		p.Fatal(err)
	}
	if err := a.AwaitReady(p.Context()); err != nil {
		p.Fatal(err)
	}
}

// kill is a power cut, and the power comes back; change happens between the two.
func (p *place) kill(a *site.Appliance, change func()) {
	p.Helper()
	p.cut(a)
	if change != nil {
		change()
	}
	p.comes(a)
}

// signal stops or continues the process of an appliance, as a machine that swaps or a switch that hangs would.
func (p *place) signal(a *site.Appliance, s syscall.Signal) {
	p.Helper()
	if err := syscall.Kill(a.PID(), s); err != nil {
		p.Fatal(err)
	}
}

// configure changes the file of an appliance.
func (p *place) configure(a *site.Appliance, old, changed string) {
	p.Helper()
	b, err := os.ReadFile(a.Config)
	if err == nil && !bytes.Contains(b, []byte(old)) {
		p.Fatalf("%s has no %q", a.Config, old)
	}
	if err == nil {
		err = os.WriteFile(a.Config, bytes.Replace(b, []byte(old), []byte(changed), 1), 0o644)
	}
	if err != nil {
		p.Fatal(err)
	}
}

func journalOf(a *site.Appliance) string { return filepath.Join(filepath.Dir(a.Config), "journal") }

// stored waits until the journal has each of the texts.
func (p *place) stored(a *site.Appliance, texts ...string) {
	p.Helper()
	for from := time.Now(); ; {
		b, err := os.ReadFile(journalOf(a))
		missing := ""
		for _, text := range texts {
			if !bytes.Contains(bytes.ToLower(b), []byte(text)) {
				missing = text
			}
		}
		if err == nil && missing == "" {
			return
		}
		if time.Since(from) > limit {
			p.Fatalf("the journal of %s has no %q (%v)", a.Name, missing, err)
		}
		<-time.After(10 * time.Millisecond) // a disk tells nobody
	}
}
