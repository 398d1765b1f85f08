package probe

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/clock"
	"parklamp/cmd/internal/selftest"
)

const (
	// drifted is what a clock may be off at most: the panel and reports of two appliances are compared by people. Whole
	// seconds of a peer's Date leave 1 s of doubt.
	drifted = 2 * time.Second
	// rtcDrifted is the same for the clock that goes on without power.
	rtcDrifted = 5 * time.Second
)

// Clocks is what this machine's clock is compared with.
type Clocks struct {
	NTP   string // host or host:port; empty: none
	Peers []Peer

	Root string // as in Net
}

// Clock compares the clock with the kernel's own opinion, the real-time clock, a time server and the peers.
func Clock(ctx context.Context, c Clocks) []selftest.Finding {
	all := []selftest.Finding{judgeNow(time.Now()), c.kernel(), c.rtc(time.Now())}
	if c.NTP != "" {
		all = append(all, c.server(ctx))
	}
	compared := false
	for _, p := range c.Peers[:min(len(c.Peers), maxPeers)] {
		one, cancel := context.WithTimeout(ctx, pingFor)
		pong, err := p.Ping(one)
		cancel()
		if err == nil && !pong.Date.IsZero() {
			compared = true
			all = append(all, judgePeerDate("peer "+p.Name, time.Now().Add(-pong.Took/2), pong.Date))
		}
	}
	if c.NTP == "" && !compared {
		all = append(all, finding(selftest.Clock, "comparison", selftest.Warned, "there is nothing to compare with: no key selftest.ntp and no peer that tells its time"))
	}
	return all
}

func judgeNow(now time.Time) selftest.Finding {
	f := finding(selftest.Clock, "time", selftest.Passed, now.UTC().Format(time.RFC3339))
	if clock.Unset(now) {
		f.Outcome, f.Text = selftest.Failed, "the clock is not set: "+f.Text
	}
	return f
}

// kernel asks the kernel whether something keeps its clock in time (adjtimex(2): STA_UNSYNC).
func (c *Clocks) kernel() selftest.Finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return finding(selftest.Clock, "NTP", selftest.Warned, "the kernel does not say: "+err.Error())
	}
	return judgeKernel(state, t.Status, time.Duration(t.Maxerror)*time.Microsecond)
}

func judgeKernel(state int, status int32, most time.Duration) selftest.Finding {
	f := finding(selftest.Clock, "NTP", selftest.Passed, "in time", selftest.Figure{Name: "off by at most", Value: inMS(most), Unit: "ms"})
	const timeError = 5 // TIME_ERROR of timex.h
	if state == timeError || status&unix.STA_UNSYNC != 0 {
		return finding(selftest.Clock, "NTP", selftest.Warned, "nothing keeps the clock in time: no time server has answered yet")
	}
	return f
}

func (c *Clocks) rtc(now time.Time) selftest.Finding {
	text := read(filepath.Join(c.Root, "/sys/class/rtc/rtc0/since_epoch"))
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return finding(selftest.Clock, "RTC", selftest.Absent, "no clock with a battery: the time is kept on the card over a power cut")
	}
	off := time.Unix(seconds, 0).Sub(now)
	f := finding(selftest.Clock, "RTC", selftest.Passed, "", selftest.Figure{Name: "off by", Value: off.Round(time.Second).Seconds(), Unit: "s"})
	if off.Abs() > rtcDrifted {
		f.Outcome, f.Text = selftest.Warned, "the clock with the battery goes wrong: change the battery"
	}
	return f
}

func (c *Clocks) server(ctx context.Context) selftest.Finding {
	ctx, cancel := context.WithTimeout(ctx, pingFor)
	defer cancel()
	behind, took, err := clock.Ask(ctx, c.NTP)
	if err != nil {
		return finding(selftest.Clock, "time server "+c.NTP, selftest.Failed, err.Error())
	}
	return judgeOffset("time server "+c.NTP, -behind, took)
}

func judgeOffset(item string, off, took time.Duration) selftest.Finding {
	f := finding(selftest.Clock, item, selftest.Passed, "", selftest.Figure{Name: "off by", Value: inMS(off), Unit: "ms"},
		selftest.Figure{Name: "round trip", Value: inMS(took), Unit: "ms"})
	if off.Abs() > drifted {
		f.Outcome, f.Text = selftest.Failed, fmt.Sprintf("the clock is off by %v", off.Round(100*time.Millisecond))
	}
	return f
}

// judgePeerDate compares with a time in whole seconds: it lies somewhere within that second.
func judgePeerDate(item string, now, date time.Time) selftest.Finding {
	off := now.Sub(date)
	switch { // at least so much
	case off > time.Second:
		off -= time.Second
	case off >= 0:
		off = 0
	}
	f := finding(selftest.Clock, item, selftest.Passed, "the same time, to the second")
	if off.Abs() > drifted {
		f.Outcome = selftest.Failed
		f.Text = fmt.Sprintf("its clock and ours differ by %v: one of them is wrong", off.Abs().Round(time.Second))
		f.Figures = []selftest.Figure{{Name: "off by", Value: off.Seconds(), Unit: "s"}}
	}
	return f
}
