package federation

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/parkd"
)

// knowing is a core with the machine that it tells, as the shell does.
type knowing struct {
	*Core
	machine *parkd.Machine
}

func (k knowing) Step(now time.Time, in Input) []Effect {
	es := k.Core.Step(now, in)
	for _, e := range es {
		if t, ok := e.(Tell); ok {
			k.machine.Step(now, t.Peer)
			k.Core.Step(now, Known{k.machine.Known()})
		}
	}
	return es
}

// arbiter is a core that has heard from its peers b and c, at a time when it has settled.
func arbiter(t testing.TB) (knowing, time.Time) {
	t.Helper()
	cfg := Default()
	cfg.Name = "a"
	for i, n := range []string{"b", "c"} {
		cfg.Peers = append(cfg.Peers, Peer{Name: n, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 2)}), 5060)})
	}
	c, now := knowing{NewCore(cfg), parkd.New(parkd.Default(), "a", 1)}, siteStart
	c.Step(now, Start{})
	for _, n := range []string{"b", "c"} {
		c.Step(now, Told{Peer: n, State: parkd.Announce{Epoch: 1}})
	}
	return c, now
}

// hosting is what is known when this appliance has calls in these orbits, and the peers have none.
func hosting(orbits ...string) Known {
	k := Known{parkd.Known{Heard: []string{"b", "c"}}}
	for _, o := range orbits {
		k.Calls = append(k.Calls, parkd.KnownCall{Orbit: o, Host: "a"})
	}
	return k
}

func reply(es []Effect) Reply {
	for _, e := range es {
		if r, ok := e.(Reply); ok {
			return r
		}
	}
	return Reply{}
}

func TestArbiterGrantsOnce(t *testing.T) {
	c, now := arbiter(t)
	slot := []parkd.SlotState{{Orbit: "701", CallID: "b.1", State: parkd.Parked}}
	since := time.Duration(0)
	for _, step := range []struct {
		name string
		in   Input
		at   time.Duration
		want Reply
	}{
		{"first", Asked{"b", "t1", "701"}, 0, Reply{Granted: true}},
		{"again, the answer was lost", Asked{"b", "t1", "701"}, 0, Reply{Granted: true}},
		{"another of the same appliance", Asked{"b", "t2", "701"}, 0, Reply{Reason: parkd.ReasonLostRace}},
		{"another appliance", Asked{"c", "t1", "701"}, 0, Reply{Reason: parkd.ReasonLostRace}},
		{"another orbit", Asked{"c", "t1", "702"}, 0, Reply{Granted: true}},
		{"given back by a stranger to it", Returned{"c", "t1", "701"}, 0, Reply{}},
		{"still held", Asked{"c", "t3", "701"}, 0, Reply{Reason: parkd.ReasonLostRace}},
		{"given back", Returned{"b", "t1", "701"}, 0, Reply{}},
		{"free again", Asked{"c", "t3", "701"}, 0, Reply{Granted: true}},
		{"expired", Asked{"b", "t4", "701"}, 3 * time.Second, Reply{Granted: true}},
		{"became a call", Told{Peer: "b", State: parkd.Announce{Epoch: 1, Generation: 1, Slots: slot}}, 3 * time.Second, Reply{}},
		{"taken", Asked{"c", "t5", "701"}, 3 * time.Second, Reply{Reason: parkd.ReasonTaken}},
		{"the call ended", Told{Peer: "b", State: parkd.Announce{Epoch: 1, Generation: 2}}, 3 * time.Second, Reply{}},
		{"free at once", Asked{"c", "t5", "701"}, 3 * time.Second, Reply{Granted: true}},
		{"old news", Told{Peer: "b", State: parkd.Announce{Epoch: 1, Generation: 1, Slots: slot}}, 3 * time.Second, Reply{}},
		{"old news changes nothing", Asked{"c", "t5", "701"}, 3 * time.Second, Reply{Granted: true}},
		{"unknown peer", Told{Peer: "x", State: parkd.Announce{Epoch: 1}}, 3 * time.Second, Reply{}},
	} {
		for ; since < step.at; since += time.Second {
			for _, in := range []Input{Tick{}, Heard{Peer: "b"}, Heard{Peer: "c"}} {
				c.Step(now.Add(since), in)
			}
		}
		if got := reply(c.Step(now.Add(step.at), step.in)); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
		}
	}
}

