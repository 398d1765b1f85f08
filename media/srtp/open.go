package srtp

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"
)

// searched rollover counters are tried for a stream that was not followed from its beginning: 46 hours of 20 ms packets.
const searched = 128

// maxPacket bounds the packets of a stream that is searched for. What is longer was no audio of ours.
const maxPacket = 1500

// Opener undoes the protection of what a session receives.
type Opener struct {
	key   Key
	short int // bytes below which nothing can be authentic
	rtcp  struct {
		context *pion.Context
		header  rtcp.Header
		streams streams
		short   int
	}

	// for RTP
	context *pion.Context
	header  rtp.Header
	streams streams
	search  *search // nil: all rollover counters are known
}

// streams remembers which SSRCs have proved themselves.
type streams struct {
	last uint32 // one that has
	all  []uint32
}

// search finds the rollover counters of streams: of whichever is first, and of each that was known before.
type search struct {
	any     bool     // there was no authentic packet yet
	known   []uint32 // SSRCs of which there was none
	context *pion.Context
	forged  int // packets that fitted none: each has left its SSRC in context
	room    [maxPacket]byte
}

// NewOpener makes an Opener with the far end's key. late says that its stream may have begun long ago, under another key
// or in another life of this program, so that its rollover counter is not known: RFC 3711 §3.3.1 keeps it over a change
// of the key, and not every implementation does.
func NewOpener(k Key, late bool) (*Opener, error) {
	o := &Opener{key: k}
	shape := shapes[k.suite]
	o.short = rtpHeader + shape.tag + len(k.mki)
	o.rtcp.short = rtcpHeader + srtcpIndex + shape.tagRTCP + len(k.mki)
	var err error
	if o.context, err = k.context(); err != nil {
		return nil, err
	}
	if o.rtcp.context, err = k.context(); err != nil {
		return nil, err
	}
	if late {
		err = o.Search()
	}
	return o, err
}

// Search looks for the rollover counters anew, as the far end may have gone on under another key meanwhile. What came under
// this one stays known. It fails only where NewOpener does.
func (o *Opener) Search() error {
	s := &search{any: true, known: slices.Clone(o.streams.all)}
	err := o.renew(s)
	if err == nil {
		o.search = s
	}
	return err
}

// renew makes a search forget what it has tried.
func (o *Opener) renew(s *search) error {
	context, err := o.key.context()
	if err == nil {
		s.context, s.forged = context, 0
	}
	return err
}

// Searching says that a packet of RTP costs up to as many attempts as rollover counters are tried, if it is forged.
func (o *Opener) Searching(packet []byte) bool {
	return len(packet) >= o.short && o.searches(binary.BigEndian.Uint32(packet[8:]))
}

func (o *Opener) searches(ssrc uint32) bool {
	return o.search != nil && (o.search.any || slices.Contains(o.search.known, ssrc))
}

// RTP undoes the protection of a packet in place and returns what was sent. On error the buffer may be overwritten.
func (o *Opener) RTP(packet []byte) ([]byte, error) {
	if len(packet) < o.short || packet[0]>>6 != 2 {
		return nil, ErrMalformed
	}
	ssrc := binary.BigEndian.Uint32(packet[8:])
	if o.searches(ssrc) {
		return o.find(ssrc, packet)
	}
	known := o.streams.has(ssrc, o.context.ROC)
	if !known && len(o.streams.all) >= maxStreams {
		return nil, ErrStreams
	}
	out, err := o.context.DecryptRTP(packet, packet, &o.header)
	if err != nil {
		return nil, o.reason(packet, err)
	}
	if !known {
		o.streams.add(ssrc)
	}
	return out, nil
}

// find tries the rollover counters from the last that was known on, else from 0, until one fits.
func (o *Opener) find(ssrc uint32, packet []byte) ([]byte, error) {
	s := o.search
	if len(packet) > maxPacket {
		return nil, ErrMalformed
	}
	first, _ := o.context.ROC(ssrc)
	for n := range uint32(searched) {
		roc := first + n
		s.context.SetROC(ssrc, roc)
		// Not in place: what does not fit is overwritten.
		_, err := s.context.DecryptRTP(s.room[:len(packet)], packet, &o.header)
		switch {
		case err == nil:
			return o.found(ssrc, roc, packet)
		case !errors.Is(err, pion.ErrFailedToVerifyAuthTag):
			return nil, o.reason(packet, err)
		}
	}
	if s.forged++; s.forged >= maxStreams {
		if err := o.renew(o.search); err != nil {
			return nil, err
		}
	}
	return nil, ErrAuthentication
}

// found takes an authentic packet whose rollover counter is known now; one that came before is no news of it.
func (o *Opener) found(ssrc, roc uint32, packet []byte) ([]byte, error) {
	known := o.streams.has(ssrc, o.context.ROC)
	if !known && len(o.streams.all) >= maxStreams {
		return nil, ErrStreams
	}
	before, _ := o.context.ROC(ssrc)
	o.context.SetROC(ssrc, roc)
	out, err := o.context.DecryptRTP(packet, packet, &o.header)
	if err != nil {
		o.context.SetROC(ssrc, before)
		return nil, errors.Join(o.reason(packet, err), o.renew(o.search))
	}
	s := o.search
	s.any = false
	if s.known = slices.DeleteFunc(s.known, func(k uint32) bool { return k == ssrc }); len(s.known) == 0 {
		o.search = nil
	}
	if !known {
		o.streams.add(ssrc)
	}
	return out, nil
}

// RTCP undoes the protection of a compound packet in place.
func (o *Opener) RTCP(packet []byte) ([]byte, error) {
	if len(packet) < o.rtcp.short || packet[0]>>6 != 2 {
		return nil, ErrMalformed
	}
	ssrc := binary.BigEndian.Uint32(packet[4:])
	known := o.rtcp.streams.has(ssrc, o.rtcp.context.Index)
	if !known && len(o.rtcp.streams.all) >= maxStreams {
		return nil, ErrStreams
	}
	out, err := o.rtcp.context.DecryptRTCP(packet, packet, &o.rtcp.header)
	switch {
	case err == nil:
	case errors.Is(err, pion.ErrFailedToVerifyAuthTag), errors.Is(err, pion.ErrMKINotFound):
		return nil, ErrAuthentication
	default:
		return nil, ErrReplayed
	}
	if !known {
		o.rtcp.streams.add(ssrc)
	}
	return out, nil
}

// reason says in the words of this package why an RTP packet was refused.
func (o *Opener) reason(packet []byte, err error) error {
	if errors.Is(err, pion.ErrFailedToVerifyAuthTag) || errors.Is(err, pion.ErrMKINotFound) {
		return ErrAuthentication
	}
	// What pion says of a header and of a replayed packet has no name outside of it.
	if n, err := o.header.Unmarshal(packet); err != nil || n+o.short-rtpHeader > len(packet) {
		return ErrMalformed
	}
	return ErrReplayed
}

// has says whether a stream has proved itself; a context keeps each one that has, and known asks it.
func (s *streams) has(ssrc uint32, known func(uint32) (uint32, bool)) bool {
	if len(s.all) > 0 && ssrc == s.last {
		return true
	}
	_, ok := known(ssrc)
	if ok {
		s.last = ssrc
	}
	return ok
}

func (s *streams) add(ssrc uint32) {
	s.last = ssrc
	s.all = append(s.all, ssrc)
}
