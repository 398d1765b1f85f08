package exam

import (
	"context"
	"time"

	"parklamp/cmd/internal/probe"
	"parklamp/cmd/internal/selftest"
	"parklamp/media"
	"parklamp/media/audio"
	"parklamp/media/tone"
)

// readyTone is how long the tone is that asks somebody to speak.
const readyTone = 300 * time.Millisecond

// recording is a source of samples that ends.
type recording struct{ samples []int16 }

var _ media.Source = (*recording)(nil)

// Next implements media.Source.
func (r *recording) Next(f *media.Frame) bool {
	if len(r.samples) == 0 {
		return false
	}
	n := copy(f[:], r.samples)
	clear(f[n:])
	r.samples = r.samples[n:]
	return true
}

// beginning is so much of a source.
func beginning(s media.Source, d time.Duration) *recording {
	r := &recording{}
	var f media.Frame
	for range int(d / media.FrameDuration) {
		if !s.Next(&f) {
			break
		}
		r.samples = append(r.samples, f[:]...)
	}
	return r
}

// record listens after a short tone.
func (e *exam) record(d time.Duration) {
	device := e.phone.Sound()
	device.Play(beginning(tone.New(e.phone.Country(), tone.Confirm), readyTone), nil)
	e.during(func(ctx context.Context) {
		if hear(ctx, device, readyTone) == nil { // not the tone itself
			return
		}
		x := hear(ctx, device, d)
		if x == nil {
			return
		}
		level, peak := probe.Level(x)
		e.examiner.o.Loop.Post(func() {
			e.recorded = x
			e.take(selftest.Recorded{LevelDBFS: level, PeakDBFS: peak})
		})
	})
}

// hear takes what the microphone of the open path hears, at the pace of a call; nil if ctx ends first.
func hear(ctx context.Context, device audio.Device, d time.Duration) []int16 {
	mic := device.Capture()
	tick := time.NewTicker(media.FrameDuration)
	defer tick.Stop()
	began := time.Now()
	x := make([]int16, 0, int(d*media.SampleRate/time.Second))
	for len(x) < cap(x) {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for due := int(time.Since(began) / media.FrameDuration); len(x) < min(cap(x), due*media.FrameSamples); { // a tick may be late
			var f media.Frame
			mic.Next(&f)
			x = append(x, f[:]...)
		}
	}
	return x
}

// measure does what needs no hands, on the worker.
func (e *exam) measure(s selftest.Step) {
	do := e.examiner.o.Measure()
	do[selftest.Loop] = e.loopThrough()
	e.during(func(ctx context.Context) { e.post(selftest.Measured{Step: s, Findings: do[s](ctx)}) })
}

// during hands a job to the worker that ends with the test.
func (e *exam) during(job func(context.Context)) {
	e.work(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(e.ctx, cancel)()
		if ctx.Err() == nil {
			job(ctx)
		}
	})
}

// loopThrough plays a known signal on the loudspeaker and listens for it.
func (e *exam) loopThrough() func(context.Context) []selftest.Finding {
	if e.phone.Simulated() {
		return func(context.Context) []selftest.Finding {
			return []selftest.Finding{{Item: "loudspeaker", Outcome: selftest.Absent, Text: "the sound card is simulated"}}
		}
	}
	if fault := e.phone.SoundFault(); fault != "" {
		return func(context.Context) []selftest.Finding {
			return []selftest.Finding{{Item: "loudspeaker", Outcome: selftest.Failed, Text: fault}}
		}
	}
	device := e.phone.Sound()
	return func(ctx context.Context) []selftest.Finding {
		device.Open(audio.PathSpeaker)
		sweep := probe.Sweep()
		hear(ctx, device, readyTone) // until the card runs
		device.Play(&recording{samples: sweep}, nil)
		x := hear(ctx, device, time.Duration(len(sweep))*time.Second/media.SampleRate+probe.SweepTail)
		return probe.Loop("loudspeaker", x)
	}
}
