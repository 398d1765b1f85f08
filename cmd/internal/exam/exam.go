// Package exam carries out self tests: it walks a person through a phone, or a gateway through what needs no hands, as package
// selftest says, and signs and keeps the report. It knows the appliance by what Options and Phone ask of it, and nothing of calls.
//
// One test is under way at a time. It is owned by the appliance's loop, which calls Begin, Key, Stop, Underway and HookUp, and is
// called back by Phone; what takes time is done by Run, the worker, one job after another.
package exam

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"parklamp/board"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/selftest"
	"parklamp/keypad"
	"parklamp/media/audio"
	"parklamp/media/prompt"
	"parklamp/media/tone"
	"parklamp/parkd/panel"
	"parklamp/sip/phone"
)

const (
	// MaxEvents is the capacity of a channel of events, far above what one test can tell; a reader that is so far behind misses
	// questions, never the end.
	MaxEvents = 1024
	// dialledFor is how long the digits of an emergency number may take.
	dialledFor = 5 * time.Second
	// maxJobs bounds what waits for the worker: the end of a test that was ended, and the first measurement of the next.
	maxJobs = 8
	// walkTimer and keyTimer are the loop's timers of a test.
	walkTimer, keyTimer = "selftest", "selftest key"
)

// ErrUnderway is that of a test while there is one.
var ErrUnderway = fmt.Errorf("%w: a self test is under way", panel.ErrNotNow)

// Loop is the goroutine that owns the appliance, and the tests.
type Loop struct {
	Post  func(f func())                               // from other goroutines
	After func(name string, d time.Duration, f func()) // f once, d from now, unless Stop or another After of the name comes first
	Stop  func(name string)
}

// Measurements measure what needs neither hands nor sound. The worker calls them.
type Measurements = map[selftest.Step]func(context.Context) []selftest.Finding

// Options is what an Examiner is told of the appliance.
type Options struct {
	Loop    Loop
	Config  selftest.Config // with the key and the certificate that sign
	Name    string
	Number  string
	Version string
	Health  *health.Set
	Measure func() Measurements // called by the loop
	Log     *slog.Logger
}

// Phone is the desk phone as a test uses it. The loop calls it.
type Phone interface {
	Parts() selftest.Phone // what there is to be tested
	Model() string

	Rest()              // a lifted handset counts as on hook while the test goes on, and nothing is muted
	Resume(hookUp bool) // lamps, sounds and handset are the phone's again, which is where hands have left it
	Light(map[board.Lamp]board.Colour)
	Told(prompt.Phrase) // is what a person is being told
	Sound() audio.Device
	Country() string                // of the tones
	Simulated() bool                // the sound
	SoundFault() string             // what is wrong with the sound card, "" for nothing
	Emergency(digits string) string // the emergency number that they end with, "" for none
	Dial(number string)
}

// Examiner makes the self tests of one appliance.
type Examiner struct {
	o    Options
	jobs chan func(context.Context) // capacity maxJobs; a full one refuses
	exam *exam                      // owned by the loop; nil: none is under way
}

// New makes an examiner. It starts nothing.
func New(o Options) *Examiner {
	return &Examiner{o: o, jobs: make(chan func(context.Context), maxJobs)}
}

// Run does what takes time for self tests, one after another, until ctx ends.
func (x *Examiner) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case job := <-x.jobs:
			job(ctx)
		}
	}
}

// Underway says whether a phone is being tested: then its keys are those of the test.
func (x *Examiner) Underway() bool { return x.exam != nil }

// HookUp says whether the handset is lifted, as the test that is under way has seen it last.
func (x *Examiner) HookUp() bool { return x.exam != nil && x.exam.hookUp }

// Key takes what hands do during a test.
func (x *Examiner) Key(k keypad.Event) {
	if x.exam != nil {
		x.exam.key(k)
	}
}

// Stop ends the test that is under way, if there is one.
func (x *Examiner) Stop(reason string) {
	if x.exam != nil {
		x.exam.take(selftest.Stop{Reason: reason})
	}
}

// exam is a self test under way. It is owned by the loop; what takes time is done by the worker.
type exam struct {
	examiner *Examiner
	phone    Phone
	walk     *selftest.Machine
	report   selftest.Report
	events   chan []byte // capacity MaxEvents; nil: nobody reads
	ctx      context.Context
	cancel   context.CancelFunc
	hookUp   bool
	recorded []int16 // by the last Record

	digits  []byte // pressed lately, for emergency numbers
	strayed bool   // one of them was not asked for
	digitAt time.Time
}

// Begin begins the test of a phone, whose handset may be lifted and whose keys may be jammed. It ends when ctx does. What is told
// of it goes to events, a channel of MaxEvents that is closed at the end; nil: nobody reads.
func (x *Examiner) Begin(ctx context.Context, p Phone, by string, steps []selftest.Step, hookUp bool, jammed []board.Key, events chan []byte) {
	p.Rest()
	e := &exam{examiner: x, phone: p, events: events, hookUp: hookUp, walk: selftest.New(p.Parts(), steps, hookUp, rand.Uint64())}
	e.report = x.newReport(by, p.Model(), steps)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	x.exam = e
	x.o.Log.Info("a self test begins", "by", by, "steps", steps)
	e.take(selftest.Begin{})
	for _, k := range jammed {
		e.take(selftest.Jammed{Key: string(k)})
	}
	context.AfterFunc(ctx, func() { e.post(selftest.Stop{Reason: "who started it has gone"}) })
}

