package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/cmplx"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zaf/g711"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/mediatest"
	"parklamp/media/moh"
	"parklamp/parkd/panel"
)

// guests counts the people of all tests, so that each has an address of his own in his test's network.
var guests atomic.Int32

// speechLength is how long guests speak who do not say speech.Caller, before they begin again.
const speechLength = 9 * time.Second

// guest is one that calls or is called: SIPp's signalling, a Talker's audio.
type guest struct {
	*outside
	p      *place
	last   int    // of the address
	number string // as others see it
	says   []int16
}

// visit says how a guest calls.
type visit struct {
	scenario string     // "person" when empty
	says     []int16    // speech.Caller when nil
	header   string     // one more header
	referTo  string     // where the poke MESSAGE refers to
	event    string     // what a watcher subscribes to
	tcp      bool       // SIP over TCP
	via      netip.Addr // the proxy that the call goes through; not valid: none
	private  netip.Addr // the host that its description names, as behind a NAT; not valid: its own
}

// guest lets somebody call user at an appliance.
func (p *place) guest(a *site.Appliance, user string, v visit) *guest {
	p.Helper()
	if v.scenario == "" {
		v.scenario = "person"
	}
	if v.says == nil {
		v.says = speech.Caller()
	}
	if v.header == "" {
		v.header = "Subject: a call"
	}
	last := 20 + int(guests.Add(1))%200
	number := fmt.Sprint(5550000 + last)
	talker := p.talker(last, v.says)
	media := talker.Addr()
	if v.private.IsValid() {
		media = netip.AddrPortFrom(v.private, media.Port())
	}
	to := a.Addr
	if v.via.IsValid() {
		to = v.via
	}
	s, err := peer.StartSIPp(peer.SIPpOptions{Scenario: v.scenario, Dir: p.T.TempDir(), Local: p.sip(last), Media: media,
		Remote: netip.AddrPortFrom(to, 5060), TCP: v.tcp,
		Keys:   map[string]string{"header": v.header, "refer_to": v.referTo, "event": v.event},
		Values: [][]string{{number, fmt.Sprint(talker.Addr().Port()), user}}})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(s.Stop)
	return &guest{&outside{s, talker, p.T}, p, last, number, v.says}
}

// uri is where the guest can be called.
func (g *guest) uri() string { return fmt.Sprintf("sip:%s@%s", g.number, g.p.sip(g.last)) }

// expect waits until SIPp has seen a message that fits.
func (g *guest) expect(what string, fits func(peer.Message) bool) peer.Message {
	g.t.Helper()
	return expect(g.t, g.SIPp, what, func(all []peer.Message) (peer.Message, bool) {
		for _, m := range all {
			if fits(m) {
				return m, true
			}
		}
		return peer.Message{}, false
	})
}

// expect reads the messages of SIPp until they fit.
func expect[T any](t *testing.T, s *peer.SIPp, what string, fits func([]peer.Message) (T, bool)) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		ended := false
		select {
		case <-s.Done(): // before the last look
			ended = true
		default:
		}
		all, err := s.Trace()
		if err != nil {
			t.Fatal(err)
		}
		if found, ok := fits(all); ok {
			return found
		}
		if ended {
			t.Fatalf("SIPp ended (%v) and never saw %s; it saw:%s", s.Wait(ctx), what, flow(all))
		}
		select {
		case <-s.Done():
		case <-time.After(20 * time.Millisecond): // another program's file tells nobody that it grew
		case <-ctx.Done():
			t.Fatalf("SIPp never saw %s within %v; it saw:%s", what, limit, flow(all))
		}
	}
}

// flow lists messages, a line each.
func flow(all []peer.Message) string {
	var b strings.Builder
	for _, m := range all {
		arrow := "<-"
		if m.Sent {
			arrow = "->"
		}
		fmt.Fprintf(&b, "\n%s %s %s (%s)", m.At.Format("05.000000"), arrow, m.StartLine(), m.Header("CSeq"))
	}
	return b.String()
}

// answers reports whether a message is the final answer to a guest's first INVITE.
func answers(m peer.Message) bool {
	return !m.Sent && m.Status() >= 200 && m.Header("CSeq") == "1 INVITE"
}

// final waits for the final answer to the guest's first INVITE.
func (g *guest) final() peer.Message {
	g.t.Helper()
	return g.expect("a final answer", answers)
}

// gets checks the status of that answer.
func (g *guest) gets(code int) peer.Message {
	g.t.Helper()
	m := g.final()
	if m.Status() != code {
		g.t.Fatalf("the guest got %q, want %d", m.StartLine(), code)
	}
	return m
}

