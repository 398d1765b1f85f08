package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/media/mediatest"
)

// rules is the site of the tests of DESIGN.md, "A parked call": a lot that is quickly full, and a phone that is quickly busy.
const rules = "[lot]\norbits = [\"701\", \"702\", \"703\"]\n\n[phone]\nmax_calls = 2\n"

func TestRules(t *testing.T) {
	t.Parallel()
	p := newPlace(t, rules)
	p.with("fetch of an empty orbit", fetchOfEmptyOrbit)
	p.with("every orbit taken", everyOrbitTaken)
	p.with("fetch by INVITE", fetchByInvite)
	p.with("park by code and by transfer", parkByDialling)
	p.with("undo", undo)
	p.with("hold after a fetch", holdAfterFetch)
	p.with("park what was fetched", parkWhatWasFetched)
	p.with("the caller hangs up while parked", callerLeaves)
	p.with("the caller hangs up while being fetched", callerLeavesFetch)
	p.with("the fetcher cancels", fetcherCancels)
	p.with("the fetching worker hangs up", fetchingWorkerLeaves)
}

// TestCalls has what else a phone does at the same site.
func TestCalls(t *testing.T) {
	t.Parallel()
	p := newPlace(t, rules)
	p.with("blind transfer to an orbit", blindTransfer)
	p.with("blind transfer to a taken orbit", blindTransferRefused)
	p.with("transfer to a parked caller", transferToParked)
	p.with("blind transfer whose phone does not wait", transferLeft)
	p.with("attended transfer to the park code", attendedTransfer)
	p.with("a ringing call is cancelled", cancelledCall)
	p.with("a busy phone", busyPhone)
	p.with("a conference", conferenceOfThree)
	p.with("the end of a conference", conferenceEnds)
	p.with("an emergency call", emergencyCall)
	p.with("a called phone behind a NAT", calledBehindNAT)
	p.with("malformed messages", malformedMessages)
}

func fetchOfEmptyOrbit(p *place) {
	for _, user := range []string{"701", "*88701", "*88"} {
		p.guest(p.dock1(), user, visit{}).gets(404)
	}
	p.guest(p.dock1(), "*68799", visit{header: "Referred-By: <sip:foreman@127.0.0.1>"}).gets(404)
	dial := func(number string) func(a *site.Appliance) {
		return func(a *site.Appliance) { p.dial(a, number) }
	}
	for _, try := range []struct {
		act   func(a *site.Appliance)
		words string
	}{
		{func(a *site.Appliance) { p.press(a, "orbit-701") }, "nobody is parked on seven zero one"},
		{dial("702"), "nobody is parked on seven zero two"},
		{dial("*88703"), "nobody is parked on seven zero three"},
		{dial("*88#"), "no calls are parked"},
	} {
		since := p.status(p.dock1()).At
		p.hook(p.dock1(), true)
		try.act(p.dock1())
		p.phone(p.dock1(), "failure")
		p.told(p.dock1(), since, try.words)
		p.hook(p.dock1(), false)
	}
	// Nobody is there to be parked: the one who dials is not.
	p.dial(p.dock1(), "*68#")
	if st := p.phone(p.dock1(), "failure"); st.Phone.Tone != "reorder" {
		p.Errorf("tone %q after the park code without a call, want reorder", st.Phone.Tone)
	}
	p.hook(p.dock1(), false)
	for _, a := range p.Appliances {
		if st := p.status(a); len(taken(st)) > 0 {
			p.Errorf("%s: orbits %v are taken by those who dialled them", a.Name, taken(st))
		}
	}
}

