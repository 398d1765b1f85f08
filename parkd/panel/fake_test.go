package panel

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// fakePhone is a Backend with a call in hand that Park parks on 701. It keeps
// what was done to it.
type fakePhone struct {
	mu       sync.Mutex
	status   Status
	presses  []string // "down park", "up park", "hook up", "dial 12"
	changed  map[int]func()
	next     int
	refuse   error         // returned by Press, Hook and Dial instead of doing it
	blind    bool          // the keypad does not notice what is pressed
	pressed  chan string   // capacity 256: each entry of presses as it comes
	frames   chan []int16  // what Listen hands out; nil: a tone of 1 kHz in real time
	earsOpen chan struct{} // capacity 16: one for each Listen
	earsShut chan struct{} // capacity 16: one for each ended Listen
}

var _ Backend = (*fakePhone)(nil)

func newFakePhone() *fakePhone {
	now := time.Now()
	f := &fakePhone{
		changed: make(map[int]func()), pressed: make(chan string, 256),
		earsOpen: make(chan struct{}, 16), earsShut: make(chan struct{}, 16),
	}
	f.status = Status{
		Appliance: Appliance{Name: "dock-1", Version: "parklamp 0.2", Started: now.Add(-3 * time.Hour), Addresses: []string{"udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"}},
		Phone: Phone{HookUp: true, State: "talking", Volume: 6, VolumeMax: 10, Party: Party{Name: "Jane Miller", Number: "0123456"},
			Prompt: "two calls are parked", PromptAt: now.Add(-70 * time.Second)},
		Peers: []Peer{{"dock-2", "127.0.0.2:5060", PeerAlive, now.Add(-time.Hour)}, {"office", "127.0.0.3:5060", PeerDead, now.Add(-42 * time.Second)}},
		Calls: []Call{{ID: "c1", State: "talking", Direction: "in", Remote: Party{Name: "Jane Miller", Number: "0123456"}, Since: now.Add(-25 * time.Second),
			Media:   Media{Codec: "PCMU", Remote: "127.0.0.1:40000", Sent: 1250, Received: 1247, Lost: 3, JitterMS: 0.4},
			Quality: Quality{In: Sound{Known: true, LossPercent: 0.2, R: 88.1, MOS: 4.3}, Out: Sound{Known: true, LossPercent: 1.5, DiscardPercent: 0.4, R: 84, MOS: 4.2}, RoundTripMS: 24}}},
		Ended: []Call{{ID: "c0", State: "ended", Direction: "out", Remote: Party{Number: "202"}, Since: now.Add(-5 * time.Minute), Ended: now.Add(-time.Minute), Cause: "remote", Media: Media{Codec: "G722", Encryption: "AES_CM_128_HMAC_SHA1_80"},
			Quality: Quality{In: Sound{Known: true, LossPercent: 7, JitterMS: 12.34, R: 70, MOS: 3.6}, Out: Sound{Known: true, DiscardPercent: .3, JitterMS: 2, R: 92.6, MOS: 4.4}, RoundTripMS: 31}}},
		Health:   []Condition{{"peer-dead", SeverityError, now.Add(-42 * time.Second), "office does not answer", "Look whether the appliance has power and network; its orbits are shown as not known."}},
		Accounts: []Account{{AOR: "sip:dock-1@example.net", Registrar: "sip:pbx.example.net", State: "registered", Since: now.Add(-time.Hour), Expires: now.Add(time.Hour)}},
	}
	key := func(id, label, group string) { f.status.Keys = append(f.status.Keys, Key{id, label, group}) }
	lamp := func(id, label string) {
		f.status.Lamps = append(f.status.Lamps, Lamp{ID: id, Label: label, Colour: Off, Pattern: "off"})
	}
	for _, d := range "123456789*0#" {
		key(string(d), string(d), GroupKeypad)
	}
	for _, k := range [][2]string{{"park", "Park"}, {"hold", "Hold"}, {"transfer", "Transfer"}, {"redial", "Redial"}, {"mute", "Mute"}, {"dnd", "Do not disturb"}, {"conference", "Conference"}, {"headset", "Headset"},
		{"volume-up", "Volume +"}, {"volume-down", "Volume -"}} {
		key(k[0], k[1], GroupFunction)
	}
	lamp("park", "Park")
	lamp("mute", "Mute")
	lamp("dnd", "Do not disturb")
	lamp("conference", "Conference")
	for n := 701; n <= 710; n++ {
		id := "orbit-" + strconv.Itoa(n)
		key(id, strconv.Itoa(n), GroupOrbit)
		lamp(id, strconv.Itoa(n))
		f.status.Orbits = append(f.status.Orbits, Orbit{Number: strconv.Itoa(n), State: StateFree})
		f.set(strconv.Itoa(n), StateFree)
	}
	lamp("fault", "Fault")
	lamp("any-parked", "Any parked")
	return f
}

