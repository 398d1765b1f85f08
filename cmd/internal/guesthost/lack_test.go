//go:build image

package guesthost

import (
	"testing"
	"time"

	"parklamp/cmd/internal/speech"
	"parklamp/media/moh"
	"parklamp/parkd/panel"
)

// dials checks that the phone is one: handset and keys are answered.
func (p *phone) dials() {
	p.s.Helper()
	ctx := p.s.Context()
	p.must(p.Hook(ctx, true))
	p.await("dial tone", func(st panel.Status) bool { return st.Phone.HookUp && st.Phone.State == "dial-tone" })
	p.tap("5")
	p.await("digit 5", func(st panel.Status) bool { return st.Phone.Digits == "5" })
	p.must(p.Hook(ctx, false))
	p.await("idle", func(st panel.Status) bool { return st.Phone.State == "idle" })
}

// faulty looks for the lit fault lamp.
func (p *phone) faulty() {
	p.s.Helper()
	seen, err := p.Watch(p.s.Context(), "fault", 2*time.Second)
	p.must(err)
	for _, c := range seen {
		if c.Red {
			return
		}
	}
	p.s.Errorf("%s: the fault lamp is dark: %+v", p.Name, seen)
}

// TestNoNetwork boots without a network interface.
func TestNoNetwork(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1"}, number: "201", last: 11, bare: true})
	p.ready()
	p.says("sip.")
	p.faulty()
	p.dials()
}

// TestNoSoundCard boots without one: calls come and are parked, the fault is told.
func TestNoSoundCard(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1", Args: "snd_aloop.enable=0"}, number: "201", last: 11})
	p.ready()
	p.says("audio.card")
	p.faulty()
	p.dials()
	c := s.parks(p, "701")
	c.connected()
	s.hears(c.ear(), "music", moh.BuiltIn().Samples())
	c.hangsUp()
}

// TestNoClock boots in 1970, without anybody who knows the time: parking does not need it.
func TestNoClock(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1", Epoch: true}, number: "201", last: 11})
	p.ready()
	p.dials()
	c := s.parks(p, "701")
	c.connected()
	s.hears(c.ear(), "music", moh.BuiltIn().Samples())
	ctx := t.Context()
	p.must(p.Say(ctx, speech.Worker()))
	p.must(p.Hook(ctx, true))
	p.await("dial tone", func(st panel.Status) bool { return st.Phone.State == "dial-tone" })
	p.tap("orbit-701")
	p.await("talking", func(st panel.Status) bool { return st.Phone.State == "talking" })
	s.hears(c.ear(), "the worker", speech.Worker())
	c.hangsUp()
}

// TestFullDisk fills the data partition, pulls the plug and boots again: calls are parked all the same, and the fault is told.
func TestFullDisk(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1"}, number: "201", last: 11})
	p.ready()
	size, err := p.Fill(t.Context(), "/data/full")
	p.must(err)
	t.Logf("the data partition is full after %.1f MB", float64(size)/mb)
	p.PullPlug()
	p = s.again(p)
	p.ready()
	p.dials()
	c := s.parks(p, "701")
	c.connected()
	s.hears(c.ear(), "music", moh.BuiltIn().Samples())
	st, err := p.api.Status(t.Context())
	p.must(err)
	t.Logf("health with a full disk: %+v", st.Health)
	p.must(p.Remove(t.Context(), "/data/full"))
	c.hangsUp()
}
