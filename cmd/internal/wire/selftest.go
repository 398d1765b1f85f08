package wire

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parklamp/board"
	"parklamp/cmd/internal/exam"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/selftest"
	"parklamp/media/audio"
	"parklamp/media/prompt"
	"parklamp/parkd/panel"
	"parklamp/sip/phone"
)

var _ panel.SelfTester = (*Appliance)(nil)

// newExaminer makes who carries out the self tests.
func (a *Appliance) newExaminer() *exam.Examiner {
	cfg := a.cfg.SelfTest
	if cfg.Key == "" {
		cfg.Key, cfg.Certificate = a.cfg.SIP.TLSKey, a.cfg.SIP.TLSCert
	}
	return exam.New(exam.Options{Loop: exam.Loop{Post: a.loop.post, After: a.loop.after, Stop: a.loop.stop}, Config: cfg,
		Name: a.cfg.Appliance.Name, Number: a.cfg.Appliance.Number, Version: a.version, Health: a.health, Measure: a.measurements, Log: a.log})
}

// SelfTest implements panel.SelfTester.
func (a *Appliance) SelfTest(ctx context.Context, r panel.SelfTestRequest) (<-chan []byte, error) {
	steps, err := selftest.Choose(r.Steps)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", panel.ErrInvalid, err)
	}
	events := make(chan []byte, exam.MaxEvents)
	if a.desk == nil {
		return events, a.testGateway(ctx, r, steps, events)
	}
	err = errStops
	a.loop.ask(func() { err = a.desk.examine(ctx, "parkctl", steps, r.Force, events) })
	return events, err
}

var errStops = fmt.Errorf("%w: the appliance stops", panel.ErrNotNow)

// Reports implements panel.SelfTester.
func (a *Appliance) Reports() ([]string, error) { return a.examiner.Reports() }

// Report implements panel.SelfTester.
func (a *Appliance) Report(name string) ([]byte, error) { return a.examiner.Report(name) }

// testGateway begins the self test of an appliance without a phone.
func (a *Appliance) testGateway(ctx context.Context, r panel.SelfTestRequest, steps []selftest.Step, events chan []byte) error {
	if len(r.Steps) == 0 {
		steps = exam.HandsOff
	}
	for _, s := range steps {
		if !slices.Contains(exam.HandsOff, s) {
			return fmt.Errorf("%w: step %s: this appliance has no phone; it can test network, disk and clock", panel.ErrInvalid, s)
		}
	}
	err := errStops
	a.loop.ask(func() {
		if !r.Force && len(a.lot.machine.Hosted().Slots) > 0 {
			err = fmt.Errorf("%w: callers are parked here; --force tests all the same and leaves them where they are", panel.ErrNotNow)
			return
		}
		err = a.examiner.BeginHandsOff(ctx, "parkctl", steps, events)
	})
	return err
}

// examine begins a self test that ends when ctx does, or says why it cannot be now: a call is never disturbed.
func (d *desk) examine(ctx context.Context, by string, steps []selftest.Step, force bool, events chan []byte) error {
	v := d.machine.View()
	switch {
	case d.a.examiner.Underway():
		return exam.ErrUnderway
	case len(v.Calls) > 0:
		return fmt.Errorf("%w: there is a call at this phone", panel.ErrNotNow)
	case v.State != phone.Idle && !v.HookUp:
		return fmt.Errorf("%w: somebody is using this phone", panel.ErrNotNow)
	case !force && len(d.a.lot.machine.Hosted().Slots) > 0:
		return fmt.Errorf("%w: callers are parked at this phone; --force tests all the same and leaves them where they are", panel.ErrNotNow)
	case !force && len(d.a.legs) > 0:
		return fmt.Errorf("%w: a call goes through this phone; --force tests all the same and leaves it alone", panel.ErrNotNow)
	}
	d.a.examiner.Begin(ctx, subject{d}, by, steps, v.HookUp, slices.Collect(maps.Keys(d.jammed)), events)
	return nil
}

// subject is the desk phone of which a self test disposes.
type subject struct{ desk *desk }

var _ exam.Phone = subject{}

// Model implements exam.Phone.
func (s subject) Model() string { return s.desk.a.board.Model().Name }

// Rest implements exam.Phone.
func (s subject) Rest() {
	if d := s.desk; d.machine.View().HookUp {
		d.step(phone.Hook{Up: false})
	}
	s.desk.handset.mute(false)
}

// Resume implements exam.Phone.
func (s subject) Resume(hookUp bool) {
	d := s.desk
	d.a.lamps.Override(nil)
	d.handset.quiet()
	d.handset.mute(d.machine.View().Muted)
	d.handset.device.Open(audio.PathClosed)
	if hookUp {
		d.step(phone.Hook{Up: true})
	}
}

// Light implements exam.Phone.
func (s subject) Light(shown map[board.Lamp]board.Colour) { s.desk.a.lamps.Override(shown) }

// Told implements exam.Phone.
func (s subject) Told(p prompt.Phrase) { s.desk.told(p) }

// Sound implements exam.Phone.
func (s subject) Sound() audio.Device { return s.desk.handset.device }

// Country implements exam.Phone.
func (s subject) Country() string { return s.desk.handset.country }

// Simulated implements exam.Phone.
func (s subject) Simulated() bool { return s.desk.handset.sim != nil }

// SoundFault implements exam.Phone.
func (s subject) SoundFault() string {
	c, _ := s.desk.a.health.Get(soundCode)
	return c.Text
}

// Emergency implements exam.Phone.
func (s subject) Emergency(digits string) string { return s.desk.machine.EmergencyAtEnd(digits) }

// Dial implements exam.Phone.
func (s subject) Dial(number string) {
	for _, digit := range []byte(number) {
		s.desk.step(phone.Digit{Digit: digit})
	}
}

// Parts implements exam.Phone.
func (s subject) Parts() selftest.Phone {
	d, m := s.desk, s.desk.a.board.Model()
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
	p.Sound = s.SoundFault()
	p.Faults = itemFaults(m, d.a.health.All())
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
