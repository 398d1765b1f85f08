// Package vqreport writes the report on the sound of a call that has ended, for a collector of the site
// (application/vq-rtcpxr of RFC 6035).
//
// It is pure: it makes text, sends nothing, and starts no goroutine. Whoever has the report publishes it with
// package event (Event: vq-rtcpxr).
//
// Standards: RFC 6035 §4.6 (the body; what is not known is left out), RFC 3611 §4.7 (the metrics).
package vqreport

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

const (
	// Event is the name of the event package (RFC 6035 §4.1).
	Event = "vq-rtcpxr"
	// ContentType is that of the body (RFC 6035 §4.6).
	ContentType = "application/vq-rtcpxr"
	// minGap is Gmin, the number of good packets that end a burst.
	minGap = 16
)

// Config is the section of reports on sound.
type Config struct {
	Collector string `toml:"collector" doc:"SIP URI that gets a report on the sound of each call at its end (RFC 6035); empty: nobody"`
}

// Default publishes to nobody.
func Default() Config { return Config{} }

// Validate returns an error that names the key whose value cannot be used.
func (c Config) Validate() error {
	if c.Collector == "" {
		return nil
	}
	if _, err := c.URI(); err != nil {
		return fmt.Errorf("collector = %q: want a SIP URI, such as \"sip:collector@192.0.2.9\", or nothing", c.Collector)
	}
	return nil
}

// URI is that of the collector.
func (c Config) URI() (gosip.Uri, error) {
	var u gosip.Uri
	if !strings.HasPrefix(c.Collector, "sip:") && !strings.HasPrefix(c.Collector, "sips:") {
		return u, fmt.Errorf("%q is no SIP URI", c.Collector)
	}
	if err := gosip.ParseUri(c.Collector, &u); err != nil {
		return u, err
	}
	if u.Host == "" {
		return u, fmt.Errorf("%q names no host", c.Collector)
	}
	return u, nil
}

// End is one side of the RTP session.
type End struct {
	ID   string         // URI
	Addr netip.AddrPort // of its RTP
	SSRC uint32
}

// Metrics is what one side heard. What is 0 is not known where the comment says so.
type Metrics struct {
	Known                    bool
	LossPercent, LatePercent float64
	// Bursts: density in per cent and mean length; Gap likewise. Only written if BurstsKnown.
	BurstsKnown                bool
	BurstPercent, GapPercent   float64
	Burst, Gap                 time.Duration
	Buffer, BufferMax, Longest time.Duration // of the jitter buffer: now, at most so far, at most ever; 0: not known
	RoundTrip, EndSystem       time.Duration // 0: not known
	OneWay                     time.Duration // symmetric estimate; 0: not known
	Jitter                     time.Duration
	R                          float64 // 0: not known
	MOSLQ, MOSCQ               float64 // 0: not known
}

// Report is one call that has ended.
type Report struct {
	CallID, LocalTag, RemoteTag string
	Local, Remote               End
	Caller                      bool // we made the call
	Start, Stop                 time.Time
	PayloadType                 uint8
	Codec                       string // name of RFC 3551
	ClockRate                   uint32
	Heard                       Metrics // by us
	FarEnd                      Metrics // heard by the far end, as it reported
}

// Body writes the report (RFC 6035 §4.6.1).
func (r Report) Body() []byte {
	w := &writer{}
	w.line("VQSessionReport: CallTerm")
	w.line("CallID: " + clean(r.CallID))
	w.line("LocalID: " + clean(r.Local.ID))
	w.line("RemoteID: " + clean(r.Remote.ID))
	origin := r.Remote.ID
	if r.Caller {
		origin = r.Local.ID
	}
	w.line("OrigID: " + clean(origin))
	w.line("LocalAddr: " + r.Local.addr())
	w.line("RemoteAddr: " + r.Remote.addr())
	w.line("LocalMetrics:")
	w.metrics(r, r.Heard, true)
	if r.FarEnd.Known {
		w.line("RemoteMetrics:")
		w.metrics(r, r.FarEnd, false)
	}
	w.line("DialogID: " + clean(r.CallID) + ";to-tag=" + clean(r.toTag()) + ";from-tag=" + clean(r.fromTag()))
	return []byte(w.String())
}

func (r Report) toTag() string {
	if r.Caller {
		return r.RemoteTag
	}
	return r.LocalTag
}

func (r Report) fromTag() string {
	if r.Caller {
		return r.LocalTag
	}
	return r.RemoteTag
}

func (e End) addr() string {
	return fmt.Sprintf("IP=%s PORT=%d SSRC=0x%08x", e.Addr.Addr().WithZone(""), e.Addr.Port(), e.SSRC)
}

// clean keeps what came from outside from making lines of its own.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

type writer struct{ strings.Builder }

func (w *writer) line(s string) {
	w.WriteString(s)
	w.WriteString("\r\n")
}

// fields writes the parameters of a line, of which an empty one is not known; a line without any is left out.
func (w *writer) fields(name string, all ...string) {
	var known []string
	for _, f := range all {
		if f != "" {
			known = append(known, f)
		}
	}
	if len(known) > 0 {
		w.line(name + ":" + strings.Join(known, " "))
	}
}

func (w *writer) metrics(r Report, m Metrics, ours bool) {
	w.fields("Timestamps", "START="+stamp(r.Start), "STOP="+stamp(r.Stop))
	// Frames of 20 ms, one in a packet, concealed in the standard way, silence sent (RFC 6035 §4.6.2.2).
	w.fields("SessionDesc", "PT="+strconv.Itoa(int(r.PayloadType)), "PD="+clean(r.Codec), "SR="+strconv.Itoa(int(r.ClockRate)), "FD=20", "FPP=1", "PPS=50",
		when(ours, "PLC=3"), "SSUP=off")
	if !m.Known {
		return
	}
	if m.Buffer > 0 {
		w.fields("JitterBuffer", "JBA=3", "JBR=0", ms("JBN", m.Buffer), ms("JBM", m.BufferMax), ms("JBX", m.Longest))
	}
	w.fields("PacketLoss", tenth("NLR", m.LossPercent), tenth("JDR", m.LatePercent))
	if m.BurstsKnown {
		w.fields("BurstGapLoss", tenth("BLD", m.BurstPercent), "BD="+strconv.FormatInt(m.Burst.Milliseconds(), 10), tenth("GLD", m.GapPercent),
			"GD="+strconv.FormatInt(m.Gap.Milliseconds(), 10), "GMIN="+strconv.Itoa(minGap))
	}
	w.fields("Delay", ms("RTD", m.RoundTrip), ms("ESD", m.EndSystem), ms("SOWD", m.OneWay), "IAJ="+strconv.FormatInt(m.Jitter.Milliseconds(), 10))
	w.fields("QualityEst", when(m.R > 0, "RCQ="+strconv.Itoa(int(m.R+0.5))), when(m.MOSLQ > 0, tenth("MOSLQ", m.MOSLQ)), when(m.MOSCQ > 0, tenth("MOSCQ", m.MOSCQ)))
}

func when(is bool, s string) string {
	if is {
		return s
	}
	return ""
}

func tenth(name string, v float64) string { return name + "=" + strconv.FormatFloat(v, 'f', 1, 64) }

func ms(name string, d time.Duration) string {
	return when(d > 0, name+"="+strconv.FormatInt(min(d.Round(time.Millisecond).Milliseconds(), 65535), 10))
}

// stamp is a time as RFC 3339 has it, in UTC (RFC 6035 §4.6.2.1 allows no other zone).
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
