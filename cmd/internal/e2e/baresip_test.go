package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/moh"
	"parklamp/media/wav"
	"parklamp/parkd/panel"
)

// softphone is baresip: a phone of somebody else's make, with a voice of its own and a recording of what it hears.
type softphone struct {
	*peer.Baresip
	p    *place
	uri  string
	says []int16
	wide bool // its recording is at 16 kHz
}

// clerk is what a softphone says where it is not the caller: nothing that anybody else says.
func clerk() []int16 {
	pcm := speech.Worker()
	slices.Reverse(pcm)
	return pcm
}

// softphone starts baresip.
func (p *place) softphone(user string, says []int16) *softphone {
	p.Helper()
	return p.registeredSoftphone(user, says, peer.BaresipOptions{})
}

// registeredSoftphone starts baresip with an account at a registrar.
func (p *place) registeredSoftphone(user string, says []int16, o peer.BaresipOptions) *softphone {
	p.Helper()
	o.Dir = p.T.TempDir()
	o.User = user
	o.Speech = filepath.Join(o.Dir, "says.wav")
	// baresip ends a call when its file ends.
	pcm, rate := slices.Repeat(says, 10), 8000
	if o.Wide {
		pcm, rate = widened(pcm, callerTone), 16000
	}
	if err := wav.WriteFile(o.Speech, pcm, rate); err != nil {
		p.Fatal(err)
	}
	b, err := peer.StartBaresip(p.Context(), o)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		b.Stop()
		if p.Failed() {
			p.Logf("baresip %s:\n%s", user, b.Output())
		}
	})
	return &softphone{Baresip: b, p: p, uri: fmt.Sprintf("sip:%s@%s", user, b.Addr()), says: says, wide: o.Wide}
}

// do runs a command of baresip.
func (s *softphone) do(command, params string) {
	s.p.Helper()
	if err := s.Command(command, params); err != nil {
		s.p.Fatal(err)
	}
}

// sees waits for an event of baresip, which it must not have told of before.
func (s *softphone) sees(event string) peer.BaresipEvent {
	s.p.Helper()
	ctx, cancel := context.WithTimeout(s.p.Context(), limit)
	defer cancel()
	e, err := s.Await(ctx, event)
	if err != nil {
		s.p.Fatal(err)
	}
	return e
}

// dials calls and waits for the answer.
func (s *softphone) dials(uri string) {
	s.p.Helper()
	s.do("dial", uri)
	s.sees("CALL_ESTABLISHED")
}

// hears waits until the recording holds something new that is like ref.
func (s *softphone) hears(ref []int16) {
	s.p.Helper()
	s.p.listen(s.ear(ref))
}

func (s *softphone) ear(ref []int16) ear { return growingOf("baresip "+s.uri, s.narrow, ref) }

// growingOf is the ear of somebody whose whole recording can be had.
func growingOf(who string, whole func() []int16, ref []int16) ear {
	skip, begin := len(whole()), time.Time{}
	return recordingOf(who, func(from time.Time) []int16 {
		pcm := whole()
		if !begin.IsZero() && from != begin { // the next attempt
			skip = len(pcm)
		}
		begin = from
		return pcm[min(skip, len(pcm)):]
	}, ref)
}

// talksWith checks the audio between a softphone and a desk phone, both ways.
func (s *softphone) talksWith(a *site.Appliance) {
	s.p.Helper()
	s.p.listen(handsetOf(a, s.says), s.ear(speech.Worker()))
}

// uri names a user at an appliance.
func uri(user string, a *site.Appliance) string { return fmt.Sprintf("sip:%s@%s", user, a.Addr) }

// in is the same site in a subtest.
func (p *place) in(t *testing.T) *place {
	other := *p
	other.T = t
	return &other
}

func (s *softphone) in(p *place) *softphone {
	other := *s
	other.p = p
	return &other
}

// fetch lifts a handset and presses an orbit's key.
func (p *place) fetch(a *site.Appliance, orbit string) {
	p.Helper()
	p.hook(a, true)
	p.press(a, "orbit-"+orbit)
	p.talking(a)
}

