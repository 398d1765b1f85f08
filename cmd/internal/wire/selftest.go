package wire

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parklamp/board"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/selftest"
	"parklamp/keypad"
	"parklamp/media/audio"
	"parklamp/media/tone"
	"parklamp/parkd/panel"
	"parklamp/sip/phone"
)

const (
	// maxEvents is far above what one test can tell; a reader that is so far behind misses questions, never the end.
	maxEvents = 1024
	// dialledFor is how long the digits of an emergency number may take.
	dialledFor = 5 * time.Second
)

// maxJobs bounds what waits for the worker: the end of a test that was ended, and the first measurement of the next.
const maxJobs = 8

// exam is a self test under way. It is owned by the loop; what takes time is done by the worker.
type exam struct {
	*desk
	walk     *selftest.Machine
	report   selftest.Report
	events   chan []byte // capacity maxEvents; nil: nobody reads
	ctx      context.Context
	cancel   context.CancelFunc
	recorded []int16 // by the last Record

	digits  []byte // pressed lately, for emergency numbers
	strayed bool   // one of them was not asked for
	digitAt time.Time
}

var _ panel.SelfTester = (*Appliance)(nil)

// SelfTest implements panel.SelfTester.
func (a *Appliance) SelfTest(ctx context.Context, r panel.SelfTestRequest) (<-chan []byte, error) {
	steps, err := selftest.Choose(r.Steps)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", panel.ErrInvalid, err)
	}
	if a.desk == nil {
		return a.testGateway(ctx, r, steps)
	}
	events := make(chan []byte, maxEvents)
	err = errStops
	a.loop.ask(func() {
		var e *exam
		if e, err = a.desk.examine("parkctl", steps, r.Force, events); err == nil {
			context.AfterFunc(ctx, func() { a.loop.post(func() { e.take(selftest.Stop{Reason: "who started it has gone"}) }) })
		}
	})
	return events, err
}

var errStops = fmt.Errorf("%w: the appliance stops", panel.ErrNotNow)

// Reports implements panel.SelfTester.
func (a *Appliance) Reports() ([]string, error) { return selftest.Reports(a.cfg.SelfTest.Reports) }

// Report implements panel.SelfTester.
func (a *Appliance) Report(name string) ([]byte, error) {
	names, err := a.Reports()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(names, func(n string) bool { return n == name || selftest.SignaturePath(n) == name }) {
		return nil, fmt.Errorf("%w: %q", panel.ErrNoSuchReport, name)
	}
	b, err := os.ReadFile(filepath.Join(a.cfg.SelfTest.Reports, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q", panel.ErrNoSuchReport, name)
	}
	return b, err
}

// runJobs does what takes time for self tests, one after another, until ctx ends.
func (a *Appliance) runJobs(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case job := <-a.jobs:
			job(ctx)
		}
	}
}

// examine begins a self test, or says why it cannot be now: a call is never disturbed.
func (d *desk) examine(by string, steps []selftest.Step, force bool, events chan []byte) (*exam, error) {
	v := d.machine.View()
	switch {
	case d.exam != nil:
		return nil, fmt.Errorf("%w: a self test is under way", panel.ErrNotNow)
	case len(v.Calls) > 0:
		return nil, fmt.Errorf("%w: there is a call at this phone", panel.ErrNotNow)
	case v.State != phone.Idle && !v.HookUp:
		return nil, fmt.Errorf("%w: somebody is using this phone", panel.ErrNotNow)
	case !force && len(d.lot.machine.Hosted().Slots) > 0:
		return nil, fmt.Errorf("%w: callers are parked at this phone; --force tests all the same and leaves them where they are", panel.ErrNotNow)
	case !force && len(d.legs) > 0:
		return nil, fmt.Errorf("%w: a call goes through this phone; --force tests all the same and leaves it alone", panel.ErrNotNow)
	}
	if v.HookUp { // the phone rests meanwhile
		d.step(phone.Hook{Up: false})
	}
	e := &exam{desk: d, events: events, walk: selftest.New(d.parts(), steps, v.HookUp, rand.Uint64())}
	e.report = d.newReport(by, d.board.Model().Name, steps)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	d.hookUp = v.HookUp
	d.exam = e
	d.handset.mute(false)
	d.log.Info("a self test begins", "by", by, "steps", steps)
	e.take(selftest.Begin{})
	for k := range d.jammed {
		e.take(selftest.Jammed{Key: string(k)})
	}
	return e, nil
}

