package rtcp

import (
	"crypto/rand"
	"encoding/base64"
	"time"
)

// NewName returns a random CNAME (RFC 7022 §4.2, §5: 96 bits, base64): one for each session, so that two calls
// cannot be told to come from the same phone.
func NewName() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// secondsTo1970 from NTP's era 0 (RFC 5905 §6).
const secondsTo1970 = 2208988800

// ntp is the time of day as NTP writes it (RFC 3550 §4): seconds since 1900, and 32 bits of fraction.
func (r *Reporter) ntp(now time.Duration) uint64 {
	t := r.epoch.Add(now)
	return uint64(t.Unix()+secondsTo1970)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// middle is the part of an NTP time that travels in reports: 16 bits of seconds and 16 of fraction.
func middle(ntp uint64) uint32 { return uint32(ntp >> 16) }

// short is a time span in 1/65536 s, at most what its field holds.
func short(d time.Duration) uint32 {
	return uint32(min(max(d, 0), 65535*time.Second) << 16 / time.Second)
}

// part is a fraction in 1/256.
func part(f float64) uint8 { return uint8(min(max(f, 0)*256, 255)) }

func millis(d time.Duration) uint16 { return uint16(min(max(d.Milliseconds(), 0), 65535)) }

func ms(n uint16) time.Duration { return time.Duration(n) * time.Millisecond }