// act lets the guest do what his scenario does on a poke: INFO hangs up.
func (g *guest) act(method string) {
	g.t.Helper()
	if err := g.Poke(method, 1); err != nil {
		g.t.Fatal(err)
	}
}

// hangUp lets the guest end the call, and waits until that is confirmed.
func (g *guest) hangUp() {
	g.t.Helper()
	g.act("INFO")
	g.ended()
}

// visitor is a guest who calls an appliance's phone and is answered by the worker.
func (p *place) visitor(a *site.Appliance, v visit) *guest {
	p.Helper()
	g := p.guest(a, a.Number, v)
	p.answer(a)
	g.gets(200)
	return g
}

// parkedGuest lets a guest park himself as a third-party phone does it: its INVITE to the orbit, or to *68, says who sent it.
func (p *place) parkedGuest(a *site.Appliance, user string, v visit) *guest {
	p.Helper()
	v.header = "Referred-By: <sip:foreman@" + p.sip(9).String() + ">"
	g := p.guest(a, user, v)
	g.gets(200)
	return g
}

// waiting is a guest who waits on an orbit of an appliance.
func (p *place) waiting(a *site.Appliance, orbit string) *guest {
	p.Helper()
	g := p.parkedGuest(a, orbit, visit{})
	g.waitsOn(orbit, a)
	return g
}

// wait checks that parked guests hear music and were never told good-bye; then they hang up, and nobody is left.
func (p *place) wait(guests ...*guest) {
	p.Helper()
	p.listen(hearingMusic(guests)...)
	for _, g := range guests {
		g.heardNo("BYE")
		g.hangUp()
	}
	p.idle(p.Appliances...)
}

// waitsOn waits until an orbit holds the guest's call on all appliances, hosted by one, or by any if that is nil.
func (g *guest) waitsOn(orbit string, host *site.Appliance) {
	g.t.Helper()
	for _, a := range g.p.Appliances {
		g.p.await(a, "caller "+g.number+" on "+orbit, func(st panel.Status) bool {
			o := orbitOf(st, orbit)
			want := panel.StateParkedElsewhere
			if o.Host == a.Name {
				want = panel.StateParkedHere
			}
			return o.State == want && o.Caller.Number == g.number && (host == nil || o.Host == host.Name) && lamp(st, "orbit-"+orbit).Pattern == want
		})
	}
}

func orbitOf(st panel.Status, number string) panel.Orbit {
	for _, o := range st.Orbits {
		if o.Number == number {
			return o
		}
	}
	return panel.Orbit{}
}

// free waits until an orbit is free and dark everywhere.
func (p *place) free(orbit string) {
	p.Helper()
	p.everywhere(orbit, panel.StateFree)
}

// with is the same site under a subtest. The next one needs it clean, so a failure ends them all.
func (p *place) with(name string, test func(p *place)) {
	p.Helper()
	ok := p.Run(name, func(t *testing.T) {
		sub := *p
		sub.T = t
		test(&sub)
		for _, a := range sub.Appliances {
			if st := sub.status(a); st.Phone.HookUp {
				sub.hook(a, false)
			}
		}
		sub.idle(sub.Appliances...)
	})
	if !ok {
		p.FailNow()
	}
}

func (p *place) status(a *site.Appliance) panel.Status {
	p.Helper()
	st, err := a.Status(p.Context())
	if err != nil {
		p.Fatalf("%s: %v", a.Name, err)
	}
	return st
}

// phone waits until a phone is in a state.
func (p *place) phone(a *site.Appliance, state string) panel.Status {
	p.Helper()
	return p.await(a, "phone "+state, func(st panel.Status) bool { return st.Phone.State == state })
}

// told waits until the worker was told something since a moment of the appliance's clock.
func (p *place) told(a *site.Appliance, since time.Time, words string) {
	p.Helper()
	p.await(a, fmt.Sprintf("words %q", words), func(st panel.Status) bool {
		return st.Phone.PromptAt.After(since) && strings.Contains(st.Phone.Prompt, words)
	})
}