// A call so short that it never showed in a document must not keep its orbit claimed.
func TestShortCallFreesTheClaim(t *testing.T) {
	c, now := arbiter(t)
	orbit := orbitOf(t, "b")
	c.Step(now, Claim{Token: "t", Orbit: orbit})
	c.Step(now, Answered{Peer: "b", Token: "t", Orbit: orbit, Granted: true})
	c.Step(now, hosting(orbit))
	es := c.Step(now.Add(time.Second), hosting())
	if want := (GiveBack{Peer: "b", Token: "t", Orbit: orbit}); !slices.Contains(es, Effect(want)) {
		t.Errorf("got %v, want %v", es, want)
	}
}

func TestLateGrantIsGivenBack(t *testing.T) {
	c, now := arbiter(t)
	orbit := orbitOf(t, "b")
	c.Step(now, Claim{Token: "t", Orbit: orbit})
	c.Step(now, Release{Token: "t", Orbit: orbit})
	es := c.Step(now, Answered{Peer: "b", Token: "t", Orbit: orbit, Granted: true})
	if want := (GiveBack{Peer: "b", Token: "t", Orbit: orbit}); !slices.Contains(es, Effect(want)) {
		t.Errorf("released while asking: got %v, want %v", es, want)
	}
	if len(c.claims) > 0 {
		t.Errorf("claims left: %d", len(c.claims))
	}
}

// Only an arbiter that is silent is passed over when its time is up: one that is slow, or whose answer waits in the queue
// of an appliance that is slow itself, would be a second one.
func TestSlowArbiterIsWaitedFor(t *testing.T) {
	for _, test := range []struct {
		name   string
		ticks  []time.Duration // since the claim was made
		spoken time.Duration   // when something else of the arbiter's comes; 0: nothing
		passed bool
	}{
		{"silent", []time.Duration{300 * time.Millisecond}, 0, true},
		{"silent, the tick a little late", []time.Duration{400 * time.Millisecond}, 0, true},
		{"not yet", []time.Duration{299 * time.Millisecond}, 0, false},
		{"it asks for an orbit itself", []time.Duration{300 * time.Millisecond}, 200 * time.Millisecond, false},
		{"it did, and is silent now", []time.Duration{300 * time.Millisecond, 600 * time.Millisecond}, 200 * time.Millisecond, true},
		{"we come late", []time.Duration{450 * time.Millisecond}, 0, false},
		{"we came late, and nothing was waiting", []time.Duration{450 * time.Millisecond, 750 * time.Millisecond}, 0, true},
		{"too late", []time.Duration{2500 * time.Millisecond}, 2400 * time.Millisecond, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, now := arbiter(t)
			now = now.Add(time.Second)
			c.Step(now, Claim{Token: "t", Orbit: orbitOf(t, "b")})
			if test.spoken > 0 {
				c.Step(now.Add(test.spoken), Asked{Peer: "b", Token: "x", Orbit: orbitOf(t, "a")})
			}
			passed := false
			for _, at := range test.ticks {
				c.Step(now.Add(at), Heard{Peer: "c"})
				for _, e := range c.Step(now.Add(at), Tick{}) {
					ask, ok := e.(Ask)
					passed = passed || ok && ask.Peer != "b"
					_, ok = e.(Decided)
					passed = passed || ok
				}
			}
			if passed != test.passed {
				t.Errorf("passed over: %v, want %v", passed, test.passed)
			}
		})
	}
}

