package wire

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/media/quality"
	"parklamp/parkd"
	"parklamp/parkd/panel"
	"parklamp/sip/call"
	"parklamp/sip/event"
	"parklamp/sip/event/vqreport"
)

const (
	// maxEnded calls that have ended are kept for people to look at.
	maxEnded = 20
	// badSound is the part of the sound that is lost in a bad call.
	badSound = 0.05
	// A host whose calls are bad persistently: badCalls of the last lastCalls.
	lastCalls, badCalls = 5, 3
	// leastPackets make a call long enough to judge: 5 s.
	leastPackets = 250
	// maxHosts whose calls are remembered, and for how long after the last one.
	maxHosts  = 64
	hostsLast = time.Hour
	// maxReports wait for the collector at most; what comes on top is dropped.
	maxReports = 16
	// reportTimeout is how long the collector may take to answer.
	reportTimeout = 10 * time.Second
	// reportLives is how long a published report is to be kept at least; it is never refreshed.
	reportLives = time.Minute
)

// sounds is what is known of the sound of calls that have ended. Owned by the loop, but for reports.
type sounds struct {
	// immutable
	loop   *loop
	health *health.Set
	log    *slog.Logger

	ended   []panel.Call // newest first
	hosts   map[netip.Addr][]float64
	order   []netip.Addr         // of hosts, longest ago first
	reports chan vqreport.Report // capacity maxReports; a full one drops

	published, failed atomic.Uint64 // reports that the collector took, and that it did not get
}

func newSounds(l *loop, h *health.Set, log *slog.Logger) *sounds {
	return &sounds{loop: l, health: h, log: log, hosts: map[netip.Addr][]float64{}, reports: make(chan vqreport.Report, maxReports)}
}

// soundEnded tells how a call sounded that has just ended: the log, the panel, the collector, and health if calls with
// that host are bad again and again.
func (a *Appliance) soundEnded(l *leg, ev call.Ended) {
	attrs := []any{"call", l.id, "cause", ev.Cause.String(), "code", ev.Code}
	if !l.answered || l.media == nil {
		a.log.Info("call ended", attrs...)
		return
	}
	q, stats := l.media.Quality(), l.media.Stats()
	a.log.Info("call ended", append(attrs, "for", a.now().Sub(l.call.Info().Started).Round(time.Second).String(), soundLog("heard", q.In), soundLog("far_end_heard", q.Out),
		"round_trip_ms", millis(q.RoundTrip))...)
	c := a.callStatus(l)
	c.State, c.Ended, c.Cause = panel.CallEnded, a.now(), ev.Cause.String()
	a.sounds.keep(c)
	a.sounds.judge(stats.Remote.Addr(), q)
	if a.cfg.Quality.Collector != "" {
		a.sounds.report(l.id, a.soundReport(l, q, stats.Remote))
	}
}

// keep keeps a call for people to look at.
func (s *sounds) keep(c panel.Call) {
	s.ended = slices.Insert(s.ended, 0, c)
	s.ended = s.ended[:min(len(s.ended), maxEnded)]
}

// report hands the report on a leg to who publishes them.
func (s *sounds) report(id parkd.LegID, r vqreport.Report) {
	select {
	case s.reports <- r:
	default:
		s.failed.Add(1)
		s.log.Debug("a report on the sound of a call is dropped: the collector is slow", "call", id)
	}
}

// soundLog is one direction in the log.
func soundLog(name string, s quality.Stream) slog.Attr {
	if !s.Known {
		return slog.String(name, "unknown")
	}
	return slog.Group(name, "lost", percentText(s.LossRate()), "late", percentText(s.DiscardRate()), "jitter_ms", millis(s.Jitter), "delay_ms", millis(s.Delay),
		"r", round(s.R), "mos", round(s.MOS))
}

func percentText(part float64) string { return fmt.Sprintf("%.1f%%", 100*part) }

// round to one decimal place, for people.
func round(v float64) float64 { return math.Round(10*v) / 10 }

