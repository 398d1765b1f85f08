package wire

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parklamp/cmd/internal/probe"
	"parklamp/cmd/internal/selftest"
	"parklamp/parkd/panel"
)

// A gateway has no keys, lamps or sound: its self test is the steps that need no hands. The same machine walks through them; all
// its effects are carried out by the worker, one after another, so that nothing waits for the loop or is heard by it.

// handsOff are the steps of a gateway.
var handsOff = []selftest.Step{selftest.Network, selftest.Disk, selftest.Clock}

// handsOffFor is how long one of them may take.
const handsOffFor = 90 * time.Second

// testGateway begins the self test of an appliance without a phone.
func (a *Appliance) testGateway(ctx context.Context, r panel.SelfTestRequest, steps []selftest.Step) (<-chan []byte, error) {
	if len(r.Steps) == 0 {
		steps = handsOff
	}
	for _, s := range steps {
		if !slices.Contains(handsOff, s) {
			return nil, fmt.Errorf("%w: step %s: this appliance has no phone; it can test network, disk and clock", panel.ErrInvalid, s)
		}
	}
	events := make(chan []byte, maxEvents)
	err := errStops
	a.loop.ask(func() {
		if !r.Force && len(a.lot.machine.Hosted().Slots) > 0 {
			err = fmt.Errorf("%w: callers are parked here; --force tests all the same and leaves them where they are", panel.ErrNotNow)
			return
		}
		do := a.measurements()
		report := a.newReport("parkctl", "none", steps)
		err = nil
		select {
		case a.jobs <- func(worker context.Context) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(worker, cancel)()
			a.walkHandsOff(ctx, steps, do, &report, events)
			a.publish(worker, report, events)
		}:
		default:
			err = fmt.Errorf("%w: a self test is under way", panel.ErrNotNow)
		}
	})
	return events, err
}

// walkHandsOff walks through the steps and fills in the report.
func (a *Appliance) walkHandsOff(ctx context.Context, steps []selftest.Step, do map[selftest.Step]func(context.Context) []selftest.Finding,
	report *selftest.Report, events chan<- []byte) {
	walk := selftest.New(selftest.Phone{}, steps, false, 0)
	var end selftest.End
	for inputs := []selftest.Input{selftest.Begin{}}; len(inputs) > 0; inputs = inputs[1:] {
		in := inputs[0]
		if ctx.Err() != nil {
			in = selftest.Stop{Reason: "who started it has gone"}
		}
		for _, effect := range walk.Step(in) {
			switch f := effect.(type) {
			case selftest.Ask:
				a.tellTester(events, selftest.Event{Ask: &selftest.Question{Step: f.Step, Item: f.Item, Number: f.Number, Of: f.Of, Text: f.Text}})
			case selftest.Note:
				a.tellTester(events, selftest.Event{Finding: &f.Finding})
			case selftest.Say: // to nobody
				inputs = append(inputs, selftest.Heard{Sound: f.Sound})
			case selftest.Measure:
				limited, cancel := context.WithTimeout(ctx, handsOffFor)
				inputs = append(inputs, selftest.Measured{Step: f.Step, Findings: do[f.Step](limited)})
				cancel()
			case selftest.End:
				end = f
			}
		}
	}
	a.closeReport(report, end, walk.Findings())
}

// newReport begins the report of a self test.
func (a *Appliance) newReport(by, board string, steps []selftest.Step) selftest.Report {
	return selftest.Report{Format: selftest.Format, Appliance: a.cfg.Appliance.Name, Number: a.cfg.Appliance.Number, Version: a.version,
		Board: board, Machine: probe.Machine(), Hardware: probe.Hardware(), By: by, Started: a.now().UTC(), Steps: steps}
}

// closeReport writes down how a self test ended.
func (a *Appliance) closeReport(r *selftest.Report, f selftest.End, findings []selftest.Finding) {
	r.Ended, r.Outcome, r.Reason, r.Findings = a.now().UTC(), f.Outcome, f.Reason, findings
	for _, c := range a.health.All() {
		r.Health = append(r.Health, c.Severity.String()+": "+c.Text)
	}
}
