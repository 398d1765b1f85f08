package e2e

import (
	"testing"

	"parklamp/parkd/panel"
)

// parkedAt701 brings a caller of SIPp to dock-1 and parks it there by the Park key.
func parkedAt701(p *place) *outside {
	p.Helper()
	o := p.call(p.dock1(), "201", 11, "caller")
	p.answer(p.dock1())
	p.conversation(p.dock1(), o)
	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	return o
}

func TestParkHereFetchThere(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	o := parkedAt701(p)
	st := p.await(p.dock1(), "spoken orbit", func(st panel.Status) bool { return st.Phone.Prompt != "" })
	if want := "call parked on seven zero one"; st.Phone.Prompt != want {
		t.Errorf("dock-1 says %q, want %q", st.Phone.Prompt, want)
	}
	p.hook(p.dock1(), false)
	p.music(o)
	for _, a := range p.Appliances {
		st := p.await(a, "the caller's number", func(st panel.Status) bool { return st.Orbits[0].Caller.Number == "5550011" })
		if o := st.Orbits[0]; o.Parker.Number != "201" || o.Host != "dock-1" {
			t.Errorf("%s shows parker %q at %q, want 201 at dock-1", a.Name, o.Parker.Number, o.Host)
		}
	}

	p.fetch(p.dock2(), "701")
	p.everywhere("701", "free")
	p.conversation(p.dock2(), o)
	st = p.await(p.dock2(), "party", func(st panel.Status) bool { return st.Phone.Party.Number != "" })
	if st.Phone.Party.Number != "5550011" {
		t.Errorf("dock-2 talks to %q, want the caller 5550011", st.Phone.Party.Number)
	}

	p.hook(p.dock2(), false)
	o.ended() // BYE came to the caller
	p.idle(p.Appliances...)
}

func TestCallerHangsUpAfterFetch(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	g := p.visitor(p.dock1(), visit{})
	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.hook(p.dock1(), false)
	p.fetch(p.dock2(), "701")
	g.hangUp()
	p.idle(p.Appliances...)
	p.everywhere("701", "free")
}
