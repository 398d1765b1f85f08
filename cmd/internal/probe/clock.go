package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/selftest"
)

const (
	// drifted is what a clock may be off at most: the panel and reports of two appliances are compared by people. Whole
	// seconds of a peer's Date leave 1 s of doubt.
	drifted = 2 * time.Second
	// rtcDrifted is the same for the clock that goes on without power.
	rtcDrifted = 5 * time.Second
	// firstYear is before the first of these programs: a clock that says so has not been set.
	firstYear = 2026
	// ntpEpoch is the Unix time 0 in seconds of NTP's era 0 (RFC 5905 §6).
	ntpEpoch = 2208988800
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
	if now.UTC().Year() < firstYear {
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
	at := c.NTP
	if _, _, err := net.SplitHostPort(at); err != nil {
		at = net.JoinHostPort(at, "123")
	}
	off, took, err := sntp(ctx, at)
	if err != nil {
		return finding(selftest.Clock, "time server "+c.NTP, selftest.Failed, err.Error())
	}
	return judgeOffset("time server "+c.NTP, off, took)
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

// sntp asks a time server once (RFC 5905 §14): by how much our clock is ahead (negative: behind), and the round trip.
func sntp(ctx context.Context, at string) (off, took time.Duration, err error) {
	packet := make([]byte, 48)
	packet[0] = 4<<3 | 3 // version 4, client
	var nonce [8]byte
	_, _ = rand.Read(nonce[:])  // never fails (crypto/rand)
	copy(packet[40:], nonce[:]) // a transmit time that nobody can guess, as data minimisation has it
	answer := make([]byte, len(packet)+20)
	began := time.Now()
	took, n, err := exchange(ctx, at, packet, answer)
	if err != nil {
		return 0, 0, err
	}
	received, sent, err := parseSNTP(answer[:n], nonce[:])
	if err != nil {
		return 0, 0, err
	}
	// RFC 5905 §8: theta is the mean of the two one-way differences; ours is the other way round.
	theta := (received.Sub(began) + sent.Sub(began.Add(took))) / 2
	return -theta, took - sent.Sub(received), nil
}

// parseSNTP reads the server's times of receipt and of answer. nonce is what was sent as the time of transmission.
func parseSNTP(b, nonce []byte) (received, sent time.Time, err error) {
	switch {
	case len(b) < 48:
		err = errors.New("it answers something else")
	case b[0]&7 != 4 || !slices.Equal(b[24:32], nonce): // RFC 5905 §8: mode 4, and the origin is ours
		err = errors.New("it answers something else")
	case b[1] == 0: // RFC 5905 §7.4: kiss-o'-death
		err = fmt.Errorf("it refuses: %q", b[12:16])
	case b[0]>>6 == 3 || b[1] > 15: // RFC 5905 §7.3: leap 3 and stratum 16 are not synchronised
		err = errors.New("its own clock is not in time")
	}
	if err != nil {
		return received, sent, err
	}
	return ntpTime(b[32:40]), ntpTime(b[40:48]), nil
}

// ntpTime reads a timestamp (RFC 5905 §6); one of the first half of era 0 is taken for era 1 (2036 and later).
func ntpTime(b []byte) time.Time {
	seconds := int64(binary.BigEndian.Uint32(b))
	if seconds < 1<<31 {
		seconds += 1 << 32
	}
	fraction := int64(binary.BigEndian.Uint32(b[4:]))
	return time.Unix(seconds-ntpEpoch, fraction*int64(time.Second)>>32)
}