// orbitOf finds an orbit whose arbiter is name.
func orbitOf(t *testing.T, name string) string {
	t.Helper()
	for i := range 100 {
		if o := fmt.Sprint(700 + i); parkd.Rank(o, []string{"a", "b", "c"})[0] == name {
			return o
		}
	}
	t.Fatalf("%s is the arbiter of nothing", name)
	return ""
}

// An appliance that has just started lets others decide, and decides itself when it is alone.
func TestSettling(t *testing.T) {
	cfg := Default()
	cfg.Name = "a"
	cfg.Peers = []Peer{{Name: "b", Address: netip.MustParseAddrPort("10.0.0.2:5060")}}
	c := NewCore(cfg)
	c.Step(siteStart, Start{})
	if got := reply(c.Step(siteStart, Asked{"b", "t", "701"})); !got.Settling {
		t.Errorf("asked while settling: %+v", got)
	}
	es := c.Step(siteStart, Claim{Token: "p", Orbit: "701"})
	if want := (Decided{Token: "p", Orbit: "701", Granted: true}); !slices.Contains(es, Effect(want)) {
		t.Errorf("alone: %v, want %v", es, want)
	}
	c.Step(siteStart, Heard{Peer: "b"})
	es = c.Step(siteStart, Claim{Token: "q", Orbit: "702"})
	if want := (Ask{Peer: "b", Token: "q", Orbit: "702"}); !slices.Contains(es, Effect(want)) {
		t.Errorf("with a peer that knows more: %v, want %v", es, want)
	}
}

func TestRankMovesOnlyWhatItMust(t *testing.T) {
	names := []string{"dock-1", "dock-2", "dock-3", "office"}
	shares := map[string]int{}
	for i := range 1000 {
		orbit := fmt.Sprint(i)
		all := parkd.Rank(orbit, names)
		shares[all[0]]++
		shuffled := parkd.Rank(orbit, []string{"office", "dock-2", "dock-1", "dock-3"})
		if !slices.Equal(all, shuffled) {
			t.Fatalf("orbit %s: %v and %v", orbit, all, shuffled)
		}
		without := parkd.Rank(orbit, names[1:])
		if rest := slices.DeleteFunc(all, func(n string) bool { return n == "dock-1" }); !slices.Equal(rest, without) {
			t.Fatalf("orbit %s: %v, without dock-1 %v", orbit, all, without)
		}
	}
	for n, share := range shares {
		if share < 200 || share > 300 {
			t.Errorf("%s is the arbiter of %d of 1000", n, share)
		}
	}
}