// parked brings a caller of SIPp from address .last to dock-1, where the worker parks him by the Park key; orbit is where
// he has to be then.
func (p *place) parked(last int, orbit string) *outside {
	p.Helper()
	o := p.call(p.dock1(), "201", last, "caller")
	p.answer(p.dock1())
	p.press(p.dock1(), "park")
	p.everywhere(orbit, "parked-here", "parked-elsewhere")
	p.hook(p.dock1(), false)
	return o
}

// talksWithCaller checks the audio between a softphone and an outside caller, both ways.
func (s *softphone) talksWithCaller(o *outside) {
	s.p.Helper()
	s.p.listen(recordingOf("the caller", o.Audio, s.says), s.ear(speech.Caller()))
}

// hearsMusic is the ear of a parked caller.
func hearsMusic(o *outside) ear {
	return recordingOf("the parked caller", o.Audio, moh.BuiltIn().Samples())
}

// sent is how many RTP packets an appliance has sent to the first of its calls.
func (p *place) sent(a *site.Appliance) uint64 {
	p.Helper()
	return p.await(a, "call", func(st panel.Status) bool { return len(st.Calls) > 0 }).Calls[0].Media.Sent
}

// TestBaresipIsTheCaller parks and fetches a call of baresip, over UDP and over TCP.
func TestBaresipIsTheCaller(t *testing.T) {
	t.Parallel()
	whole := newPlace(t, "")
	phone := whole.softphone("caller", speech.Caller())

	t.Run("fetcher hangs up", func(t *testing.T) {
		p := whole.in(t)
		b := phone.in(p)
		b.do("dial", uri("201", p.dock1()))
		p.answer(p.dock1())
		b.talksWith(p.dock1())
		p.press(p.dock1(), "park")
		p.everywhere("701", "parked-here", "parked-elsewhere")
		p.hook(p.dock1(), false)
		b.hears(moh.BuiltIn().Samples())
		p.fetch(p.dock2(), "701")
		p.everywhere("701", "free")
		b.talksWith(p.dock2())
		p.hook(p.dock2(), false)
		b.sees("CALL_CLOSED")
		p.idle(p.Appliances...)
	})

	t.Run("caller hangs up, over TCP", func(t *testing.T) {
		p := whole.in(t)
		b := phone.in(p)
		b.do("dial", uri("201", p.dock1())+";transport=tcp")
		p.answer(p.dock1())
		p.press(p.dock1(), "park")
		p.everywhere("701", "parked-here", "parked-elsewhere")
		p.hook(p.dock1(), false)
		p.fetch(p.dock2(), "701")
		b.talksWith(p.dock2())
		b.do("hangup", "")
		p.idle(p.Appliances...)
		p.everywhere("701", "free")
	})

	t.Run("hold and resume by the caller", func(t *testing.T) {
		p := whole.in(t)
		b := phone.in(p)
		b.do("dial", uri("201", p.dock1()))
		p.answer(p.dock1())
		p.press(p.dock1(), "park")
		p.everywhere("701", "parked-here", "parked-elsewhere")
		p.hook(p.dock1(), false)
		p.fetch(p.dock2(), "701")
		for range 2 {
			b.do("hold", "")
			p.handset(p.dock2(), moh.BuiltIn().Samples())
			sent := p.sent(p.dock1())
			b.do("resume", "")
			p.handset(p.dock2(), speech.Caller())
			// Its recording has ended with the hold: baresip 1.0 does not go on with it.
			if now := p.sent(p.dock1()); now < sent+25 {
				t.Errorf("dock-1 has sent %d packets to the caller since the call was resumed, want at least 25", now-sent)
			}
		}
		b.do("hangup", "")
		p.idle(p.Appliances...)
	})
}