// parts is what this phone has to be tested.
func (d *desk) parts() selftest.Phone {
	m := d.board.Model()
	p := selftest.Phone{Hook: m.Hook != ""}
	for _, k := range m.Keys {
		orbit, isOrbit := strings.CutPrefix(string(k.Key), board.OrbitPrefix)
		if !isOrbit {
			orbit = ""
		}
		p.Keys = append(p.Keys, selftest.Key{ID: string(k.Key), Label: k.Label, Orbit: orbit})
	}
	for _, l := range m.Lamps {
		p.Lamps = append(p.Lamps, selftest.Lamp{ID: string(l.Lamp), Label: l.Label, Green: l.Green != board.NoLine, Red: l.Red != board.NoLine,
			Steady: l.Steady != board.NoLine})
	}
	_, key := m.Key(headsetKey)
	p.Headset = key || d.handset.hasHeadset()
	sound, _ := d.health.Get(soundCode)
	p.Sound = sound.Text
	p.Faults = itemFaults(m, d.health.All())
	return p
}

// itemFaults says which items of a self test hang on lines that are known to be missing, and why.
func itemFaults(m board.Model, conditions []health.Condition) map[string]string {
	if m.Wiring == nil {
		return nil
	}
	parts := map[string]string{}
	for _, c := range conditions {
		if part, is := strings.CutPrefix(c.Code, boardCode); is {
			parts[part] = c.Text
		}
	}
	faults := map[string]string{}
	look := func(item string, lines ...string) {
		for _, l := range lines {
			if fault := cmp.Or(parts[l], parts[m.Wiring.Lines[l].Chip]); fault != "" {
				faults[item] = fault
			}
		}
	}
	for _, k := range m.Keys {
		look(string(k.Key), m.Rows[k.Row], m.Columns[k.Column])
	}
	for _, l := range m.Lamps {
		for what, line := range map[string]board.Line{"green": l.Green, "red": l.Red, "contact": l.Steady} {
			if line != board.NoLine {
				look(string(l.Lamp)+" "+what, m.LEDs[line])
			}
		}
	}
	if m.Hook != "" {
		look(selftest.HookSwitch, m.Hook)
	}
	return faults
}