// cadences are those of DESIGN.md.
var cadences = map[string]struct {
	colour  Colour
	cadence Cadence
}{
	StateFree:            {Off, nil},
	StateParkedHere:      {Green, Cadence{400 * time.Millisecond, 100 * time.Millisecond}},
	StateParkedElsewhere: {Red, Cadence{100 * time.Millisecond, 400 * time.Millisecond}},
	StateRecalling:       {Red, Cadence{125 * time.Millisecond, 125 * time.Millisecond}},
	StateEnding:          {Red, Cadence{125 * time.Millisecond, 125 * time.Millisecond}},
	StateQueued:          {Red, Cadence{100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 700 * time.Millisecond}},
	StateFetching:        {Green, Cadence{100 * time.Millisecond, 100 * time.Millisecond}},
	StateUnknown:         {Amber, nil},
}

// set puts an orbit into a state without telling anybody. It works on copies,
// as a Backend must.
func (f *fakePhone) set(number, state string, calls ...ParkedCall) {
	f.status.Orbits = slices.Clone(f.status.Orbits)
	f.status.Lamps = slices.Clone(f.status.Lamps)
	for i := range f.status.Orbits {
		if o := &f.status.Orbits[i]; o.Number == number {
			*o = Orbit{Number: number, State: state, Calls: calls}
			if len(calls) > 0 {
				c := calls[0]
				o.Caller, o.Parker, o.Host, o.Since, o.Deadline = c.Caller, c.Parker, c.Host, c.Since, c.Deadline
			}
		}
	}
	f.light("orbit-"+number, cadences[state].colour, state, cadences[state].cadence)
}

func (f *fakePhone) light(id string, colour Colour, pattern string, cadence Cadence) {
	for i := range f.status.Lamps {
		if l := &f.status.Lamps[i]; l.ID == id {
			l.Colour, l.Pattern, l.Cadence = colour, pattern, cadence
		}
	}
}

// change changes the status and tells the subscribers.
func (f *fakePhone) change(how func(f *fakePhone)) {
	f.mu.Lock()
	how(f)
	tell := make([]func(), 0, len(f.changed))
	for _, c := range f.changed {
		tell = append(tell, c)
	}
	f.mu.Unlock()
	for _, c := range tell {
		c()
	}
}

func (f *fakePhone) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	s.At = time.Now()
	return s
}

func (f *fakePhone) Subscribe(changed func()) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	n := f.next
	f.changed[n] = changed
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.changed, n)
	}
}

func (f *fakePhone) note(what string) error {
	if f.refuse != nil {
		return f.refuse
	}
	f.presses = append(f.presses, what)
	f.pressed <- what
	return nil
}

func (f *fakePhone) Press(key string, action Action) error {
	f.mu.Lock()
	known := slices.ContainsFunc(f.status.Keys, func(k Key) bool { return k.ID == key })
	var err error
	if !known {
		err = fmt.Errorf("press %s: %w", strconv.Quote(key), ErrNoSuchKey)
	} else {
		err = f.note(string(action) + " " + key)
	}
	f.mu.Unlock()
	if err == nil && key == "park" && action == Down {
		f.change(func(f *fakePhone) {
			now := time.Now()
			f.set("701", StateParkedHere, ParkedCall{ID: "c1", State: "parked", Caller: Party{Name: "Jane Miller", Number: "0123456"},
				Parker: Party{Name: "Dock 1", Number: "201"}, Host: "dock-1", Since: now, Deadline: now.Add(90 * time.Second)})
			f.status.Phone.State, f.status.Phone.Prompt, f.status.Phone.PromptAt = "parked", "parked on seven zero one", now
		})
	}
	return err
}

func (f *fakePhone) Looked(string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.blind
}

func (f *fakePhone) Hook(up bool) error {
	what := map[bool]string{true: "hook up", false: "hook down"}[up]
	f.mu.Lock()
	err := f.note(what)
	f.mu.Unlock()
	if err == nil {
		f.change(func(f *fakePhone) {
			f.status.Phone = Phone{HookUp: up, State: map[bool]string{true: "dial-tone", false: "idle"}[up], Volume: 6, VolumeMax: 10}
			if up {
				f.status.Phone.Tone = "dial"
			}
		})
	}
	return err
}

func (f *fakePhone) Dial(digits string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.note("dial " + digits)
}

func (f *fakePhone) Listen(ctx context.Context) (<-chan []int16, error) {
	f.earsOpen <- struct{}{}
	out := make(chan []int16)
	go func() {
		defer func() { close(out); f.earsShut <- struct{}{} }()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; {
			var frame []int16
			if f.frames == nil {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				frame = make([]int16, frameSamples)
				for i := range frame {
					frame[i] = int16(12000 * math.Sin(2*math.Pi*1000*float64(n)/sampleRate))
					n++
				}
			} else {
				select {
				case frame = <-f.frames:
				case <-ctx.Done():
					return
				}
			}
			select {
			case out <- frame:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
