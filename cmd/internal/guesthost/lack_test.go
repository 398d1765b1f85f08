//go:build image

package guesthost

import (
	"testing"
	"time"

	"parklamp/cmd/internal/speech"
	"parklamp/media"
	"parklamp/media/mediatest"
	"parklamp/media/moh"
	"parklamp/media/prompt"
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

// ails checks what the phone says of itself: a condition, its fault lamp, and words above the dial tone of who lifts the handset; by their
// sound where the guest's clock is steady.
func (p *phone) ails(code string, ailment prompt.Ailment) {
	p.s.Helper()
	p.says(code)
	p.faultLamp()
	ctx, words := p.s.Context(), prompt.Attention(ailment)
	_, err := p.Heard(ctx) // from now on
	p.must(err)
	p.must(p.Hook(ctx, true))
	p.await(words.Text(), func(st panel.Status) bool { return st.Phone.State == "dial-tone" && st.Phone.Prompt == words.Text() })
	if p.clock == Steady {
		p.complains(ailment)
	}
	p.must(p.Hook(ctx, false))
	p.await("idle", func(st panel.Status) bool { return st.Phone.State == "idle" })
}

// complains checks that the words come out of the earpiece, above the dial tone.
func (p *phone) complains(ailment prompt.Ailment) {
	p.s.Helper()
	words := prompt.Attention(ailment)
	said, heard := spoken(words), []int16(nil)
	for began := time.Now(); time.Since(began) < limit && len(heard) < len(said)+2*media.SampleRate; time.Sleep(100 * time.Millisecond) {
		pcm, err := p.Heard(p.s.Context())
		p.must(err)
		heard = append(heard, pcm...)
	}
	score, _ := mediatest.Match(aboveTone(heard), aboveTone(said))
	p.s.Logf("%s says %q, heard above the dial tone (likeness %.2f)", p.Name, words.Text(), score)
	if score < mediatest.Same {
		p.s.keep(p.Name+" complains.wav", heard)
		p.s.Errorf("%s: the words %q are not heard", p.Name, words.Text())
	}
}

// faultLamp checks that the fault lamp is red half of the time.
func (p *phone) faultLamp() {
	p.s.Helper()
	p.blinks("fault", 4*time.Second, 0, 0.5)
}

// aboveTone is what is left of words with a dial tone below them: the second difference of the sound, which lowers 425 Hz against 2 kHz by 25 dB.
func aboveTone(pcm []int16) []int16 {
	out := make([]int16, max(0, len(pcm)-2))
	for i := range out {
		out[i] = int16(max(-32768, min(32767, int(pcm[i])-2*int(pcm[i+1])+int(pcm[i+2]))))
	}
	return out
}

// spoken is the sound of a phrase.
func spoken(words prompt.Phrase) (pcm []int16) {
	var f media.Frame
	for s := words.Source(); s.Next(&f); {
		pcm = append(pcm, f[:]...)
	}
	return pcm
}

// TestNoNetwork boots without a network interface.
func TestNoNetwork(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1", Clock: Steady}, number: "201", last: 11, bare: true})
	p.ready()
	p.ails("sip.", prompt.NoNetwork)
	p.dials()
}

// TestNoSoundCard boots without one: calls come and are parked, the fault is told.
func TestNoSoundCard(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1", Args: "snd_aloop.enable=0"}, number: "201", last: 11})
	p.ready()
	p.says("audio.card") // by lamp alone
	p.faultLamp()
	p.dials()
	c := s.parks(p, "701")
	c.connected()
	s.hears(c.ear(), "music", moh.BuiltIn().Samples())
	c.hangsUp()
}

// TestNoClock boots in 1970, without anybody who knows the time: parking does not need it. That the phone complains of it after some
// minutes is tested by package wire.
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
	p.worksWithoutDisk("system.data.space")
}

// TestWornCard boots from a card that takes nothing any more: every write is an error. Nothing is kept then but in memory.
func TestWornCard(t *testing.T) {
	s := newSite(t)
	p := s.on(spec{Machine: Machine{Name: "dock-1"}, number: "201", last: 11})
	p.ready()
	p.PullPlug()
	p = s.on(spec{Machine: Machine{Name: p.Name, Card: p.Card, Cable: p.Cable, Worn: true}, number: p.number, last: int(p.MAC)})
	p.ready()
	p.worksWithoutDisk("system.data")
}

// worksWithoutDisk checks that calls are parked and fetched, and that the phone complains of its storage.
func (p *phone) worksWithoutDisk(code string) {
	s, ctx := p.s, p.s.Context()
	s.Helper()
	p.ails(code, prompt.NoStorage)
	p.dials()
	c := s.parks(p, "701")
	c.connected()
	s.hears(c.ear(), "music", moh.BuiltIn().Samples())
	p.must(p.Say(ctx, speech.Worker()))
	p.must(p.Hook(ctx, true))
	p.await("dial tone", func(st panel.Status) bool { return st.Phone.State == "dial-tone" })
	p.tap("orbit-701")
	p.await("talking", func(st panel.Status) bool { return st.Phone.State == "talking" })
	s.hears(c.ear(), "the worker", speech.Worker())
	s.hears(p.ear(), "the caller", speech.Caller())
	c.hangsUp()
	st, err := p.api.Status(ctx)
	p.must(err)
	for _, h := range st.Health {
		s.Logf("health: %s %s: %s (%s)", h.Severity, h.Code, h.Text, h.Hint)
	}
}
