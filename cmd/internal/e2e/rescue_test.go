package e2e

import (
	"testing"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/media/moh"
	"parklamp/parkd/panel"
)

// rescuedBy waits until one of some appliances has the call on an orbit that another one parked, and returns it.
func (p *place) rescuedBy(orbit string, others ...*site.Appliance) *site.Appliance {
	p.Helper()
	st := p.await(others[0], "the call on "+orbit+" at another host", func(st panel.Status) bool {
		o := orbitOf(st, orbit)
		return len(o.Calls) == 1 && o.State != panel.StateUnknown && o.Host != "dock-1"
	})
	for _, a := range p.Appliances {
		if a.Name == orbitOf(st, orbit).Host {
			return a
		}
	}
	p.Fatalf("nobody is %q", orbitOf(st, orbit).Host)
	return nil
}

// TestRescueOfALinphone kills the host of a parked linphone for good. One of the others goes on with the call.
func TestRescueOfALinphone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	l := p.linphone("yard")
	l.calls(uri("*68701", p.dock1()))
	p.everywhere("701", "parked-here", "parked-elsewhere")
	since := p.since(p.dock2())

	killed := time.Now()
	if err := p.dock1().Kill(); err != nil {
		t.Fatal(err)
	}
	host := p.rescuedBy("701", p.dock2(), p.office())
	t.Logf("%s has the call %v after the kill", host.Name, time.Since(killed).Round(time.Millisecond))
	if at := p.since(host); !at.Equal(since) {
		t.Errorf("parked since %v, before the kill %v", at, since)
	}
	p.listen(growingOf("linphone", l.Heard, moh.BuiltIn().Samples()))
	p.await(host, "RTP of linphone", func(st panel.Status) bool { return len(st.Calls) == 1 && st.Calls[0].Media.Received > 50 })
}
