package e2e

import (
	"syscall"
	"testing"

	"parklamp/cmd/internal/site"
	"parklamp/media/moh"
)

// signal stops or continues the process of an appliance, as a machine that swaps or a switch that hangs would.
func (p *place) signal(a *site.Appliance, s syscall.Signal) {
	p.Helper()
	if err := syscall.Kill(a.PID(), s); err != nil {
		p.Fatal(err)
	}
}

// A desk phone fetches from a host that hangs: it is told after the time for a fetch, and the host's late answer
// brings the caller back into an orbit.
func TestFetchFromAHostThatHangs(t *testing.T) {
	p := newPlace(t, "[lot]\nfetch_timeout = \"2s\"\n")
	caller := parkedAt701(p)
	p.hook(p.dock1(), false)
	p.signal(p.dock1(), syscall.SIGSTOP)
	fetcher := p.call(p.office(), "701", 12, "refused")
	fetcher.ended()
	p.signal(p.dock1(), syscall.SIGCONT)
	p.everywhere("701", "parked-elsewhere", "parked-elsewhere", "parked-here")
	p.music(caller)
}

// A fetcher whose ACK comes after the time for a fetch is hung up on, and not left in silence: the caller waits again.
func TestFetcherAcknowledgesTooLate(t *testing.T) {
	p := newPlace(t, "[lot]\nfetch_timeout = \"2s\"\n")
	caller := parkedAt701(p)
	p.hook(p.dock1(), false)
	fetcher := p.call(p.dock1(), "701", 12, "late-ack")
	fetcher.ended()
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.hears("the caller", caller.Talker, moh.BuiltIn().Samples())
}