// key takes what hands do during the test.
func (e *exam) key(k keypad.Event) {
	id := string(k.Key)
	switch k.Kind {
	case keypad.Down:
		if number := e.dialled(id); number != "" {
			d := e.desk
			e.take(selftest.Stop{Reason: "an emergency number was dialled"})
			for _, digit := range []byte(number) {
				d.step(phone.Digit{Digit: digit})
			}
			return
		}
		e.take(selftest.Press{Key: id})
	case keypad.Up:
		delete(e.jammed, k.Key)
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
	if e.now().Sub(e.digitAt) > dialledFor {
		e.digits, e.strayed = nil, false
	}
	e.digitAt = e.now()
	e.digits = append(e.digits, key[0])
	e.digits = e.digits[max(0, len(e.digits)-phone.MaxDigits):]
	e.strayed = e.strayed || e.walk.Expects() != key
	if !e.strayed {
		return ""
	}
	return e.machine.EmergencyAtEnd(string(e.digits))
}

// take steps the walk and carries out what it says.
func (e *exam) take(in selftest.Input) {
	if e.desk.exam != e {
		return // over
	}
	for _, effect := range e.walk.Step(in) {
		e.do(effect)
	}
}

// post steps the walk from another goroutine.
func (e *exam) post(in selftest.Input) { e.loop.post(func() { e.take(in) }) }

func (e *exam) do(effect selftest.Effect) {
	switch f := effect.(type) {
	case selftest.Ask:
		e.tellTester(e.events, selftest.Event{Ask: &selftest.Question{Step: f.Step, Item: f.Item, Number: f.Number, Of: f.Of, Text: f.Text, Again: f.Again,
			Seconds: int(f.For / time.Second)}})
	case selftest.Note:
		e.tellTester(e.events, selftest.Event{Finding: &f.Finding})
	case selftest.Show:
		shown := map[board.Lamp]board.Colour{}
		for l, c := range f.Lamps {
			shown[board.Lamp(l)] = map[selftest.Colour]board.Colour{selftest.Green: board.Green, selftest.Red: board.Red, selftest.Amber: board.Amber}[c]
		}
		e.lamps.Override(shown)
	case selftest.Open:
		e.handset.device.Open(map[selftest.Path]audio.Path{selftest.OnHandset: audio.PathHandset, selftest.OnHeadset: audio.PathHeadset,
			selftest.OnSpeaker: audio.PathSpeaker}[f.Path])
	case selftest.Say:
		e.told(f.Words)
		e.handset.device.Play(f.Words.Source(), func() { e.post(selftest.Heard{Sound: f.Sound}) })
	case selftest.PlayTone:
		e.handset.device.Play(tone.New(e.handset.country, tone.Dial), nil)
	case selftest.Record:
		e.record(f.For)
	case selftest.Replay:
		e.handset.device.Play(&recording{samples: e.recorded}, func() { e.post(selftest.Heard(f)) })
	case selftest.Measure:
		e.measure(f.Step)
	case selftest.Wait:
		name := "selftest"
		if f.Key {
			name = "selftest key"
		}
		e.loop.after(name, f.After, func() { e.take(selftest.Timer{ID: f.ID, Key: f.Key}) })
	case selftest.End:
		e.end(f)
	default:
		panic(fmt.Sprintf("wire: effect %T of the self test is not carried out", f))
	}
}

// tellTester sends an event to whoever started a self test; events is nil if nobody listens.
func (a *Appliance) tellTester(events chan<- []byte, v selftest.Event) {
	text, err := json.Marshal(v)
	if err != nil {
		a.log.Error("an event of the self test cannot be written", "err", err) // a figure that is no number
		return
	}
	select {
	case events <- text:
	default:
	}
}

// end gives the phone back its lamps, sounds and handset, then writes the report.
func (e *exam) end(f selftest.End) {
	d := e.desk
	d.exam = nil
	e.cancel()
	e.loop.stop("selftest")
	e.loop.stop("selftest key")
	e.lamps.Override(nil)
	e.handset.quiet()
	e.handset.mute(d.machine.View().Muted)
	e.handset.device.Open(audio.PathClosed)
	e.log.Info("the self test is over", "outcome", f.Outcome, "err", f.Reason, "ignored", e.walk.Ignored())
	e.closeReport(&e.report, f, e.walk.Findings())
	e.work(func(ctx context.Context) { d.publish(ctx, e.report, e.events) })
	if e.hookUp {
		d.step(phone.Hook{Up: true})
	}
}

// publish signs and keeps a report and tells who waits for it; events is nil if nobody does. It runs on the worker.
func (a *Appliance) publish(ctx context.Context, r selftest.Report, events chan []byte) {
	trouble := func(err error) { a.log.Warn("the self test's report", "err", err) }
	result := selftest.Result{Outcome: r.Outcome, Reason: r.Reason}
	var errs []error
	text, err := r.Encode()
	errs = append(errs, err)
	key, cert := a.cfg.SelfTest.Key, a.cfg.SelfTest.Certificate
	if key == "" {
		key, cert = a.cfg.SIP.TLSKey, a.cfg.SIP.TLSCert
	}
	if key == "" {
		errs = append(errs, errors.New("is not signed: neither selftest.key nor sip.tls_key is set"))
	} else if id, err := selftest.OpenIdentity(cert, key); err != nil {
		errs = append(errs, fmt.Errorf("is not signed: %w", err))
	} else if result.Signature, err = id.Sign(text); err != nil {
		errs = append(errs, err)
	}
	result.Report = string(text)
	if result.Path, err = selftest.Store(a.cfg.SelfTest.Reports, r.Started, text, result.Signature, a.cfg.SelfTest.Keep); err != nil {
		errs = append(errs, fmt.Errorf("is not kept: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		trouble(err)
		result.Trouble = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if events == nil {
		return
	}
	defer close(events)
	if text, err = json.Marshal(selftest.Event{End: &result}); err != nil {
		trouble(err)
		return
	}
	select {
	case events <- text:
	case <-ctx.Done():
	case <-time.After(stopGrace): // a reader that is so far behind is gone
	}
}

// work hands something that takes time to the worker; if too much waits it is not done, which the walk's timer notices.
func (e *exam) work(job func(context.Context)) {
	select {
	case e.jobs <- job:
	default:
		e.log.Warn("the self test has too much to do at once")
	}
}

// ailing lists what ails the appliance so much that a person should hear of it.
func (a *Appliance) ailing() []health.Condition {
	return slices.DeleteFunc(a.health.All(), func(c health.Condition) bool { return c.Severity != health.Error })
}
