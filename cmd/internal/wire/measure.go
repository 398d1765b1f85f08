package wire

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/probe"
	"parklamp/cmd/internal/selftest"
	"parklamp/media"
	"parklamp/media/audio"
	"parklamp/media/tone"
	"parklamp/sip"
	"parklamp/sip/reg"
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

// record listens after a short tone.
func (e *exam) record(d time.Duration) {
	device := e.handset.device
	device.Play(&limited{source: tone.New(e.handset.country, tone.Confirm), frames: int(readyTone / media.FrameDuration)}, nil)
	e.during(func(ctx context.Context) {
		if hear(ctx, device, readyTone) == nil { // not the tone itself
			return
		}
		x := hear(ctx, device, d)
		if x == nil {
			return
		}
		level, peak := probe.Level(x)
		e.loop.post(func() {
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
	do := e.measurements()
	do[selftest.Loop] = e.loopThrough()
	e.during(func(ctx context.Context) { e.post(selftest.Measured{Step: s, Findings: do[s](ctx)}) })
}

// measurements are the steps that need neither hands nor sound.
func (a *Appliance) measurements() map[selftest.Step]func(context.Context) []selftest.Finding {
	peers := a.pingable()
	return map[selftest.Step]func(context.Context) []selftest.Finding{
		selftest.Network: a.network(peers), selftest.Disk: a.disk, selftest.Clock: a.clock(peers),
	}
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

func (a *Appliance) disk(ctx context.Context) []selftest.Finding { return probe.Disk(ctx, a.storage()) }

func (a *Appliance) clock(peers []probe.Peer) func(context.Context) []selftest.Finding {
	return func(ctx context.Context) []selftest.Finding {
		return probe.Clock(ctx, probe.Clocks{NTP: a.cfg.SelfTest.NTP, Peers: peers})
	}
}

// storage is the folder whose disk matters: that of the journal, if there is one.
func (a *Appliance) storage() string {
	if a.cfg.Journal.Path != "" {
		return filepath.Dir(a.cfg.Journal.Path)
	}
	return a.cfg.SelfTest.Reports
}

// loopThrough plays a known signal on the loudspeaker and listens for it.
func (e *exam) loopThrough() func(context.Context) []selftest.Finding {
	if e.handset.sim != nil {
		return func(context.Context) []selftest.Finding {
			return []selftest.Finding{{Item: "loudspeaker", Outcome: selftest.Absent, Text: "the sound card is simulated"}}
		}
	}
	for _, c := range e.ailing() {
		if c.Code == soundCode {
			return func(context.Context) []selftest.Finding {
				return []selftest.Finding{{Item: "loudspeaker", Outcome: selftest.Failed, Text: c.Text}}
			}
		}
	}
	device := e.handset.device
	return func(ctx context.Context) []selftest.Finding {
		device.Open(audio.PathSpeaker)
		sweep := probe.Sweep()
		hear(ctx, device, readyTone) // until the card runs
		device.Play(&recording{samples: sweep}, nil)
		x := hear(ctx, device, time.Duration(len(sweep))*time.Second/media.SampleRate+probe.SweepTail)
		return probe.Loop("loudspeaker", x)
	}
}

// network gathers what a call needs.
func (a *Appliance) network(peers []probe.Peer) func(context.Context) []selftest.Finding {
	n := probe.Net{Peers: peers}
	for _, s := range a.endpoint.Listening() {
		n.Addresses = append(n.Addresses, s.At.Addr())
	}
	for _, s := range a.registrar.Statuses() {
		n.Accounts = append(n.Accounts, probe.Account{AOR: s.AOR, Registered: s.State == reg.Registered, Reason: s.Reason})
		var u gosip.Uri
		host := s.AOR
		if r := a.registrarOf(s.AOR); r != "" {
			host = r
		}
		if gosip.ParseUri(host, &u) == nil && !addrOf(u).IsValid() && u.Host != "" {
			n.Names = append(n.Names, u.Host)
		}
	}
	return func(ctx context.Context) []selftest.Finding { return probe.Network(ctx, n) }
}

// pingable lists the peers that the configuration names.
func (a *Appliance) pingable() []probe.Peer {
	var all []probe.Peer
	for _, p := range a.cfg.Federation.Peers {
		if uri, ok := a.federation.PeerURI(p.Name, p.Name); ok {
			all = append(all, probe.Peer{Name: p.Name, Address: hostPort(uri), Ping: func(ctx context.Context) (probe.Pong, error) { return a.ping(ctx, uri) }})
		}
	}
	return all
}

// ping asks a peer for a sign of life (RFC 3261 §11), and for its time.
func (a *Appliance) ping(ctx context.Context, to gosip.Uri) (probe.Pong, error) {
	req := sip.Head{Target: to, From: a.identity(to).uri}.Request(gosip.OPTIONS)
	transport, ok := to.UriParams.Get("transport")
	if !ok {
		transport = a.cfg.Federation.Transport()
	}
	began := time.Now()
	res, err := a.endpoint.Request(req, sip.Send{Transport: transport}).Final(ctx)
	if ctx.Err() != nil && err != nil {
		return probe.Pong{}, errors.New("no answer in time")
	}
	if err != nil {
		return probe.Pong{}, err
	}
	p := probe.Pong{Took: time.Since(began)}
	if h := res.GetHeader("Date"); h != nil {
		p.Date, _ = time.Parse(sip.DateFormat, h.Value()) // no date is as good as a wrong one
	}
	return p, nil
}
