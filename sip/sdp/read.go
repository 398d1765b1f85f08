package sdp

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	pion "github.com/pion/sdp/v3"
)

// description is the part of an SDP text that offer/answer needs.
type description struct{ streams []*stream }

// stream is one m-line.
type stream struct {
	index   int
	kind    string
	proto   string
	formats []string
	port    uint16
	addr    netip.Addr // invalid when the address is a host name or not IP
	zero    bool       // 0.0.0.0 or ::
	rtcp    netip.AddrPort
	said    Direction
	mux     bool // a=rtcp-mux
	// extended: it asks for VoIP metrics or round trips of receivers
	extended bool
	ptime    time.Duration
	maps     map[uint8]Codec
	cryptos  []Crypto // a=crypto lines that can be used, in order
	lines    int      // a=crypto lines, whatever is in them
}

func parse(text []byte) (*description, error) {
	if len(text) == 0 || len(text) > maxBytes {
		return nil, fmt.Errorf("%w: %d bytes, 1 to %d allowed", ErrMalformed, len(text), maxBytes)
	}
	// pion refuses a last line without its end; some phones send it so, and Content-Length has ended it.
	if text[len(text)-1] != '\n' {
		text = append(text[:len(text):len(text)], "\r\n"...)
	}
	var p pion.SessionDescription
	if err := p.Unmarshal(text); err != nil {
		if bytes.Contains(text, []byte("crypto")) {
			return nil, ErrMalformed // the reason may quote a key
		}
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(p.MediaDescriptions) > maxStreams {
		return nil, fmt.Errorf("%w: %d streams, at most %d allowed", ErrMalformed, len(p.MediaDescriptions), maxStreams)
	}
	d := &description{}
	session := directionOf(p.Attributes, SendRecv)
	wanted, _ := p.Attribute("rtcp-xr")
	for i, md := range p.MediaDescriptions {
		c := md.ConnectionInformation
		if c == nil {
			c = p.ConnectionInformation
		}
		if _, own := md.Attribute("rtcp-xr"); !own {
			// RFC 3611 §5.1: said for the session, it holds for each stream that does not say its own.
			md.Attributes = append(md.Attributes, pion.NewAttribute("rtcp-xr", wanted))
		}
		d.streams = append(d.streams, newStream(i, md, c, session))
	}
	return d, nil
}

func newStream(i int, md *pion.MediaDescription, c *pion.ConnectionInformation, session Direction) *stream {
	s := &stream{
		index:   i,
		kind:    md.MediaName.Media,
		proto:   strings.Join(md.MediaName.Protos, "/"),
		formats: md.MediaName.Formats,
		said:    directionOf(md.Attributes, session),
		ptime:   frame,
		maps:    map[uint8]Codec{},
	}
	if p := md.MediaName.Port.Value; p > 0 && p <= 65535 {
		s.port = uint16(p)
	}
	if c != nil && c.Address != nil {
		// A multicast address may carry a TTL (RFC 4566 §5.7); it is refused below in any case.
		host, _, _ := strings.Cut(c.Address.Address, "/")
		if a, err := netip.ParseAddr(host); err == nil && a.Zone() == "" {
			s.addr = a.Unmap()
			s.zero = s.addr.IsUnspecified()
		}
	}
	if s.addr.IsValid() && s.port != 0 {
		// RFC 3550 §11: RTCP goes to the next higher port.
		if s.port < 65535 {
			s.rtcp = netip.AddrPortFrom(s.addr, s.port+1)
		}
	}
	for _, a := range md.Attributes {
		s.attribute(a.Key, a.Value)
	}
	return s
}

func (s *stream) attribute(key, value string) {
	switch key {
	case "ptime":
		// Some phones write 20.0.
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err == nil && n >= 1 && n <= 200 {
			s.ptime = time.Duration(n * float64(time.Millisecond))
		}
	case "crypto":
		s.crypto(value)
	case "rtpmap":
		pt, rest, ok := cut(value)
		n, err := strconv.ParseUint(pt, 10, 7)
		if !ok || err != nil {
			return
		}
		name, rest, _ := strings.Cut(strings.TrimSpace(rest), "/")
		rate, channels, _ := strings.Cut(rest, "/")
		hz, err := strconv.ParseUint(rate, 10, 32)
		// RFC 4566 §6: the encoding parameter of audio is the number of channels, 1 if it is missing.
		if err != nil || channels != "" && channels != "1" {
			name = ""
		}
		s.maps[uint8(n)] = Codec{Name: name, PayloadType: uint8(n), ClockRate: uint32(hz)}
	case "rtcp-mux":
		s.mux = true // RFC 5761 §5.1.1
	case "rtcp-xr":
		s.extended = asksExtended(value)
	case "rtcp":
		// RFC 3605 §2.1: a=rtcp:port [nettype addrtype address].
		f := strings.Fields(value)
		if len(f) == 0 || !s.addr.IsValid() {
			return
		}
		port, err := strconv.ParseUint(f[0], 10, 16)
		if err != nil || port == 0 {
			return
		}
		addr := s.addr
		if len(f) == 4 {
			a, err := netip.ParseAddr(f[3])
			// Reports go to the host that gets the media, or nowhere: a third address would let a
			// stranger be flooded.
			if err != nil || a.Unmap() != s.addr {
				return
			}
		}
		s.rtcp = netip.AddrPortFrom(addr, uint16(port))
	}
}

// asksExtended reads the value of a=rtcp-xr (RFC 3611 §5.1): the blocks that are wanted, each perhaps with parameters.
func asksExtended(value string) bool {
	for f := range strings.FieldsSeq(value) {
		if name, _, _ := strings.Cut(f, "="); name == "voip-metrics" || name == "rcvr-rtt" {
			return true
		}
	}
	return false
}

func directionOf(attributes []pion.Attribute, otherwise Direction) Direction {
	for _, a := range attributes {
		for d := SendRecv; d <= Inactive; d++ {
			if a.Key == d.String() {
				return d
			}
		}
	}
	return otherwise
}

// usable says whether the stream is audio over RTP that is in use. AVPF and SAVPF (RFC 4585, RFC 5124) are the same with
// permission to send feedback, of which we make no use.
func (s *stream) usable() bool {
	return s.kind == "audio" && s.port != 0 && (s.proto == "RTP/AVP" || s.proto == "RTP/AVPF" || isSecure(s.proto))
}

// audio gives the stream to answer: the first usable one that suits our wish for encryption, else the first.
func (d *description) audio(l Local) (*stream, error) {
	var first, best *stream
	for _, s := range d.streams {
		if !s.usable() {
			continue
		}
		if first == nil {
			first = s
		}
		_, keyed := s.choice()
		// Some phones offer one stream twice, with and without encryption.
		if best == nil && (l.Security == Clear && !isSecure(s.proto) || l.Security != Clear && keyed) {
			best = s
		}
	}
	for _, s := range d.streams {
		if best == nil && l.Security == Preferred && s.usable() && !isSecure(s.proto) {
			best = s
		}
	}
	if best == nil {
		best = first
	}
	switch {
	case best == nil:
		return nil, ErrNoAudio
	case !best.sendable():
		return nil, ErrAddress
	}
	return best, nil
}

// effective is the direction with the zero address of RFC 2543 understood: who has no address does
// not receive.
func (s *stream) effective() Direction {
	if s.zero {
		return s.said.and(SendOnly)
	}
	return s.said
}

// choose gives the first format of the stream that is among ours, with the stream's payload type.
func (s *stream) choose(ours []Codec) (Codec, error) {
	if !s.sendable() {
		return Codec{}, ErrAddress
	}
	for _, f := range s.formats {
		n, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			continue
		}
		c, ok := s.maps[uint8(n)]
		if !ok {
			// RFC 3551 §6: a static number needs no rtpmap.
			switch uint8(n) {
			case PCMU.PayloadType:
				c = PCMU
			case PCMA.PayloadType:
				c = PCMA
			case G722.PayloadType:
				c = G722
			default:
				continue
			}
		}
		for _, o := range ours {
			if c.same(o) {
				return Codec{Name: o.Name, PayloadType: c.PayloadType, ClockRate: o.ClockRate}, nil
			}
		}
	}
	return Codec{}, ErrNoCodec
}

// named gives the stream's number of a format that is no codec, at the rate, 0 if there is none.
func (s *stream) named(name string, rate uint32) uint8 {
	for _, f := range s.formats {
		n, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			continue
		}
		c, ok := s.maps[uint8(n)]
		if !ok && uint8(n) == comfortNoise.PayloadType {
			c = comfortNoise
		}
		if strings.EqualFold(c.Name, name) && c.ClockRate == rate {
			return uint8(n)
		}
	}
	return 0
}

// line is the stream as an entry of a shape.
func (s *stream) line() string {
	return s.kind + " " + s.proto + " " + strings.Join(s.formats, " ")
}

// cut splits at the first space.
func cut(s string) (before, after string, ok bool) { return strings.Cut(s, " ") }

// sendable says whether a far end may be there: neither a group nor everybody on the link, who never asked for it.
func (s *stream) sendable() bool {
	return s.addr.IsValid() && !s.addr.IsMulticast() && s.addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
