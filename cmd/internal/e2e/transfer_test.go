package e2e

import (
	"fmt"
	"strings"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/media"
	"parklamp/media/mediatest"
	"parklamp/media/prompt"
	"parklamp/parkd/panel"
)

// fetched is a caller, parked at dock-1, and the third-party phone that has fetched him by dialling his orbit at an
// appliance.
func (p *place) fetched(at *site.Appliance, referTo string) (caller, phone *guest) {
	p.Helper()
	caller = p.parkedGuest(p.dock1(), "701", visit{says: mediatest.Voice(21, speechLength)})
	caller.waitsOn("701", p.dock1())
	phone = p.guest(at, "701", visit{says: mediatest.Voice(22, speechLength), referTo: referTo})
	phone.gets(200)
	p.free("701")
	p.listen(phone.hearing(caller.says), caller.hearing(phone.says))
	return caller, phone
}

// outcome waits for the last NOTIFY of a REFER and returns its status line.
func (g *guest) outcome() string {
	g.t.Helper()
	m := g.expect("the last NOTIFY", func(m peer.Message) bool {
		return !m.Sent && m.Method() == "NOTIFY" && m.Status() == 0 && strings.HasPrefix(m.Header("Subscription-State"), "terminated")
	})
	line, _, _ := strings.Cut(m.Body(), "\n")
	return strings.TrimSpace(line)
}

// blindTransfer parks by REFER at the host of the caller and at another appliance, which relays him; the target may be
// an orbit of any appliance, since the orbits are the site's.
func blindTransfer(p *place) {
	for _, test := range []struct {
		at            *site.Appliance
		target, orbit string
	}{
		{p.dock1(), "sip:702@" + p.sip(1).String(), "702"},
		{p.dock1(), "sip:*68@" + p.sip(1).String(), "701"},
		{p.dock2(), "sip:*68703@" + p.sip(2).String(), "703"},
		{p.dock2(), "sip:702@" + p.sip(3).String(), "702"},
	} {
		caller, phone := p.fetched(test.at, test.target)
		phone.act("MESSAGE")
		if got := phone.outcome(); !strings.HasPrefix(got, "SIP/2.0 200") {
			p.Errorf("REFER to %s ended with %q, want 200", test.target, got)
		}
		caller.waitsOn(test.orbit, test.at)
		phone.ended() // hung up on, after the park was committed
		p.hearsMusic(caller)
		if parker := orbitOf(p.status(p.office()), test.orbit).Parker; parker.Number != phone.number {
			p.Errorf("the parker is %+v, want %s", parker, phone.number)
		}
		caller.hangUp()
		p.free(test.orbit)
	}
}

func blindTransferRefused(p *place) {
	other := p.parkedGuest(p.dock2(), "702", visit{says: mediatest.Voice(23, speechLength)})
	other.waitsOn("702", p.dock2())
	caller, phone := p.fetched(p.dock1(), "sip:702@"+p.sip(1).String())
	since := time.Now()
	phone.act("MESSAGE")
	if got := phone.outcome(); !strings.HasPrefix(got, "SIP/2.0 486") {
		p.Errorf("REFER to a taken orbit ended with %q, want 486", got)
	}
	p.listen(phone.hearing(caller.says), caller.hearing(phone.says))
	other.waitsOn("702", p.dock2())
	p.hearsMusic(other)
	if n := crossed(caller.says, other.Heard(since)) + crossed(other.says, caller.Heard(since)) + crossed(phone.says, other.Heard(since)); n > 0 {
		p.Errorf("%d packets crossed between the caller and the one parked on the taken orbit", n)
	}
	phone.hangUp()
	caller.ended()
	other.hangUp()
}

