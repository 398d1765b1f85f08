// Package sdp makes and reads the session descriptions of one audio stream: the offer/answer model
// of RFC 3264 over SDP (RFC 4566), with parsing done by pion/sdp.
//
// It never opens a socket, keeps no state and starts no goroutine. What has to survive between two
// exchanges of a call (session id, version, the shape of the m-lines) is in Local and Media, as plain
// data that a journal can store.
//
// Every other kind of media is refused with port 0, and keeps its place in later offers.
//
// Keys of SRTP (a=crypto) are read and written, and never printed, stored or told in an error.
//
// Standards: RFC 3264 (offer/answer), RFC 4566 (SDP), RFC 4568 (a=crypto), RFC 8643 (keys in an offer of plain RTP), RFC 3551
// (static payload types), RFC 3389 §4 (comfort noise), RFC 4733 §2.4 (telephone-event), RFC 3605 (a=rtcp), RFC 5761 §5.1
// (a=rtcp-mux), RFC 3611 §5 (a=rtcp-xr), RFC 2543 hold by a zero address as RFC 3264 §8.4 describes it.
package sdp

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The decisions that a caller makes on a description it was given. All of them are answered with 488
// except ErrMalformed, which is a 400.
var (
	// ErrMalformed says that the text is not SDP or exceeds a limit of this package.
	ErrMalformed = errors.New("sdp: malformed")
	// ErrNoAudio says that there is no audio stream over RTP that is in use (port 0 is out of use).
	ErrNoAudio = errors.New("sdp: no usable audio stream")
	// ErrNoCodec says that the two sides have no codec in common.
	ErrNoCodec = errors.New("sdp: no common codec")
	// ErrAddress says that the stream's address is no unicast IP address of our family.
	ErrAddress = errors.New("sdp: unusable address")
)

const (
	// maxBytes bounds a description. A phone with video and ICE sends about 4 kB.
	maxBytes = 16 << 10
	// maxStreams bounds the m-lines of a description.
	maxStreams = 16
	// dtmfPayloadType is the payload type that we offer for telephone-event. Dynamic by RFC 4733
	// §2.4.1; 101 is what nearly all phones use, and some accept nothing else.
	dtmfPayloadType = 101
	// frame is the packet time that we ask for. RFC 3551 §4.2: 20 ms is the default.
	frame = 20 * time.Millisecond
	// longest is the longest packet that package media takes: jitter.MaxPayload.
	longest = 60 * time.Millisecond
)

// Direction is what one side does with its stream, as that side says it. The zero value is SendRecv,
// as RFC 4566 §6 says for a description without the attribute.
type Direction uint8

// The four directions of RFC 4566 §6.
const (
	SendRecv Direction = iota
	SendOnly
	RecvOnly
	Inactive
)

// String gives the name of the SDP attribute.
func (d Direction) String() string {
	switch d {
	case SendRecv:
		return "sendrecv"
	case SendOnly:
		return "sendonly"
	case RecvOnly:
		return "recvonly"
	case Inactive:
		return "inactive"
	}
	return "direction(" + strconv.Itoa(int(d)) + ")"
}

// Sends says whether a side with this direction sends.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly }

// Receives says whether a side with this direction receives.
func (d Direction) Receives() bool { return d == SendRecv || d == RecvOnly }

func direction(sends, receives bool) Direction {
	switch {
	case sends && receives:
		return SendRecv
	case sends:
		return SendOnly
	case receives:
		return RecvOnly
	}
	return Inactive
}

// reverse is the direction as the other side sees it. RFC 3264 §6.1.
func (d Direction) reverse() Direction { return direction(d.Receives(), d.Sends()) }

// and is what is left of d when the other party (seen from our side) allows only o.
func (d Direction) and(o Direction) Direction {
	return direction(d.Sends() && o.Sends(), d.Receives() && o.Receives())
}

// Codec is one audio format.
type Codec struct {
	Name        string `json:"name"` // encoding name of RFC 3551, "PCMU"; compared without case
	PayloadType uint8  `json:"payload_type"`
	ClockRate   uint32 `json:"clock_rate"` // Hz
}

// The codecs with the static payload types of RFC 3551 §6. The clock of G.722 is 8 kHz there (§4.5.2), whatever it carries.
var (
	PCMU = Codec{Name: "PCMU", PayloadType: 0, ClockRate: 8000}
	PCMA = Codec{Name: "PCMA", PayloadType: 8, ClockRate: 8000}
	G722 = Codec{Name: "G722", PayloadType: 9, ClockRate: 8000}
)

// comfortNoise stands among the formats of a description and is no codec of its own. RFC 3389 §4.
var comfortNoise = Codec{Name: "CN", PayloadType: 13, ClockRate: 8000}

func (c Codec) same(o Codec) bool {
	return strings.EqualFold(c.Name, o.Name) && c.ClockRate == o.ClockRate
}

