package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// The race of the issue: so many at once, for so few orbits.
const (
	racers     = 100
	raceOrbits = 10
)

// racer is one of a crowd. Each says noise of his own, so that a single packet tells whose it is.
type racer struct {
	*peer.Talker
	crowd  *crowd
	nth    int // call of the crowd's SIPp, from 1
	number string
	says   []int16
	answer peer.Message
	took   time.Duration // from the INVITE to the final answer
}

// crowd is people who call one appliance at the same time: one SIPp, a Talker for each.
type crowd struct {
	*peer.SIPp
	p      *place
	racers []*racer
}

// gather makes a crowd at address .last; users are what each of them dials. It has not called yet.
func (p *place) gather(last int, users []string) *crowd {
	p.Helper()
	c := &crowd{p: p}
	for i := range users {
		r := &racer{crowd: c, nth: i + 1, number: fmt.Sprint(5000000 + last*1000 + i), says: noise(uint64(last*1000 + i))}
		r.Talker = p.talker(last, r.says)
		c.racers = append(c.racers, r)
	}
	return c
}

// call lets the crowd call.
func (c *crowd) call(a *site.Appliance, last int, users []string, header string) {
	c.p.Helper()
	var rows [][]string
	for i, r := range c.racers {
		rows = append(rows, []string{r.number, fmt.Sprint(r.Addr().Port()), users[i]})
	}
	s, err := peer.StartSIPp(peer.SIPpOptions{Scenario: "person", Dir: c.p.TempDir(), Local: c.p.sip(last), Media: netip.AddrPortFrom(c.p.addr(last), 0),
		Remote: netip.AddrPortFrom(a.Addr, 5060), Keys: map[string]string{"header": header, "refer_to": ""}, Calls: len(users), Values: rows})
	if err != nil {
		c.p.Fatal(err)
	}
	c.p.Cleanup(s.Stop)
	c.SIPp = s
}

// answered waits until each of the crowd has a final answer.
func (c *crowd) answered() {
	c.p.Helper()
	type outcome struct {
		sent   time.Time
		answer peer.Message
	}
	all := expect(c.p.T, c.SIPp, "a final answer for each", func(all []peer.Message) (map[string]*outcome, bool) {
		found, done := map[string]*outcome{}, 0
		for _, m := range all {
			id := m.Header("Call-ID")
			switch {
			case m.Sent && m.Method() == "INVITE" && found[id] == nil: // not what is repeated
				found[id] = &outcome{sent: m.At}
			case answers(m) && found[id] != nil && found[id].answer.Text == "":
				found[id].answer = m
				done++
			}
		}
		return found, done == len(c.racers)
	})
	for _, r := range c.racers {
		o := all[c.CallID(r.nth)]
		r.answer, r.took = o.answer, o.answer.At.Sub(o.sent)
	}
}

// noise is a second of sound that nobody else makes.
func noise(seed uint64) []int16 {
	r := rand.New(rand.NewPCG(seed, 704))
	pcm := make([]int16, 8000)
	for i := range pcm {
		pcm[i] = int16(r.IntN(8000) - 4000)
	}
	return pcm
}

// rush lets a crowd at each appliance call at the same time, and sorts them by their answers.
func (p *place) rush(first int, user func(i int) string, header string) (won, lost []*racer) {
	p.Helper()
	dialled := make([][]string, len(p.Appliances))
	for i := range racers {
		at := i % len(p.Appliances)
		dialled[at] = append(dialled[at], user(i))
	}
	var crowds []*crowd
	for i := range p.Appliances {
		crowds = append(crowds, p.gather(first+i, dialled[i]))
	}
	for i, a := range p.Appliances {
		crowds[i].call(a, first+i, dialled[i], header)
	}
	for _, c := range crowds {
		c.answered()
		for _, r := range c.racers {
			if r.answer.Status() == 200 {
				won = append(won, r)
			} else {
				lost = append(lost, r)
			}
		}
	}
	return won, lost
}

// logLosers logs how long the losers waited for their answer; figures that count come from make bench.
func (p *place) logLosers(lost []*racer) {
	var took []time.Duration
	for _, r := range lost {
		took = append(took, r.took)
	}
	slices.Sort(took)
	p.Logf("%d losers were told within %v, half of them within %v", len(took), took[len(took)-1], took[len(took)/2])
}

// codes counts the answers of racers.
func codes(all []*racer) map[int]int {
	n := map[int]int{}
	for _, r := range all {
		n[r.answer.Status()]++
	}
	return n
}

