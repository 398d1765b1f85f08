// Package timeline is how RTP counts: its clock of 8 kHz, the frame of 20 ms that everything is cut into, and the
// distance of two sequence numbers or timestamps, which wrap; and when packets beside a stream are another one (Rival). It
// starts no goroutine.
//
// Standards: RFC 3551 §4.5.2 and §6 (clock), RFC 3550 appendix A.1 (distances, in the arithmetic of RFC 1982; other streams).
package timeline

import "time"

const (
	// ClockRate is the RTP clock of every codec here, in ticks per second (RFC 3551 §6, table 4). G.722 has 16,000 samples
	// for it: RFC 3551 §4.5.2 keeps the number that was once assigned by mistake. A byte of payload is a tick in all of them.
	ClockRate = 8000
	// WideRate is that of the samples of wideband audio, per second.
	WideRate = 2 * ClockRate
	// Tick is the time from one to the next, 125 µs.
	Tick = time.Second / ClockRate
	// Frame is the packet time that is sent, and the tick of the pacer.
	Frame = 20 * time.Millisecond
	// FrameTicks is a frame in ticks of the clock, in samples at 8 kHz and in bytes of payload.
	FrameTicks = ClockRate / 50
)

// Packets is how many packets sequence number a is ahead of b, -32768 to 32767.
func Packets(a, b uint16) int64 { return int64(int16(a - b)) }

// Ticks is how far timestamp a is ahead of b, in ticks of ±2³¹.
func Ticks(a, b uint32) int64 { return int64(int32(a - b)) }