// Local is our side of a session.
type Local struct {
	Addr      netip.Addr `json:"addr"`            // where we receive; IPv4 and IPv6
	Origin    netip.Addr `json:"origin,omitzero"` // that of the first description of the session; invalid: Addr
	Port      uint16     `json:"port"`            // RTP; RTCP is on Port+1
	Codecs    []Codec    `json:"codecs"`          // in order of preference: see Offer and Answer
	DTMF      bool       `json:"dtmf"`            // offer and accept telephone-event
	Noise     bool       `json:"noise,omitempty"` // offer and accept comfort noise
	Direction Direction  `json:"direction"`
	RTCPMux   bool       `json:"rtcp_mux,omitempty"` // offer and accept RTCP on the port of RTP (RFC 5761)
	RTCPXR    bool       `json:"rtcp_xr,omitempty"`  // ask for extended reports (RFC 3611 §5)

	// SessionID and Version are the o= line. Package call owns them: one id for a dialog, and a version
	// that grows by one when, and only when, the description changes (RFC 3264 §8).
	SessionID uint64 `json:"session_id"`
	Version   uint64 `json:"version"`

	// Shape is the list of m-lines that the session has by now (Media.Shape); empty before the first
	// exchange. An offer must repeat them all in the same order (RFC 3264 §8).
	Shape []string `json:"shape,omitempty"`
	// DTMFPayloadType is the telephone-event number in use; 0 means 101. RFC 3264 §8.3.2: a number
	// keeps its meaning for the whole session.
	DTMFPayloadType uint8 `json:"dtmf_payload_type,omitempty"`

	// Security is what the owner wants of the media's encryption, Keys what it takes if that is not Clear.
	Security Security `json:"security,omitempty"`
	Keys     *Keys    `json:"-"`
	// Proto and Suite are what the session has by now (Media); empty before the first exchange, Suite in a plain one.
	Proto string `json:"proto,omitempty"`
	Suite string `json:"suite,omitempty"`
}

// dtmf is the telephone-event number of our offers, 0 if they have none.
func (l Local) dtmf() uint8 {
	switch {
	case !l.DTMF:
		return 0
	case l.DTMFPayloadType != 0:
		return l.DTMFPayloadType
	}
	return dtmfPayloadType
}

// Media is what an exchange agreed on, seen from our side.
type Media struct {
	Remote           netip.AddrPort `json:"remote"`                       // where we send RTP
	RTCP             netip.AddrPort `json:"rtcp"`                         // where we send RTCP
	RTCPMux          bool           `json:"rtcp_mux,omitempty"`           // RTCP shares the port of RTP
	RTCPXR           bool           `json:"rtcp_xr,omitempty"`            // the far end asks for extended reports
	Codec            Codec          `json:"codec"`                        // with the payload type to send
	DTMFPayloadType  uint8          `json:"dtmf_payload_type"`            // of telephone-event that we send; 0: not agreed
	DTMFReceive      uint8          `json:"dtmf_receive,omitempty"`       // of telephone-event that we receive; 0: not agreed
	NoisePayloadType uint8          `json:"noise_payload_type,omitempty"` // of comfort noise that we send; 0: not agreed
	Send             bool           `json:"send"`                         // we may send
	Receive          bool           `json:"receive"`                      // we expect to receive
	RemoteHold       bool           `json:"remote_hold"`                  // the far end has put us on hold
	Ptime            time.Duration  `json:"ptime"`                        // what the far end wants to receive; 20 ms unless it says otherwise
	Shape            []string       `json:"shape,omitempty"`

	Proto  string `json:"proto,omitempty"` // RTP/AVP and the like
	Suite  string `json:"suite,omitempty"` // how the media is encrypted; "": it is not
	Ours   Crypto `json:"-"`               // the key of what we send
	Theirs Crypto `json:"-"`               // the key of what we receive
}

// Secure says whether the media is encrypted.
func (m Media) Secure() bool { return m.Suite != "" }

// own marks our audio stream in a shape; the other entries are "kind proto formats" of refused streams.
const own = "*"

// Offer gives a description that proposes the session. RFC 3264 §5.
func Offer(l Local) []byte {
	w := newWriter(l)
	shape := l.Shape
	if len(shape) == 0 {
		shape = []string{own}
	}
	formats := l.Codecs
	if l.Noise {
		formats = append(slices.Clone(formats), comfortNoise)
	}
	for _, line := range shape {
		if line == own {
			w.audio(l.Port, l.proto(), formats, l.dtmf(), l.Direction)
			for _, c := range l.offered() {
				w.crypto(c)
			}
			w.reports(l.RTCPMux, l.RTCPXR)
		} else {
			w.refused(line)
		}
	}
	return w.bytes()
}

// Check says whether Answer could accept the offer with the codecs and the security of l, before there is a port to
// answer with.
func Check(l Local, offer []byte) error {
	d, err := parse(offer)
	if err != nil {
		return err
	}
	s, err := d.audio(l)
	if err != nil {
		return err
	}
	if _, _, err = s.answerKeys(l); err != nil {
		return err
	}
	_, err = s.choose(l.Codecs)
	return err
}