// TestRaces lets a hundred park at once into ten orbits, and a hundred others fetch them at once, at three appliances.
func TestRaces(t *testing.T) {
	p := placeOf(t, plain, "")
	orbit := func(i int) string { return fmt.Sprint(701 + i%raceOrbits) }
	parked, refused := p.rush(20, func(int) string { return "*68" }, "Referred-By: <sip:foreman@"+p.sip(9).String()+">")
	if len(parked) != raceOrbits || codes(refused)[480] != racers-raceOrbits {
		t.Fatalf("%d were parked, want %d; the others got %v, want %d times 480", len(parked), raceOrbits, codes(refused), racers-raceOrbits)
	}
	p.logLosers(refused)
	callers := map[string]*racer{} // by number
	for _, r := range parked {
		callers[r.number] = r
	}
	sees := map[string]string{} // who is where
	for i := range raceOrbits {
		for _, a := range p.Appliances {
			o := orbitOf(p.await(a, "somebody on "+orbit(i), func(st panel.Status) bool {
				return lamp(st, "orbit-"+orbit(i)).Pattern != panel.StateFree && len(orbitOf(st, orbit(i)).Calls) > 0
			}), orbit(i))
			who := o.Caller.Number + " at " + o.Host
			if len(o.Calls) != 1 || callers[o.Caller.Number] == nil || sees[orbit(i)] != "" && sees[orbit(i)] != who {
				t.Errorf("%s: on %s are %d calls, the first of %s; others say %q", a.Name, orbit(i), len(o.Calls), who, sees[orbit(i)])
			}
			sees[orbit(i)] = who
		}
	}

	since := time.Now()
	fetched, empty := p.rush(30, orbit, "Subject: fetch")
	if n := codes(empty); len(fetched) != raceOrbits || n[404]+n[486] != racers-raceOrbits {
		t.Fatalf("%d fetched, want %d; the others got %v, want %d times 404 or 486", len(fetched), raceOrbits, n, racers-raceOrbits)
	}
	p.logLosers(empty)
	for i := range raceOrbits {
		p.free(orbit(i))
	}
	var ears []ear
	has := map[*racer]*racer{} // whom a fetcher has
	for _, f := range fetched {
		_, number, _ := strings.Cut(f.answer.Header("P-Asserted-Identity"), "sip:")
		number, _, _ = strings.Cut(number, "@")
		c := callers[number]
		if c == nil {
			t.Errorf("%s fetched %q, who was not parked or was fetched by somebody else, too", f.number, number)
			continue
		}
		delete(callers, number)
		has[f] = c
		ears = append(ears, recordingOf("fetcher "+f.number, f.Audio, c.says), recordingOf("caller "+c.number, c.Audio, f.says))
	}
	p.listen(ears...)
	for f, c := range has {
		for _, other := range slices.Concat(parked, fetched) {
			if other != c && crossed(other.says, f.Heard(since)) > 0 {
				t.Errorf("fetcher %s of %s hears %s", f.number, c.number, other.number)
			}
			if other != f && crossed(other.says, c.Heard(since)) > 0 {
				t.Errorf("caller %s, fetched by %s, hears %s", c.number, f.number, other.number)
			}
		}
		if err := f.crowd.Poke("INFO", f.nth); err != nil {
			t.Error(err)
		}
	}
	p.idle(p.Appliances...)
	ended := map[*crowd]bool{}
	for _, r := range slices.Concat(parked, fetched, refused, empty) {
		if !ended[r.crowd] {
			ended[r.crowd] = true
			(&outside{SIPp: r.crowd.SIPp, t: t}).ended()
		}
	}
}

// TestTwoPressOneKey lets two workers press the same lit key at once, again and again: one has the caller each time.
func TestTwoPressOneKey(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	for round := range 4 {
		host := p.Appliances[round%3]
		caller := p.waiting(host, "705")
		rivals := []*site.Appliance{p.dock1(), p.dock2()}
		for _, a := range rivals {
			p.hook(a, true)
		}
		done := make(chan error, len(rivals))
		for _, a := range rivals {
			go func() { done <- a.Press(t.Context(), "orbit-705", panel.Tap) }()
		}
		for range rivals {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		var winners []*site.Appliance
		for _, a := range rivals {
			st := p.await(a, "an end of the fetch", func(st panel.Status) bool {
				return st.Phone.State == "talking" || st.Phone.State == "failure"
			})
			if st.Phone.State == "talking" {
				winners = append(winners, a)
				continue
			}
			// The lamp may have gone out before the key: then nobody is parked there.
			if words := st.Phone.Prompt; words != "the call on seven zero five was taken by somebody else" && words != "nobody is parked on seven zero five" {
				t.Errorf("%s, who was late, is told %q", a.Name, words)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("round %d: %d have the caller, want one", round, len(winners))
		}
		p.free("705")
		p.talk(winners[0], caller)
		for _, a := range rivals {
			p.hook(a, false)
		}
		caller.ended()
		p.idle(p.Appliances...)
	}
}