// key takes what hands do during the test.
func (e *exam) key(k keypad.Event) {
	id := string(k.Key)
	switch k.Kind {
	case keypad.Down:
		if number := e.dialled(id); number != "" {
			e.take(selftest.Stop{Reason: "an emergency number was dialled"})
			e.phone.Dial(number)
			return
		}
		e.take(selftest.Press{Key: id})
	case keypad.Up:
		e.take(selftest.Release{Key: id})
	case keypad.Long:
		e.take(selftest.Long{Key: id})
	case keypad.Stuck, keypad.Held:
		e.take(selftest.Jammed{Key: id})
	case keypad.Lifted, keypad.Replaced:
		e.hookUp = k.Kind == keypad.Lifted
		e.take(selftest.HookMove{Up: e.hookUp})
	}
}

// dialled says which emergency number was dialled: it dials from any state, also when keys mean something else. Keys that
// were all asked for are none.
func (e *exam) dialled(key string) string {
	if len(key) != 1 || key == "#" { // # is in no emergency number
		e.digits, e.strayed = nil, false
		return ""
	}
	if time.Since(e.digitAt) > dialledFor {
		e.digits, e.strayed = nil, false
	}
	e.digitAt = time.Now()
	e.digits = append(e.digits, key[0])
	e.digits = e.digits[max(0, len(e.digits)-phone.MaxDigits):]
	e.strayed = e.strayed || e.walk.Expects() != key
	if !e.strayed {
		return ""
	}
	return e.phone.Emergency(string(e.digits))
}

// take steps the walk and carries out what it says.
func (e *exam) take(in selftest.Input) {
	if e.examiner.exam != e {
		return // over
	}
	for _, effect := range e.walk.Step(in) {
		e.do(effect)
	}
}

// post steps the walk from another goroutine.
func (e *exam) post(in selftest.Input) { e.examiner.o.Loop.Post(func() { e.take(in) }) }

func (e *exam) do(effect selftest.Effect) {
	x := e.examiner
	switch f := effect.(type) {
	case selftest.Ask:
		x.tell(e.events, selftest.Event{Ask: &selftest.Question{Step: f.Step, Item: f.Item, Number: f.Number, Of: f.Of, Text: f.Text, Again: f.Again,
			Seconds: int(f.For / time.Second)}})
	case selftest.Note:
		x.tell(e.events, selftest.Event{Finding: &f.Finding})
	case selftest.Show:
		shown := map[board.Lamp]board.Colour{}
		for l, c := range f.Lamps {
			shown[board.Lamp(l)] = map[selftest.Colour]board.Colour{selftest.Green: board.Green, selftest.Red: board.Red, selftest.Amber: board.Amber}[c]
		}
		e.phone.Light(shown)
	case selftest.Open:
		e.phone.Sound().Open(map[selftest.Path]audio.Path{selftest.OnHandset: audio.PathHandset, selftest.OnHeadset: audio.PathHeadset,
			selftest.OnSpeaker: audio.PathSpeaker}[f.Path])
	case selftest.Say:
		e.phone.Told(f.Words)
		e.phone.Sound().Play(f.Words.Source(), func() { e.post(selftest.Heard{Sound: f.Sound}) })
	case selftest.PlayTone:
		e.phone.Sound().Play(tone.New(e.phone.Country(), tone.Dial), nil)
	case selftest.Record:
		e.record(f.For)
	case selftest.Replay:
		e.phone.Sound().Play(&recording{samples: e.recorded}, func() { e.post(selftest.Heard(f)) })
	case selftest.Measure:
		e.measure(f.Step)
	case selftest.Wait:
		name := walkTimer
		if f.Key {
			name = keyTimer
		}
		x.o.Loop.After(name, f.After, func() { e.take(selftest.Timer{ID: f.ID, Key: f.Key}) })
	case selftest.End:
		e.end(f)
	default:
		panic(fmt.Sprintf("exam: effect %T of the self test is not carried out", f))
	}
}

// end gives the phone back, then writes the report.
func (e *exam) end(f selftest.End) {
	x := e.examiner
	x.exam = nil
	e.cancel()
	x.o.Loop.Stop(walkTimer)
	x.o.Loop.Stop(keyTimer)
	e.phone.Resume(e.hookUp)
	x.o.Log.Info("the self test is over", "outcome", f.Outcome, "err", f.Reason, "ignored", e.walk.Ignored())
	x.closeReport(&e.report, f, e.walk.Findings())
	e.work(func(ctx context.Context) { x.publish(ctx, e.report, e.events) })
}

// work hands something that takes time to the worker; if too much waits it is not done, which the walk's timer notices.
func (e *exam) work(job func(context.Context)) {
	select {
	case e.examiner.jobs <- job:
	default:
		e.examiner.o.Log.Warn("the self test has too much to do at once")
	}
}

// tell sends an event to whoever started a self test; events is nil if nobody listens.
func (x *Examiner) tell(events chan<- []byte, v selftest.Event) {
	text, err := json.Marshal(v)
	if err != nil {
		x.o.Log.Error("an event of the self test cannot be written", "err", err) // a figure that is no number
		return
	}
	select {
	case events <- text:
	default:
	}
}