// everyOrbitTaken fills the lot, tries to park one more in every way, and empties it in every way.
func everyOrbitTaken(p *place) {
	hosts := []*site.Appliance{p.office(), p.dock2(), p.dock1()}
	var waiting []*guest
	for i, orbit := range []string{"701", "702", "703"} {
		g := p.parkedGuest(hosts[i], []string{"*68", "*68702", "703"}[i], visit{says: mediatest.Voice(uint64(i), speechLength)})
		g.waitsOn(orbit, hosts[i])
		waiting = append(waiting, g)
	}
	for _, a := range p.Appliances {
		p.guest(a, "*68", visit{header: "Referred-By: <sip:foreman@127.0.0.1>"}).gets(480)
		p.guest(a, "*68", visit{}).gets(480)
		p.guest(a, "702", visit{header: "Referred-By: <sip:foreman@127.0.0.1>"}).gets(486)
		p.guest(a, "*68703", visit{header: "Referred-By: <sip:foreman@127.0.0.1>"}).gets(486)
	}

	one := p.visitor(p.dock1(), visit{})
	p.talk(p.dock1(), one)
	for key, tone := range map[string]time.Duration{"park": reorder, "orbit-701": busy, "orbit-703": busy} {
		since := time.Now()
		p.pressHears(p.dock1(), key, tone)
		p.phone(p.dock1(), "talking")
		for _, g := range waiting {
			if n := crossed(one.says, g.Heard(since)) + crossed(g.says, one.Heard(since)); n > 0 {
				p.Errorf("%d packets crossed between the caller and the one parked on a taken orbit", n)
			}
		}
	}
	p.talk(p.dock1(), one)
	for i, orbit := range []string{"701", "702", "703"} {
		waiting[i].waitsOn(orbit, hosts[i])
		p.hearsMusic(waiting[i])
	}
	p.hook(p.dock1(), false)
	one.ended()

	since := p.status(p.dock2()).At
	p.hook(p.dock2(), true)
	p.press(p.dock2(), "park")
	p.phone(p.dock2(), "listing")
	p.told(p.dock2(), since, "three calls are parked, seven zero one waiting")
	list := p.status(p.dock2()).Phone.Prompt
	if i, j, k := strings.Index(list, "seven zero one"), strings.Index(list, "seven zero two"), strings.Index(list, "seven zero three"); !slices.IsSorted([]int{i, j, k}) {
		p.Errorf("the list is not read with the oldest first: %q", list)
	}
	p.press(p.dock2(), "park") // again: the oldest
	p.talking(p.dock2())
	p.talk(p.dock2(), waiting[0])
	p.hook(p.dock2(), false)
	waiting[0].ended()
	for i, code := range map[int]string{1: "*88702", 2: "703"} {
		p.dial(p.dock2(), code)
		p.talking(p.dock2())
		p.talk(p.dock2(), waiting[i])
		p.hook(p.dock2(), false)
		waiting[i].ended()
	}
}

// fetchByInvite lets a third-party phone dial the orbit of an appliance that hosts the call, and of another one.
func fetchByInvite(p *place) {
	for i, code := range []string{"701", "*88701"} {
		caller := p.parkedGuest(p.dock1(), "701", visit{says: mediatest.Voice(11, speechLength)})
		caller.waitsOn("701", p.dock1())
		p.hearsMusic(caller)
		since := time.Now()
		fetcher := p.guest([]*site.Appliance{p.dock1(), p.dock2()}[i], code, visit{says: mediatest.Voice(12, speechLength)})
		answer := fetcher.gets(200)
		if who := answer.Header("P-Asserted-Identity"); !strings.Contains(who, "sip:"+caller.number+"@") || !strings.Contains(who, "Outside "+caller.number) {
			p.Errorf("the fetcher is told %q, want the caller %s", who, caller.number)
		}
		p.listen(fetcher.hearing(caller.says), caller.hearing(fetcher.says))
		if crossed(caller.says, fetcher.Heard(since)) == 0 {
			p.Errorf("no packet of the caller came to the fetcher as it was sent")
		}
		p.free("701")
		if i == 0 { // a BYE of either end ends both legs
			fetcher.hangUp()
			caller.ended()
		} else {
			caller.hangUp()
			fetcher.ended()
		}
	}
}

// parkByDialling parks a held call from the keypad.
func parkByDialling(p *place) {
	for _, try := range []struct{ key, digits, orbit, words string }{
		{"hold", "*68#", "701", "seven zero one"},
		{"hold", "*68703", "703", "seven zero three"},
		{"transfer", "702", "702", "seven zero two"},
	} {
		g := p.visitor(p.dock1(), visit{})
		p.press(p.dock1(), try.key)
		p.phone(p.dock1(), "dial-tone")
		since := p.status(p.dock1()).At
		p.dial(p.dock1(), try.digits)
		g.waitsOn(try.orbit, p.dock1())
		p.told(p.dock1(), since, "call parked on "+try.words)
		p.hook(p.dock1(), false)
		g.hangUp()
		p.free(try.orbit)
	}
}