// Answer accepts an offer with one codec, so that both sides are always of one mind about it (RFC 3264 §6.1 lets an
// answer list several): the first of ours if the offer has it, else the first of the offer that we know. So a leg that is to
// be joined with another takes the codec that saves transcoding, and everybody else gets what he likes best.
func Answer(l Local, offer []byte) ([]byte, Media, error) {
	d, err := parse(offer)
	if err != nil {
		return nil, Media{}, err
	}
	s, err := d.audio(l)
	if err != nil {
		return nil, Media{}, err
	}
	ours, theirs, err := s.answerKeys(l)
	if err != nil {
		return nil, Media{}, err
	}
	codec, err := s.choose(l.Codecs[:min(1, len(l.Codecs))])
	if errors.Is(err, ErrNoCodec) {
		codec, err = s.choose(l.Codecs)
	}
	if err != nil {
		return nil, Media{}, err
	}
	m, err := s.media(l, codec)
	if err != nil {
		return nil, Media{}, err
	}
	m.protect(s.proto, ours, theirs)
	dir := l.Direction.and(s.effective().reverse())
	formats := []Codec{codec}
	if m.NoisePayloadType != 0 {
		formats = append(formats, Codec{comfortNoise.Name, m.NoisePayloadType, comfortNoise.ClockRate})
	}

	w := newWriter(l)
	for i, o := range d.streams {
		if i == s.index {
			m.Shape = append(m.Shape, own)
			w.audio(l.Port, o.proto, formats, m.DTMFPayloadType, dir)
			if m.Secure() {
				w.crypto(ours)
			}
			w.reports(m.RTCPMux, l.RTCPXR && m.RTCPXR)
			continue
		}
		line := o.line()
		m.Shape = append(m.Shape, line)
		// RFC 3264 §6: a stream is refused with port 0, and every m-line of the offer is answered.
		w.refused(line)
	}
	return w.bytes(), m, nil
}

// Accept reads the answer to the offer that Offer made from the same Local.
func Accept(l Local, answer []byte) (Media, error) {
	d, err := parse(answer)
	if err != nil {
		return Media{}, err
	}
	at := 0
	for i, line := range l.Shape {
		if line == own {
			at = i
		}
	}
	// RFC 3264 §6: the i-th m-line of the answer belongs to the i-th of the offer.
	if at >= len(d.streams) || !d.streams[at].usable() {
		return Media{}, ErrNoAudio
	}
	s := d.streams[at]
	ours, theirs, err := s.acceptKeys(l)
	if err != nil {
		return Media{}, err
	}
	codec, err := s.choose(l.Codecs)
	if err != nil {
		return Media{}, err
	}
	m, err := s.media(l, codec)
	if err != nil {
		return Media{}, err
	}
	if m.DTMFPayloadType != 0 {
		// RFC 3264 §6.1: each side is sent the numbers that it has given itself.
		m.DTMFReceive = l.dtmf()
	}
	m.protect(l.proto(), ours, theirs)
	m.Shape = l.Shape
	if len(m.Shape) == 0 {
		m.Shape = []string{own}
	}
	// An answer cannot receive what we did not offer to send: that is our hold and not theirs.
	m.RemoteHold = m.RemoteHold && l.Direction.Sends()
	return m, nil
}

// protect notes how the stream travels.
func (m *Media) protect(proto string, ours, theirs Crypto) {
	m.Proto, m.Suite, m.Ours, m.Theirs = proto, ours.Suite, ours, theirs
}

// media is what stream s of the far end and our side l come to.
func (s *stream) media(l Local, codec Codec) (Media, error) {
	if !s.zero && s.addr.Is4() != l.Addr.Unmap().Is4() {
		return Media{}, ErrAddress
	}
	theirs := s.effective()
	dir := l.Direction.and(theirs.reverse())
	m := Media{
		Codec:   codec,
		Send:    dir.Sends(),
		Receive: dir.Receives(),
		// RFC 3264 §8.4: hold is sendonly or inactive, and a zero address in the manner of RFC 2543.
		RemoteHold: !theirs.Receives(),
		Ptime:      s.ptime,
		// RFC 5761 §5.1.1: only if the offer has it and the answer too.
		RTCPMux: l.RTCPMux && s.mux,
		RTCPXR:  s.extended,
	}
	if !s.zero {
		m.Remote = netip.AddrPortFrom(s.addr, s.port)
		m.RTCP = s.rtcp
		if m.RTCPMux {
			m.RTCP = m.Remote
		}
	}
	if l.DTMF {
		m.DTMFPayloadType = s.named("telephone-event", codec.ClockRate)
		m.DTMFReceive = m.DTMFPayloadType
	}
	if l.Noise {
		m.NoisePayloadType = s.named(comfortNoise.Name, codec.ClockRate)
	}
	return m, nil
}