// likeness is how much of what was heard is of a recording, which may be looped. Where nothing changes the sound on its
// way, its frames are found in the recording as they are, which is quick to see; else Match listens closer.
func likeness(ref, heard []int16) float64 {
	recording := ulaw(append(ref[:len(ref):len(ref)], ref[:min(160, len(ref))]...))
	found, loud := 0, 0
	for i := 0; i+160 <= len(heard); i += 160 {
		if mediatest.RMS(heard[i:i+160]) < quiet {
			continue
		}
		loud++
		if bytes.Contains(recording, ulaw(heard[i:i+160])) {
			found++
		}
	}
	if score := float64(found) / float64(max(loud, 1)); score >= mediatest.Same {
		return score
	}
	score, _ := mediatest.Match(ref, heard)
	return score
}

// quiet is the level, in dBFS, below which a frame may be anybody's.
const quiet = -50

func ulaw(pcm []int16) []byte {
	b := make([]byte, len(pcm))
	for i, s := range pcm {
		b[i] = g711.EncodeUlawFrame(s)
	}
	return b
}

// talk checks that a worker and a guest hear each other.
func (p *place) talk(a *site.Appliance, g *guest) {
	p.Helper()
	p.listen(handsetOf(a, g.says), g.hearing(speech.Worker()))
}

// hearing is the guest's ear.
func (g *guest) hearing(ref []int16) ear { return recordingOf("guest "+g.number, g.Audio, ref) }

// hearsMusic checks that a guest hears music on hold.
func (p *place) hearsMusic(g *guest) {
	p.Helper()
	p.listen(g.hearing(moh.BuiltIn().Samples()))
}

// crossed counts the packets among heard that are, byte for byte, of a recording that a Talker says. Silence does not
// count: everybody's is the same.
func crossed(says []int16, heard []peer.Heard) int {
	frames := map[string]bool{}
	for i := 0; i+160 <= len(says); i += 160 {
		if mediatest.RMS(says[i:i+160]) >= quiet {
			frames[string(ulaw(says[i:i+160]))] = true
		}
	}
	n := 0
	for _, h := range heard {
		if frames[string(h.Payload)] {
			n++
		}
	}
	return n
}

// The halves of the period of tones, equal for sound and silence in the table of the ITU.
const (
	busy    = 500 * time.Millisecond
	reorder = 250 * time.Millisecond
)

// pressHears presses a key and checks that the handset then hears a beep: 425 Hz that come and go.
func (p *place) pressHears(a *site.Appliance, key string, half time.Duration) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), limit)
	defer cancel()
	const window = 8000 / 20
	var pcm []int16
	var level []float64
	best := 0.0
	err := a.Listen(ctx, func(frame []int16) bool {
		if pcm == nil {
			p.press(a, key)
		}
		if pcm = append(pcm, frame...); len(pcm)/window <= len(level) {
			return true
		}
		level = append(level, math.Pow(10, mediatest.Level(pcm[len(level)*window:], 425)/20))
		const lasts = 2 * 20 // windows
		if len(level) < lasts {
			return true
		}
		part := level[len(level)-lasts:]
		if mean := pulse(part, 0); mean > 0.01 && pulse(part, busy+reorder-half) < pulse(part, half)/2 {
			best = max(best, pulse(part, half)/mean)
		}
		return best < 0.4 // a square wave has 2/pi, speech under it makes it less
	})
	if err != nil || best < 0.4 {
		p.Fatalf("the handset of %s does not hear the tone of %v after %s: best %.2f (%v)", a.Name, half, key, best, err)
	}
}

// pulse is how much of a level, one value each 50 ms, comes and goes with a half period; 0 asks for the mean.
func pulse(level []float64, half time.Duration) float64 {
	var sum complex128
	for i, v := range level {
		turn := 0.0
		if half > 0 {
			turn = math.Pi * float64(i) * 0.05 / half.Seconds()
		}
		sum += complex(v, 0) * cmplx.Exp(complex(0, -turn))
	}
	return cmplx.Abs(sum) / float64(len(level))
}

// heardNo fails if a guest was told a request of that method.
func (g *guest) heardNo(method string) {
	g.t.Helper()
	if n := g.got(method); n > 0 {
		g.t.Errorf("guest %s got %d times %s", g.number, n, method)
	}
}

// got counts the requests of a method that a guest got.
func (g *guest) got(method string) int {
	all, err := g.Trace()
	if err != nil {
		g.t.Fatal(err)
	}
	seen := map[string]bool{} // what is sent again is no other
	for _, m := range all {
		if !m.Sent && m.Status() == 0 && m.Method() == method {
			seen[m.Header("Call-ID")+" "+m.Header("CSeq")] = true
		}
	}
	return len(seen)
}

func hearingMusic(guests []*guest) (ears []ear) {
	for _, g := range guests {
		ears = append(ears, g.hearing(music()))
	}
	return ears
}