// TestBaresipIsAPhone lets baresip fetch by dialling and park by REFER. Attended transfer is not tried: baresip 1.0 has
// neither the command nor Replaces.
func TestBaresipIsAPhone(t *testing.T) {
	t.Parallel()
	whole := newPlace(t, "")
	phone := whole.softphone("clerk", clerk())

	t.Run("fetches at the host and parks on an orbit", func(t *testing.T) {
		p := whole.in(t)
		b := phone.in(p)
		o := p.parked(11, "701")
		b.dials(uri("701", p.dock1()))
		p.everywhere("701", "free")
		b.talksWithCaller(o)

		b.do("transfer", uri("702", p.dock1()))
		p.everywhere("702", "parked-here", "parked-elsewhere")
		b.sees("CALL_CLOSED")
		p.music(o)
		for _, a := range p.Appliances {
			st := p.await(a, "parker", func(st panel.Status) bool { return st.Orbits[1].Parker.Number == "clerk" })
			if got := st.Orbits[1].Caller.Number; got != "5550011" {
				t.Errorf("%s shows the caller %q, want 5550011", a.Name, got)
			}
		}
		p.fetch(p.office(), "702")
		p.everywhere("702", "free")
		p.conversation(p.office(), o)
		p.hook(p.office(), false)
		o.ended()
		p.idle(p.Appliances...)
	})

	t.Run("fetches at another appliance and parks by code", func(t *testing.T) {
		p := whole.in(t)
		b := phone.in(p)
		o := p.parked(12, "701")
		b.dials(uri("701", p.dock2()) + ";transport=tcp")
		p.everywhere("701", "free")
		b.talksWithCaller(o)

		b.do("transfer", uri("*68", p.dock2()))
		p.everywhere("701", "parked-elsewhere", "parked-here", "parked-elsewhere")
		b.sees("CALL_CLOSED")
		p.music(o)
		p.fetch(p.dock1(), "701")
		p.conversation(p.dock1(), o)
		p.hook(p.dock1(), false)
		o.ended()
		p.idle(p.Appliances...)
	})

	// A proxy lets them pass each other, and baresip behind it was told that the orbit is taken by its own fetch.
	t.Run("asks to park before its ACK comes", func(t *testing.T) {
		p := whole.in(t)
		o := p.parked(15, "701")
		p.call(p.dock1(), "701", 16, "refer-first").ended()
		p.everywhere("705", "parked-here", "parked-elsewhere")
		p.await(p.dock1(), "parker", func(st panel.Status) bool { return st.Orbits[4].Parker.Number == "5550016" })
		p.fetch(p.dock1(), "705")
		p.hook(p.dock1(), false)
		o.ended()
		p.idle(p.Appliances...)
	})

	// A worse phone could hardly be found: it hangs up when its transfer is refused. Nobody else has the caller then.
	t.Run("parks where somebody is parked", func(t *testing.T) {
		p := whole.in(t)
		b := phone.in(p)
		first := p.parked(13, "701")
		second := p.parked(14, "702")
		b.dials(uri("702", p.dock1()))
		p.everywhere("702", "free")
		b.do("transfer", uri("701", p.dock1()))
		if e := b.sees("TRANSFER_FAILED"); !strings.Contains(e.Param, "486") {
			t.Errorf("baresip was told %q, want 486", e.Param)
		}
		p.everywhere("701", "queued")
		st := p.await(p.dock1(), "two calls", func(st panel.Status) bool { return len(st.Orbits[0].Calls) == 2 })
		if got := st.Orbits[0].Calls[1].Parker.Number; got != "clerk" { // who is rung when nobody fetches
			t.Errorf("the second call was parked by %q, want clerk", got)
		}
		p.listen(hearsMusic(first), hearsMusic(second))
		p.fetch(p.dock2(), "701")
		p.everywhere("701", "parked-here", "parked-elsewhere")
		p.conversation(p.dock2(), first)
		p.hook(p.dock2(), false)
		first.ended()
		p.fetch(p.office(), "701")
		p.conversation(p.office(), second)
		p.hook(p.office(), false)
		second.ended()
		p.idle(p.Appliances...)
	})
}
