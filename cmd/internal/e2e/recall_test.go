package e2e

import (
	"fmt"
	"strings"
	"testing"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/mediatest"
	"parklamp/parkd/panel"
)

// recalls is a site whose parkers are recalled soon, and office after them; each rings for so long.
func recalls(ring string) string {
	return fmt.Sprintf("[lot]\norbits = [\"701\", \"702\"]\ntimeout = \"2s\"\nrecall_ring = %[1]q\n\n[[lot.escalation]]\nto = \"203\"\nring = %[1]q\n", ring)
}

// TestRecall has recalls that somebody ends: none of them rings out, however slow the machine is.
func TestRecall(t *testing.T) {
	t.Parallel()
	p := newPlace(t, recalls("10m"))
	p.with("answered by the parker", recallAnswered)
	p.with("refused, answered by the next", recallRefused)
	p.with("the caller hangs up", recallAbandoned)
	p.with("fetched while it rings", recallFetched)
	p.with("to a third-party phone", recallToPhone)
}

// left is a guest whom dock-1 has parked, its handset down again.
func (p *place) left() *guest {
	p.Helper()
	g := p.visitor(p.dock1(), visit{})
	p.leaves(p.dock1())
	return g
}

// leaves parks the call of a phone by the Park key, and puts the handset down.
func (p *place) leaves(a *site.Appliance) {
	p.Helper()
	p.press(a, "park")
	p.await(a, "a parked call", func(st panel.Status) bool { return len(taken(st)) == 1 })
	p.hook(a, false)
}

// rings waits until a phone rings in a way for the guest.
func (p *place) rings(a *site.Appliance, ring string, g *guest) {
	p.Helper()
	st := p.await(a, "ring "+ring, func(st panel.Status) bool { return st.Phone.Ring == ring })
	if st.Phone.Party.Number != g.number {
		p.Errorf("%s rings for %+v, want the caller %s", a.Name, st.Phone.Party, g.number)
	}
}

// silent waits until no phone rings and no orbit is taken.
func (p *place) silent() {
	p.Helper()
	for _, a := range p.Appliances {
		p.await(a, "silence", func(st panel.Status) bool { return st.Phone.Ring == "" && len(taken(st)) == 0 })
	}
}

// recallAnswered has do-not-disturb on: a recall rings all the same, since the parker has asked for it. It is on before the
// call is parked: the same key refuses what rings.
func recallAnswered(p *place) {
	g := p.visitor(p.dock1(), visit{})
	p.press(p.dock1(), "dnd")
	p.await(p.dock1(), "do not disturb", func(st panel.Status) bool { return st.Phone.DND })
	p.leaves(p.dock1())
	p.rings(p.dock1(), "recall", g)
	p.everywhere("701", panel.StateRecalling)
	p.hook(p.dock1(), true)
	p.talking(p.dock1())
	p.free("701")
	p.talk(p.dock1(), g)
	p.press(p.dock1(), "dnd")
	p.await(p.dock1(), "an end of do not disturb", func(st panel.Status) bool { return !st.Phone.DND })
	p.hook(p.dock1(), false)
	g.ended()
}

func recallRefused(p *place) {
	g := p.left()
	p.rings(p.dock1(), "recall", g)
	p.press(p.dock1(), "dnd") // refuses what rings
	p.rings(p.office(), "normal", g)
	p.everywhere("701", panel.StateRecalling)
	p.hearsMusic(g)
	p.hook(p.office(), true)
	p.talking(p.office())
	p.free("701")
	p.talk(p.office(), g)
	p.hook(p.office(), false)
	g.ended()
}

// TestRecallUnanswered lets everybody ring out: the call is parked again, with higher priority.
func TestRecallUnanswered(t *testing.T) {
	t.Parallel()
	p := newPlace(t, recalls("2s"))
	g := p.left()
	p.everywhere("701", panel.StateQueued) // and it is recalled again: nothing here waits for that, or minds
	p.logged(p.dock1(), `effect="ring-start recall`)
	p.logged(p.office(), `effect="ring-start normal`)
	p.hearsMusic(g)
	p.fetch(p.dock2(), "701")
	p.silent()
	p.talk(p.dock2(), g)
	p.hook(p.dock2(), false)
	g.ended()
}

func recallAbandoned(p *place) {
	g := p.left()
	p.rings(p.dock1(), "recall", g)
	g.hangUp()
	p.silent()

	g = p.left()
	p.rings(p.dock1(), "recall", g)
	p.press(p.dock1(), "dnd")
	p.rings(p.office(), "normal", g)
	g.hangUp()
	p.silent()
	p.idle(p.Appliances...)
}

func recallFetched(p *place) {
	g := p.left()
	p.rings(p.dock1(), "recall", g)
	p.fetch(p.dock2(), "701")
	p.silent()
	p.talk(p.dock2(), g)
	p.hook(p.dock2(), false)
	g.ended()
}

// recallToPhone rings the phone that referred the caller here, as its URI says.
func recallToPhone(p *place) {
	clerk := mediatest.Voice(31, speechLength)
	talker := p.talker(operator, clerk)
	s, err := peer.StartSIPp(peer.SIPpOptions{Scenario: "callee", Dir: p.TempDir(), Local: p.sip(operator), Media: talker.Addr()})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(s.Stop)
	phone := &guest{&outside{s, talker, p.T}, p, operator, "clerk", clerk}
	g := p.guest(p.dock2(), "*68702", visit{header: "Referred-By: <sip:clerk@" + p.sip(operator).String() + ">"})
	g.gets(200)
	invite := phone.expect("a recall", func(m peer.Message) bool { return !m.Sent && m.Method() == "INVITE" })
	if who := invite.Header("P-Asserted-Identity"); !strings.Contains(who, "sip:"+g.number+"@") {
		p.Errorf("the recalled phone is told %q, want the caller %s", who, g.number)
	}
	if from := invite.Header("From"); !strings.Contains(from, "Parked 702") {
		p.Errorf("the recall is from %q, want it marked as a parked call", from)
	}
	p.listen(phone.hearing(speech.Caller()), g.hearing(clerk))
	p.free("702")
	g.hangUp()
	phone.ended()
}