func millis(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

// qualityStatus is the sound of a call for the panel.
func qualityStatus(q quality.Call) panel.Quality {
	return panel.Quality{In: soundStatus(q.In), Out: soundStatus(q.Out), Extended: q.Extended, RoundTripMS: millis(q.RoundTrip)}
}

func soundStatus(s quality.Stream) panel.Sound {
	if !s.Known {
		return panel.Sound{}
	}
	return panel.Sound{Known: true, LossPercent: round(100 * s.LossRate()), DiscardPercent: round(100 * s.DiscardRate()), JitterMS: millis(s.Jitter),
		DelayMS: millis(s.Delay), R: round(s.R), MOS: round(s.MOS)}
}

// judge raises a condition when calls with a host lose too much of the sound again and again.
func (s *sounds) judge(host netip.Addr, q quality.Call) {
	if !host.IsValid() || max(q.In.Packets, q.Out.Packets) < leastPackets {
		return
	}
	if s.hosts[host] == nil && len(s.hosts) >= maxHosts {
		s.forget(s.order[0])
	}
	lost := max(q.In.LossRate()+q.In.DiscardRate(), q.Out.LossRate()+q.Out.DiscardRate())
	last := append(s.hosts[host], lost)
	last = last[max(0, len(last)-lastCalls):]
	s.hosts[host] = last
	s.order = append(slices.DeleteFunc(s.order, func(h netip.Addr) bool { return h == host }), host)
	s.loop.after("sound "+host.String(), hostsLast, func() { s.forget(host) })
	bad, most := 0, 0.0
	for _, part := range last {
		if part > badSound {
			bad++
			most = max(most, part)
		}
	}
	if bad < badCalls {
		s.health.Clear(hostCode(host))
		return
	}
	s.health.Raise(time.Now(), hostCode(host), health.Warning, fmt.Sprintf("calls with %s lose up to %.0f %% of the sound (%d of the last %d)", host, 100*most, bad, len(last)),
		"look at the network on the way there; parkctl calls shows which direction it is")
}

func hostCode(host netip.Addr) string { return "calls." + host.String() }

// forget drops what is remembered of a host.
func (s *sounds) forget(host netip.Addr) {
	delete(s.hosts, host)
	s.order = slices.DeleteFunc(s.order, func(h netip.Addr) bool { return h == host })
	s.loop.stop("sound " + host.String())
	s.health.Clear(hostCode(host))
}

// soundReport is the report on a call for the collector.
func (a *Appliance) soundReport(l *leg, q quality.Call, remote netip.AddrPort) vqreport.Report {
	d := l.call.Dialog()
	r := vqreport.Report{
		CallID: d.CallID, LocalTag: d.LocalTag, RemoteTag: d.RemoteTag, Caller: d.Caller,
		Local:  vqreport.End{ID: d.LocalURI, Addr: l.media.LocalAddr(), SSRC: q.SSRC},
		Remote: vqreport.End{ID: d.RemoteURI, Addr: remote, SSRC: q.RemoteSSRC},
		Start:  l.call.Info().Started, Stop: a.now(),
		PayloadType: l.agreed.Codec.PayloadType, Codec: l.agreed.Codec.Name, ClockRate: l.agreed.Codec.ClockRate,
		Heard: soundMetrics(q.In, q.RoundTrip), FarEnd: soundMetrics(q.Out, q.RoundTrip),
	}
	if h := &r.Heard; h.Known {
		burst, gap := q.In.Bursts.Density()
		h.BurstsKnown, h.BurstPercent, h.GapPercent = true, 100*burst, 100*gap
		h.Burst, h.Gap = q.In.Bursts.Durations(20 * time.Millisecond)
		h.Buffer, h.BufferMax, h.Longest = q.Buffer, q.BufferWorst, a.cfg.Media.JitterMax
	}
	return r
}

func soundMetrics(s quality.Stream, roundTrip time.Duration) vqreport.Metrics {
	if !s.Known {
		return vqreport.Metrics{}
	}
	return vqreport.Metrics{Known: true, LossPercent: 100 * s.LossRate(), LatePercent: 100 * s.DiscardRate(), RoundTrip: roundTrip, OneWay: s.Delay, Jitter: s.Jitter,
		R: s.R, MOSLQ: s.Listening, MOSCQ: s.MOS}
}

// publishSounds sends the reports to the collector until ctx ends (RFC 6035 §3). A collector that is away or refuses costs
// a line in the log for those who debug, and nothing else.
func (a *Appliance) publishSounds(ctx context.Context) error {
	to, err := a.cfg.Quality.URI()
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-a.sounds.reports:
			var us from
			if !a.loop.ask(func() { us = a.identity(to) }) {
				return nil
			}
			res, err := a.agent.Publish(ctx, event.PublishRequest{Target: to, Event: vqreport.Event, From: us.uri, ContentType: vqreport.ContentType, Body: r.Body(),
				Expires: reportLives, Timeout: reportTimeout, Auth: us.send.Auth, Route: us.send.Route, Transport: us.send.Transport})
			if err == nil && res.Code < 300 {
				a.sounds.published.Add(1)
			} else {
				a.sounds.failed.Add(1)
				a.log.Debug("the collector does not take a report on the sound of a call", "call", r.CallID, "code", res.Code, "err", err)
			}
		}
	}
}