func TestConfigErrorsNameKeyAndRange(t *testing.T) {
	good := Default()
	good.Name = "dock-1"
	good.Peers = []Peer{{Name: "dock-2", Address: netip.MustParseAddrPort("10.0.0.2:5060"), SRTP: "preferred"},
		{Name: "office", Address: netip.MustParseAddrPort("10.0.0.3:5060")}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no name", func(c *Config) { c.Name = "" }, `name = "": 1 to 64`},
		{"name with an at", func(c *Config) { c.Name = "a@b" }, `name = "a@b": 1 to 64`},
		{"peer is itself", func(c *Config) { c.Peers[0].Name = "dock-1" }, `peers[0].name = "dock-1": each name once`},
		{"peer twice", func(c *Config) { c.Peers[1].Name = "dock-2" }, `peers[1].name = "dock-2": each name once`},
		{"peer's name", func(c *Config) { c.Peers[1].Name = "" }, `peers[1].name = "": 1 to 64`},
		{"no address", func(c *Config) { c.Peers[1].Address = netip.AddrPort{} }, `peers[1].address: is missing: an address`},
		{"address twice", func(c *Config) { c.Peers[1].Address = c.Peers[0].Address }, `peers[1].address = "10.0.0.2:5060": each address once`},
		{"keys by TCP", func(c *Config) { c.Peers[1].SRTP = "required" }, `peers[1].srtp = "required": allowed are off and preferred: peers are reached by TCP`},
		{"srtp", func(c *Config) { c.Peers[1].SRTP = "yes" }, `peers[1].srtp = "yes": allowed are off and preferred`},
		{"probes", func(c *Config) { c.ProbeEvery = 0 }, "probe_every = 0s: 100ms to 30s"},
		{"dead before the second probe", func(c *Config) { c.DeadAfter = time.Second }, "dead_after = 1s: 2s to 5m0s"},
		{"claim wait", func(c *Config) { c.ClaimWait = time.Minute }, "claim_wait = 1m0s: 50ms to 2s"},
		{"too many", func(c *Config) { c.Peers = make([]Peer, 101) }, "peers has 101 entries: 0 to 100"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := good
			c.Peers = slices.Clone(good.Peers)
			tc.edit(&c)
			if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestDocumentRoundTrip(t *testing.T) {
	a := parkd.Announce{Epoch: 1 << 60, Generation: 7, Slots: []parkd.SlotState{
		{Orbit: "701", Lot: "main", CallID: "dock-1.x.1", Host: "dock-1", State: parkd.Recalling, Since: siteStart, Deadline: siteStart.Add(time.Second),
			Caller: parkd.Party{Name: "Ann <&>", URI: "sip:+4711@example.com", Number: "+4711"}, Parker: parkd.Party{URI: "tel:42", Number: "42"},
			Priority: 2, Epoch: 5, Generation: 6, Dialog: parkd.DialogRef{CallID: "c", LocalTag: "l", RemoteTag: "r"}},
		{Orbit: "702", CallID: "dock-1.x.2", Host: "dock-1", State: parkd.Parked, Since: siteStart},
	}}
	got, err := parse("dock-1", marshal("dock-1", a, false))
	if want := (Told{Peer: "dock-1", State: a}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := parse("dock-1", marshal("dock-1", a, true)); err != nil || !got.Closed {
		t.Errorf("closed: %v, %v", got.Closed, err)
	}
	if _, err := parse("dock-2", marshal("dock-1", a, false)); err == nil {
		t.Error("another appliance's document is taken")
	}
	local := parkd.Announce{Epoch: 1, Slots: []parkd.SlotState{{Orbit: "701", CallID: "x", State: parkd.Parked, Leg: "secret", Caller: parkd.Party{Number: "12"}}}}
	if got, err := parse("a", marshal("a", local, false)); err != nil || got.State.Slots[0].Leg != "" || got.State.Slots[0].Caller.Number != "12" {
		t.Errorf("legs stay at home, numbers travel: %+v, %v", got, err)
	}
}

func TestClaimRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		body []byte
		want Input
	}{
		{marshalClaim("b", wordClaim, "park:1 <&>", "701"), Asked{"b", "park:1 <&>", "701"}},
		{marshalClaim("b", wordRelease, "t", "*68"), Returned{"b", "t", "*68"}},
		{marshalRaise("b", 1<<63), Raised{1 << 63}},
	} {
		if got, err := parseRequest("b", tc.body); err != nil || got != tc.want {
			t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
		}
	}
	for _, bad := range [][]byte{nil, []byte("<presence/>"), marshalClaim("c", wordClaim, "t", "701"), marshalClaim("b", "steal", "t", "701"),
		marshalClaim("b", wordClaim, "", "701"), marshalClaim("b", wordClaim, "t", strings.Repeat("7", 17))} {
		if got, err := parseRequest("b", bad); err == nil {
			t.Errorf("%s is taken as %+v", bad, got)
		}
	}
	for _, r := range []Reply{{Granted: true}, {Settling: true}, {Reason: parkd.ReasonTaken}, {Reason: parkd.ReasonLostRace}, {Reason: parkd.ReasonUnknown}, {Reason: parkd.ReasonLimit}} {
		granted, silent, why := answerOf(codeOf(r))
		if granted != r.Granted || !silent && why != r.Reason || silent != (r.Settling || r.Reason == parkd.ReasonLimit) {
			t.Errorf("%+v comes back as granted %v, silent %v, %v", r, granted, silent, why)
		}
	}
}

// FuzzDocument: what a peer sends never panics, and what is understood says the same when told again.
func FuzzDocument(f *testing.F) {
	f.Add(marshal("b", parkd.Announce{Epoch: 1, Generation: 2, Slots: []parkd.SlotState{{Orbit: "701", CallID: "x", State: parkd.Parked, Since: siteStart}}}, false))
	f.Add(marshalClaim("b", wordClaim, "t", "701"))
	f.Add(marshalRaise("b", 9))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = parseRequest("b", body) // must not panic
		told, err := parse("b", body)
		if err != nil {
			return
		}
		again, err := parse("b", marshal("b", told.State, told.Closed))
		if err != nil || again.State.Epoch != told.State.Epoch || len(again.State.Slots) != len(told.State.Slots) {
			t.Fatalf("%+v became %+v, %v", told, again, err)
		}
	})
}