func undo(p *place) {
	g := p.visitor(p.dock1(), visit{})
	p.press(p.dock1(), "park")
	g.waitsOn("701", p.dock1())
	p.press(p.dock1(), "park")
	p.talking(p.dock1())
	p.free("701")
	p.talk(p.dock1(), g)
	g.hangUp()
}

// holdAfterFetch has the caller hear one RTP stream all the time: talk, park, fetch, hold, resume.
func holdAfterFetch(p *place) {
	g := p.visitor(p.dock1(), visit{})
	since := time.Now()
	p.press(p.dock1(), "orbit-702")
	g.waitsOn("702", p.dock1())
	p.hook(p.dock1(), false)
	p.fetch(p.dock2(), "702")
	p.talk(p.dock2(), g)
	for range 2 {
		p.press(p.dock2(), "hold")
		p.phone(p.dock2(), "dial-tone")
		p.hearsMusic(g)
		p.press(p.dock2(), "hold")
		p.talking(p.dock2())
		p.talk(p.dock2(), g)
	}
	p.oneStream(g.outside, since)
	gap, err := g.LongestGap(since)
	if err != nil {
		p.Error(err)
	}
	p.Logf("the longest time between two packets was %v", gap.Round(time.Millisecond))
	g.hangUp()
	p.phone(p.dock2(), "failure") // the busy tone of a call that is over
}

// parkWhatWasFetched parks at dock-1, then at dock-2, whose call is relayed by dock-1, and ends at office.
func parkWhatWasFetched(p *place) {
	g := p.visitor(p.dock1(), visit{})
	p.press(p.dock1(), "park")
	g.waitsOn("701", p.dock1())
	p.hook(p.dock1(), false)
	p.fetch(p.dock2(), "701")
	p.free("701")
	p.press(p.dock2(), "orbit-703")
	g.waitsOn("703", p.dock2())
	p.hook(p.dock2(), false)
	p.hearsMusic(g)
	p.fetch(p.office(), "703")
	p.free("703")
	p.talk(p.office(), g)
	if st := p.status(p.office()); st.Phone.Party.Number != g.number {
		p.Errorf("office talks to %+v, want the caller %s", st.Phone.Party, g.number)
	}
	p.hook(p.office(), false)
	g.ended()
}

func callerLeaves(p *place) {
	g := p.parkedGuest(p.dock1(), "*68", visit{})
	g.waitsOn("701", p.dock1())
	g.hangUp()
	p.free("701")
}

func callerLeavesFetch(p *place) {
	g := p.parkedGuest(p.dock1(), "*68", visit{})
	g.waitsOn("701", p.dock1())
	fetcher := p.guest(p.dock1(), "701", visit{scenario: "slow"})
	fetcher.gets(200)
	g.hangUp()
	p.free("701")
	fetcher.act("INFO") // the ACK comes at last, and is answered by BYE
	fetcher.ended()
}

// fetcherCancels stops the host for a moment, so that the fetch stays under way until it is cancelled.
func fetcherCancels(p *place) {
	g := p.parkedGuest(p.dock1(), "*68", visit{})
	g.waitsOn("701", p.dock1())
	p.signal(p.dock1(), syscall.SIGSTOP)
	fetcher := p.guest(p.dock2(), "701", visit{scenario: "impatient"})
	fetcher.expect("100", func(m peer.Message) bool { return m.Status() == 100 })
	fetcher.act("INFO")
	fetcher.gets(487)
	fetcher.ended()
	p.signal(p.dock1(), syscall.SIGCONT)
	g.waitsOn("701", nil)
	p.hearsMusic(g)
	g.hangUp()
}

func fetchingWorkerLeaves(p *place) {
	g := p.parkedGuest(p.dock1(), "*68", visit{})
	g.waitsOn("701", p.dock1())
	p.signal(p.dock1(), syscall.SIGSTOP)
	p.hook(p.dock2(), true)
	p.press(p.dock2(), "orbit-701")
	p.phone(p.dock2(), "fetching")
	p.hook(p.dock2(), false)
	p.signal(p.dock1(), syscall.SIGCONT)
	p.phone(p.dock2(), "idle")
	g.waitsOn("701", nil)
	p.hearsMusic(g)
	g.hangUp()
}
