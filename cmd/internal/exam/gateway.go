package exam

import (
	"context"
	"time"

	"parklamp/cmd/internal/selftest"
)

// A gateway has no keys, lamps or sound: its self test is the steps that need no hands. The same machine walks through them; all
// its effects are carried out by the worker, one after another, so that nothing waits for the loop or is heard by it.

// HandsOff are the steps of a gateway.
var HandsOff = []selftest.Step{selftest.Network, selftest.Disk, selftest.Clock}

// handsOffFor is how long one of them may take.
const handsOffFor = 90 * time.Second

// BeginHandsOff begins the test of an appliance without a phone, with some of the steps HandsOff. The error is ErrUnderway.
func (x *Examiner) BeginHandsOff(ctx context.Context, by string, steps []selftest.Step, events chan []byte) error {
	do := x.o.Measure()
	report := x.newReport(by, "none", steps)
	select {
	case x.jobs <- func(worker context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(worker, cancel)()
		x.walkHandsOff(ctx, steps, do, &report, events)
		x.publish(worker, report, events)
	}:
		return nil
	default:
		return ErrUnderway
	}
}

// walkHandsOff walks through the steps and fills in the report.
func (x *Examiner) walkHandsOff(ctx context.Context, steps []selftest.Step, do Measurements, report *selftest.Report, events chan<- []byte) {
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
				x.tell(events, selftest.Event{Ask: &selftest.Question{Step: f.Step, Item: f.Item, Number: f.Number, Of: f.Of, Text: f.Text}})
			case selftest.Note:
				x.tell(events, selftest.Event{Finding: &f.Finding})
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
	x.closeReport(report, end, walk.Findings())
}