// transferToParked refuses to join a caller with one who is parked, however somebody tries it.
func transferToParked(p *place) {
	other := p.parkedGuest(p.dock2(), "702", visit{says: mediatest.Voice(23, speechLength)})
	other.waitsOn("702", p.dock2())
	since := time.Now()
	for _, user := range []string{"*88", "*88702"} {
		p.guest(p.dock1(), user, visit{header: "Referred-By: <sip:foreman@" + p.sip(9).String() + ">"}).gets(603)
		for i, at := range []*site.Appliance{p.dock1(), p.dock2()} {
			caller, phone := p.fetched(at, fmt.Sprintf("sip:%s@%v", user, p.sip(2-i)))
			phone.act("MESSAGE")
			phone.expect("a refusal", func(m peer.Message) bool { return m.Status() == 603 && m.Header("CSeq") == "20 REFER" })
			p.listen(phone.hearing(caller.says), caller.hearing(phone.says))
			if n := crossed(caller.says, other.Heard(since)) + crossed(other.says, caller.Heard(since)); n > 0 {
				p.Errorf("%d packets crossed between the caller and the one who is parked", n)
			}
			phone.hangUp()
			caller.ended()
		}
	}
	visitor := p.visitor(p.dock1(), visit{})
	p.press(p.dock1(), "transfer")
	p.phone(p.dock1(), "dial-tone")
	p.dial(p.dock1(), "*88#")
	if st := p.phone(p.dock1(), "failure"); st.Phone.Tone != "reorder" {
		p.Errorf("tone %q after Transfer and the fetch code, want reorder", st.Phone.Tone)
	}
	p.press(p.dock1(), "transfer")
	p.talking(p.dock1())
	p.talk(p.dock1(), visitor)
	p.hook(p.dock1(), false)
	visitor.ended()
	other.waitsOn("702", p.dock2())
	p.hearsMusic(other)
	other.hangUp()
}

// transferLeft lets a phone hang up as soon as its REFER is accepted: the caller hears music until the target answers, and waits
// in the orbit again if it does not.
func transferLeft(p *place) {
	for _, at := range []*site.Appliance{p.dock1(), p.dock2()} {
		for _, answers := range []bool{true, false} {
			caller, phone := p.fetched(at, "sip:203@"+p.sip(3).String())
			phone.act("MESSAGE")
			p.await(p.office(), "ring", func(st panel.Status) bool { return st.Phone.Ring != "" })
			phone.hangUp()
			caller.waitsOn("701", at)
			p.hearsMusic(caller)
			if answers {
				p.hook(p.office(), true)
				p.talking(p.office())
				p.free("701")
				p.talk(p.office(), caller)
				p.hook(p.office(), false)
				caller.ended()
				continue
			}
			p.press(p.office(), "dnd") // refuses the call that rings
			p.await(p.office(), "no ring", func(st panel.Status) bool { return st.Phone.Ring == "" })
			p.hearsMusic(caller)
			caller.waitsOn("701", at)
			if parker := orbitOf(p.status(p.office()), "701").Parker; parker.Number != phone.number {
				p.Errorf("the parker is %+v, want %s", parker, phone.number)
			}
			caller.hangUp()
			p.free("701")
		}
	}
	// Whoever fetches her meanwhile has her, and a caller who hangs up is not called back.
	for _, fetches := range []bool{true, false} {
		caller, phone := p.fetched(p.dock1(), "sip:203@"+p.sip(3).String())
		phone.act("MESSAGE")
		p.await(p.office(), "ring", func(st panel.Status) bool { return st.Phone.Ring != "" })
		phone.hangUp()
		caller.waitsOn("701", p.dock1())
		if fetches {
			p.fetch(p.dock2(), "701")
			p.talk(p.dock2(), caller)
		} else {
			caller.hangUp()
		}
		p.await(p.office(), "no ring", func(st panel.Status) bool { return st.Phone.Ring == "" })
		if fetches {
			p.hook(p.dock2(), false)
			caller.ended()
		}
		p.idle(p.Appliances...)
	}
}

// spoken is the sound of a prompt.
func spoken(words prompt.Phrase) []int16 {
	var pcm []int16
	var f media.Frame
	for source := words.Source(); source.Next(&f); {
		pcm = append(pcm, f[:]...)
	}
	return pcm
}

// attendedTransfer lets a third-party phone call *68, hear the orbit, and put its caller there: the caller's phone sends
// INVITE with Replaces.
func attendedTransfer(p *place) {
	since := time.Now()
	phone := p.guest(p.dock1(), "*68", visit{})
	answer := phone.gets(200)
	phone.waitsOn("701", p.dock1())
	whole := func(time.Time) []int16 { return phone.Audio(since) }
	p.listen(recordingOf("the one who transfers", whole, spoken(prompt.ParkedOn("701"))))
	tag := func(header string) string {
		_, tag, _ := strings.Cut(header, ";tag=")
		return tag
	}
	caller := p.guest(p.dock1(), "*68", visit{header: fmt.Sprintf("Replaces: %s;to-tag=%s;from-tag=%s\r\nReferred-By: <%s>",
		phone.CallID(1), tag(answer.Header("To")), tag(answer.Header("From")), phone.uri())})
	caller.gets(200)
	phone.ended()
	caller.waitsOn("701", p.dock1())
	p.hearsMusic(caller)
	p.fetch(p.dock2(), "701")
	p.talk(p.dock2(), caller)
	p.hook(p.dock2(), false)
	caller.ended()
}
