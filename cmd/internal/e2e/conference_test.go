package e2e

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/mediatest"
	"parklamp/parkd/panel"
)

// amongOthers is the likeness of one voice in the sum of two as loud: 0.7 where both speak all the time.
const amongOthers = 0.45

// mixture is an ear that hears several recordings at a time. next gives what came since the last call.
func mixture(who string, next func() []int16, refs ...[]int16) ear {
	return func(ctx context.Context) error {
		best := make([]float64, len(refs))
		for {
			select {
			case <-time.After(minimum / 4): // sound takes its time
			case <-ctx.Done():
				return fmt.Errorf("%s does not hear everybody: likeness %.2f, want %.2f of each", who, best, amongOthers)
			}
			pcm := next()
			all := true
			for i, ref := range refs {
				if pcm != nil {
					score, _ := mediatest.Match(pcm, ref)
					best[i] = max(best[i], score)
				}
				all = all && best[i] >= amongOthers
			}
			if all {
				return nil
			}
		}
	}
}

// hearsAll is the guest's ear for several voices at a time.
func (g *guest) hearsAll(refs ...[]int16) ear {
	from := time.Now()
	return mixture("guest "+g.number, func() []int16 {
		pcm := g.Audio(from)
		if len(pcm) < 2*8000 {
			return nil
		}
		from = time.Now()
		return pcm
	}, refs...)
}

// hearingWithout is the guest's ear for one voice when another one is not to be heard with it.
func (g *guest) hearingWithout(ref, not []int16) ear {
	from := time.Now()
	return func(ctx context.Context) error {
		for {
			select {
			case <-time.After(minimum / 4): // sound takes its time
			case <-ctx.Done():
				return fmt.Errorf("guest %s hears somebody who is not to be heard", g.number)
			}
			pcm := g.Audio(from)
			if len(pcm) < 2*8000 {
				continue
			}
			other, _ := mediatest.Match(pcm, not)
			if other <= mediatest.Different && likeness(ref, pcm) >= mediatest.Same {
				return nil
			}
			from = time.Now()
		}
	}
}

// handsetHearsAll is the ear at a desk phone for several voices at a time.
func handsetHearsAll(a *site.Appliance, refs ...[]int16) ear {
	return func(ctx context.Context) error {
		best := make([]float64, len(refs))
		done := false
		var pcm []int16
		err := read(ctx, a, func() error {
			return a.Listen(ctx, func(frame []int16) bool {
				pcm = append(pcm, frame...)
				if len(pcm) < 2*8000 {
					return true
				}
				done = true
				for i, ref := range refs {
					score, _ := mediatest.Match(pcm, ref)
					best[i] = max(best[i], score)
					done = done && best[i] >= amongOthers
				}
				pcm = pcm[:0]
				return !done
			})
		})
		if err == nil && !done {
			err = fmt.Errorf("the handset of %s does not hear everybody: likeness %.2f, want %.2f of each", a.Name, best, amongOthers)
		}
		return err
	}
}

// asLoudAs brings a recording to the level of another, so that neither drowns the other.
func asLoudAs(ref, x []int16) []int16 {
	gain := math.Pow(10, (mediatest.RMS(ref)-mediatest.RMS(x))/20)
	for i, v := range x {
		x[i] = int16(math.Round(gain * float64(v)))
	}
	return x
}

// growingHearsAll is the ear for several voices at a time of somebody whose whole recording can be had.
func growingHearsAll(who string, whole func() []int16, refs ...[]int16) ear {
	skip := len(whole())
	return mixture(who, func() []int16 {
		pcm := whole()
		if len(pcm)-skip < 2*8000 {
			return nil
		}
		part := pcm[skip:]
		skip = len(pcm)
		return part
	}, refs...)
}

// threeWay lets a worker talk to two guests at once, each of whom says something of his own.
func threeWay(p *place) (one, two *guest) {
	p.Helper()
	one = p.visitor(p.dock1(), visit{says: asLoudAs(speech.Worker(), mediatest.Voice(11, speechLength))})
	two = p.guest(p.dock1(), "201", visit{says: asLoudAs(speech.Worker(), mediatest.Melody(12, speechLength))})
	p.await(p.dock1(), "waiting call", func(st panel.Status) bool { return st.Phone.Ring == "waiting" })
	p.press(p.dock1(), "hold")
	two.gets(200)
	p.talking(p.dock1())
	p.hearsMusic(one)
	p.press(p.dock1(), "conference")
	p.phone(p.dock1(), "conference")
	return one, two
}