// BenchmarkClaim is one claim at its arbiter, given back.
func BenchmarkClaim(b *testing.B) {
	c, now := arbiter(b)
	b.ReportAllocs()
	for b.Loop() {
		if !reply(c.Step(now, Asked{"b", "t", "701"})).Granted {
			b.Fatal("refused")
		}
		c.Step(now, Returned{"b", "t", "701"})
	}
}

// BenchmarkDocument is what one change costs for each peer: ten calls written, and read at the far end.
func BenchmarkDocument(b *testing.B) {
	a := parkd.Announce{Epoch: 1, Generation: 1}
	for i := range 10 {
		a.Slots = append(a.Slots, parkd.SlotState{Orbit: fmt.Sprint(701 + i), CallID: fmt.Sprint("dock-1.x.", i), State: parkd.Parked, Since: siteStart,
			Caller: parkd.Party{Name: "Ann", URI: "sip:+4711@example.com"}, Dialog: parkd.DialogRef{CallID: "c", LocalTag: "l", RemoteTag: "r"}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse("dock-1", marshal("dock-1", a, false)); err != nil {
			b.Fatal(err)
		}
	}
}

// When the address of this appliance changes or its network is back, every peer is asked at once, and those that lived
// are watched anew.
func TestMovedAsksEverybody(t *testing.T) {
	c, now := arbiter(t)
	c.Step(now.Add(time.Second), Heard{Peer: "b"})
	c.Step(now.Add(10*time.Second), Tick{}) // both are dead
	c.Step(now.Add(11*time.Second), Heard{Peer: "b"})
	var got []string
	for _, e := range c.Step(now.Add(12*time.Second), Moved{}) {
		switch e.(type) {
		case Probe, Watch:
			got = append(got, fmt.Sprintf("%T %v", e, e))
		}
	}
	want := []string{"federation.Probe {b}", "federation.Watch {b}", "federation.Probe {c}"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A call that is over gives its orbit back at once, whoever the arbiter is.
func TestLeftOrbitIsFree(t *testing.T) {
	c, now := arbiter(t)
	near := orbitOf(t, "a")
	c.Step(now, Claim{Token: "u", Orbit: near})
	for _, step := range []struct {
		in   Input
		want Reply
	}{{nil, Reply{Reason: parkd.ReasonLostRace}}, {hosting(near), Reply{Reason: parkd.ReasonTaken}}, {hosting(), Reply{Granted: true}}} {
		c.Step(now, step.in)
		if r := reply(c.Step(now, Asked{"c", "v", near})); r != step.want {
			t.Errorf("after %v: %+v, want %+v", step.in, r, step.want)
		}
	}
}

// An appliance that stood still does not know what the peers host because some seconds have passed: whatever it hears first, it
// settles from then on.
func TestSettlesAfterAStandstill(t *testing.T) {
	asked := Asked{"b", "t", "701"}
	for what, first := range map[string]Input{"a claim": asked, "the clock": Tick{}, "a peer": Heard{Peer: "b"}} {
		cfg := Default()
		cfg.Name = "a"
		cfg.Peers = []Peer{{Name: "b", Address: netip.MustParseAddrPort("10.0.0.2:5060")}}
		c, now := NewCore(cfg), siteStart
		c.Step(now, Start{})
		now = now.Add(time.Minute)
		c.Step(now, first)
		if got := reply(c.Step(now, asked)); !got.Settling {
			t.Errorf("%s comes first: %+v", what, got)
		}
		for range cfg.DeadAfter/cfg.ProbeEvery + 1 {
			now = now.Add(cfg.ProbeEvery)
			c.Step(now, Tick{})
		}
		if got := reply(c.Step(now, asked)); !got.Granted {
			t.Errorf("%s comes first, and then nothing: %+v", what, got)
		}
	}
}

// A peer that answers, and whose document parkd has not taken yet, may host a call in any orbit.
func TestSettlesWhenParkdKnows(t *testing.T) {
	cfg := Default()
	cfg.Name = "a"
	cfg.Peers = []Peer{{Name: "b", Address: netip.MustParseAddrPort("10.0.0.2:5060")}}
	c := NewCore(cfg)
	c.Step(siteStart, Start{})
	c.Step(siteStart, Told{Peer: "b", State: parkd.Announce{Epoch: 1}})
	for _, heard := range []bool{false, true} {
		if heard {
			c.Step(siteStart, Known{parkd.Known{Heard: []string{"b"}}})
		}
		if got := reply(c.Step(siteStart, Asked{"b", "t", "701"})); got.Settling == heard {
			t.Errorf("parkd knows %v: %+v", heard, got)
		}
	}
}

// Whatever a process that stood still, or was cut off, hears or notices first when it goes on: for a while it does not know what
// its peers have done. Who answers, however soon, has said nothing of it.
func TestQuiet(t *testing.T) {
	for _, test := range []struct {
		name  string
		still time.Duration
		first []Input
		want  bool
	}{
		{"an answer as ever", time.Second, []Input{Heard{Peer: "b"}, Heard{Peer: "c"}, Tick{}}, false},
		{"nothing", 5 * time.Second, nil, true},
		{"nothing for long", time.Hour, nil, true},
		{"the peers' own requests", 5 * time.Second, []Input{Subscribed{Peer: "b"}, Subscribed{Peer: "c"}}, true},
		{"answers that waited", 5 * time.Second, []Input{Heard{Peer: "b"}, Heard{Peer: "c"}, Tick{}}, true},
		{"their documents, of which parkd has not heard", 5 * time.Second, []Input{Told{Peer: "b"}, Told{Peer: "c"}}, true},
		{"an answer to a claim", 5 * time.Second, []Input{Answered{Peer: "b"}, Answered{Peer: "c"}}, true},
		{"the clock", time.Hour, []Input{Tick{}}, true},
	} {
		c, now := arbiter(t)
		for _, in := range []Input{Heard{Peer: "b"}, Heard{Peer: "c"}} {
			c.Step(now, in)
		}
		now = now.Add(test.still)
		for _, in := range test.first {
			c.Step(now, in)
		}
		if got := c.Quiet(now); got != test.want {
			t.Errorf("%s after %v: quiet %v, want %v", test.name, test.still, got, test.want)
		}
		for range parkd.LateWord/time.Second + 1 {
			now = now.Add(time.Second)
			c.Step(now, Tick{})
			c.Step(now, Heard{Peer: "b"})
			c.Step(now, Heard{Peer: "c"})
		}
		if c.Quiet(now) {
			t.Errorf("%s after %v: quiet for ever", test.name, test.still)
		}
	}
}
