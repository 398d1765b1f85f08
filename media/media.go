package media

import (
	"net/netip"
	"time"

	"parklamp/media/codec"
	"parklamp/media/playout"
	"parklamp/media/srtp"
	"parklamp/media/timeline"
)

// The shape of audio everywhere in Parklamp but in wideband calls: 16-bit mono at 8 kHz in frames of 20 ms.
const (
	SampleRate    = timeline.ClockRate  // samples per second
	FrameDuration = timeline.Frame      // the packet time that is sent, and the tick of the pacer
	FrameSamples  = timeline.FrameTicks // samples in one frame
)

// Frame is 20 ms of linear audio at 8 kHz. It is an alias, so that a Source or Sink can be written
// without importing this package.
type Frame = [FrameSamples]int16

// Source gives the audio that a session sends. The pacer calls Next once per 20 ms tick; it must neither
// block nor allocate. It reports false when there is nothing to send in this tick (a pause or the end);
// the stream's clock goes on, and the next packet carries the marker bit.
type Source interface {
	Next(f *Frame) bool
}

// Timed is a Source with a clock of its own, as a microphone has. After the tick of a time it says by how much the next is
// to come later, or when negative earlier; the pacer moves it by a slot at a time, and the clock of the stream with it: it
// becomes the source's.
type Timed interface {
	Source
	Shift(at time.Duration) time.Duration
}

// EncodedSource is a Source whose audio exists as payload already, so that hundreds of parked calls share
// one encoding. NextEncoded takes the place of Next in a tick: it fills dst with at most FrameSamples
// bytes in the codec asked for and returns their number; 0 means nothing to send in this tick. A negative
// number means that it has no such encoding: then Next is called for the same tick.
type EncodedSource interface {
	Source
	NextEncoded(id codec.ID, dst []byte) (n int)
}

// Kind says where the audio of a received frame comes from; of several parts the worst.
type Kind = playout.Kind

// The kinds of received frames, best first.
const (
	Audio     = playout.Audio
	Comfort   = playout.Comfort
	Silence   = playout.Silence
	Concealed = playout.Concealed
)

// Sink takes the audio that a session receives, one frame in each tick, whatever has arrived. The pacer
// calls Write; it must neither block nor allocate, and must not keep f.
type Sink interface {
	Write(f *Frame, k Kind)
}

// Voice is what a session receives, for a Puller.
type Voice interface {
	// Rate is how many samples a second Read gives: 8,000, or 16,000 of a WideSink's voice while the codec is wideband.
	Rate() int
	// Read fills dst, at most 20 ms, with what follows the last Read. late says by how much later it is called than the
	// moment that it stands for: that moment is to go on evenly. What was not asked for in time goes unheard.
	Read(dst []int16, late time.Duration) Kind
}

// Puller is a Sink with a clock of its own, as a sound card has: the pacer gives it nothing, it reads what it needs when it
// needs it, in pieces of any length. So packets wait neither for a tick nor for the other clock; that the clocks differ
// is the jitter buffer's to even out, as it does for the far end's.
type Puller interface {
	Sink
	// Take is told what to read from now on, Drop that it has ended; neither may call the session.
	Take(v Voice)
	Drop(v Voice)
}

// Params is what an offer and answer agreed for one session.
type Params struct {
	// Remote is where the far end said that it receives RTP. Invalid, unspecified or port 0: send nothing.
	Remote netip.AddrPort
	// RTCP is where the far end said that it receives reports; invalid: at the port above Remote's.
	RTCP netip.AddrPort
	// Mux says that reports share the port of RTP, as both sides agreed (RFC 5761).
	Mux bool
	// Extended says that the far end wants extended reports (RFC 3611 §5).
	Extended bool
	// SignalledFrom is the host from which the far end's SIP came. A far end behind a NAT is followed to that host or to
	// Remote's only; where it is not known, to Remote's.
	SignalledFrom netip.Addr
	// Codec is used for sending. Received packets are decoded by their payload type.
	Codec codec.ID
	// PayloadType of Codec in packets that are sent, and accepted beside the static ones.
	PayloadType uint8
	// DTMFPayloadType is that of telephone-event (RFC 4733), 0 if not agreed.
	DTMFPayloadType uint8
	// DTMFReceive is that of telephone-events that come, if it is another one (RFC 3264 §6.1: each side has its numbers).
	DTMFReceive uint8 `json:",omitempty"`
	// NoisePayloadType is that of comfort noise (RFC 3389), 0 if the far end did not say that it takes any.
	NoisePayloadType uint8 `json:",omitempty"`
	// Send and Receive say whether RTP may flow in each direction (RFC 3264 §8.4: hold).
	Send, Receive bool
	// Withhold sends nothing at all, not even reports, whatever else is agreed: nobody has shown yet that he is there.
	Withhold bool `json:"-"`
	// Secure says that SRTP was agreed. Until both keys are there nothing is sent and nothing is taken.
	Secure bool
	// SendKey and ReceiveKey are ours and the far end's. The same key again keeps its rollover counter. They are not
	// part of a stored state.
	SendKey, ReceiveKey srtp.Key `json:"-"`
}