// conferenceOfThree: each hears both others and not himself; it cannot be parked; Hold holds both; who leaves leaves an
// ordinary call.
func conferenceOfThree(p *place) {
	one, two := threeWay(p)
	worker := speech.Worker()
	all := func() {
		p.Helper()
		p.listen(handsetHearsAll(p.dock1(), one.says, two.says), one.hearsAll(worker, two.says), two.hearsAll(worker, one.says))
	}
	from := time.Now()
	all()
	for _, g := range []*guest{one, two} {
		if own, _ := mediatest.Match(g.Audio(from), g.says); own > mediatest.Different {
			p.Errorf("guest %s hears himself: likeness %.2f", g.number, own)
		}
	}
	st := p.await(p.dock1(), "lamp of the conference", func(st panel.Status) bool { return lamp(st, "conference").Pattern == "active" })
	if st.Phone.Party.Number != two.number || st.Phone.Third.Number != one.number {
		p.Errorf("the panel shows %q and %q, want %s and %s", st.Phone.Party, st.Phone.Third, two.number, one.number)
	}

	p.pressHears(p.dock1(), "park", busy)
	p.press(p.dock1(), "orbit-701")
	for _, a := range p.Appliances {
		if st := p.status(a); len(taken(st)) > 0 {
			p.Errorf("%s: a conference is parked: %v", a.Name, taken(st))
		}
	}
	p.press(p.dock1(), "hold")
	p.phone(p.dock1(), "dial-tone")
	p.hearsMusic(one)
	p.hearsMusic(two)
	p.press(p.dock1(), "hold")
	p.phone(p.dock1(), "conference")
	all()

	one.hangUp()
	p.talking(p.dock1())
	p.talk(p.dock1(), two)
	p.press(p.dock1(), "park") // an ordinary call again
	two.waitsOn("701", p.dock1())
	p.hearsMusic(two)
	p.press(p.dock1(), "park") // and back
	p.talking(p.dock1())
	p.talk(p.dock1(), two)
	p.hook(p.dock1(), false)
	two.ended()
}

// conferenceEnds: the worker hangs up on both.
func conferenceEnds(p *place) {
	one, two := threeWay(p)
	p.hook(p.dock1(), false)
	one.ended()
	two.ended()
}

// TestBaresipInAConference: a phone of another make puts the conference on hold, and is not heard then; afterwards it is.
func TestBaresipInAConference(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	worker := speech.Worker()
	one := p.visitor(p.dock1(), visit{says: asLoudAs(worker, mediatest.Voice(11, speechLength))})
	two := p.softphone("two", asLoudAs(worker, mediatest.Melody(12, speechLength)))
	two.do("dial", uri("201", p.dock1()))
	p.await(p.dock1(), "waiting call", func(st panel.Status) bool { return st.Phone.Ring == "waiting" })
	p.press(p.dock1(), "hold")
	two.sees("CALL_ESTABLISHED")
	p.talking(p.dock1())
	p.press(p.dock1(), "conference")
	p.phone(p.dock1(), "conference")
	p.listen(handsetHearsAll(p.dock1(), one.says, two.says), one.hearsAll(worker, two.says), growingHearsAll("baresip", two.Heard, worker, one.says))

	two.do("hold", "")
	p.listen(one.hearingWithout(worker, two.says)) // from some moment on: the hold takes its time
	p.phone(p.dock1(), "conference")
	two.do("resume", "")
	p.listen(handsetHearsAll(p.dock1(), one.says, two.says), one.hearsAll(worker, two.says))

	p.hook(p.dock1(), false)
	one.ended()
	two.sees("CALL_CLOSED")
	p.idle(p.Appliances...)
}

// TestLeaveAConference: the Transfer key leaves the two others, a phone of another make and a desk phone, to each other.
func TestLeaveAConference(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	one := p.linphone("desk")
	one.do("call "+uri("201", p.dock1()), "Call .* ringing")
	p.answer(p.dock1())
	p.press(p.dock1(), "hold")
	p.phone(p.dock1(), "dial-tone")
	p.dial(p.dock1(), "202")
	p.answer(p.dock2())
	p.talking(p.dock1())
	p.press(p.dock1(), "conference")
	p.phone(p.dock1(), "conference")
	p.listen(handsetHearsAll(p.dock2(), clerk(), speech.Worker()), growingHearsAll("linphone", one.Heard, speech.Worker()))

	p.press(p.dock1(), "transfer")
	p.await(p.dock1(), "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 && st.Phone.State == "dial-tone" })
	p.hook(p.dock1(), false)
	p.listen(handsetOf(p.dock2(), clerk()), growingOf("linphone", one.Heard, speech.Worker()))
	p.hook(p.dock2(), false)
	p.idle(p.Appliances...)
}
