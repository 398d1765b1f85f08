package call

import (
	"math/rand/v2"
	"slices"

	"parklamp/sip/sdp"
)

// stampNew begins the media of a dialog: one session id for its whole life.
func (c *Call) stampNew(l sdp.Local) {
	// RFC 3264 §5: ids and versions fit into 62 bits.
	l.SessionID, l.Version, l.Origin = rand.Uint64N(1<<53), 1, l.Addr
	c.d.Local = l
}

// stamp carries over what belongs to the session and not to a description of it.
func (c *Call) stamp(l sdp.Local) sdp.Local {
	l.SessionID, l.Version, l.Origin = c.d.Local.SessionID, c.d.Local.Version, c.d.Local.Origin
	l.Shape, l.DTMFPayloadType = c.d.Local.Shape, c.d.Local.DTMFPayloadType
	l.Proto, l.Suite = c.d.Local.Proto, c.d.Local.Suite
	return l
}

// offer puts an offer made from l into a request or response and notes it as sent; l gets its version.
func (c *Call) offer(m message, l *sdp.Local) {
	setBody(m, "application/sdp", c.describe(l, func(l sdp.Local) []byte { return sdp.Offer(l) }))
}

// answer answers an offer from l and notes the answer as sent.
func (c *Call) answer(l sdp.Local, offer []byte) ([]byte, sdp.Media, error) {
	_, m, err := sdp.Answer(l, offer)
	if err != nil {
		return nil, m, err
	}
	body := c.describe(&l, func(l sdp.Local) []byte {
		text, _, _ := sdp.Answer(l, offer) // has just worked
		return text
	})
	return body, m, nil
}

// describe builds a description. RFC 3264 §8: the version grows by one if anything else has changed
// since the description that was sent last, and stays if nothing has.
func (c *Call) describe(l *sdp.Local, build func(sdp.Local) []byte) []byte {
	l.Version = c.d.Local.Version
	text := build(*l)
	before := c.sent
	if before == "" {
		before = c.d.SDP
	}
	if before != "" && before != string(text) {
		l.Version++
		text = build(*l)
	}
	c.d.Local.Version = l.Version
	// The dialog goes into journals: without keys.
	c.sent, c.d.SDP = string(text), sdp.Redact(text)
	return text
}

// setMedia takes what an exchange has agreed on.
func (c *Call) setMedia(m sdp.Media) {
	if m.Suite != c.media.Suite {
		c.d.Local.Keys.Renew(c.media.Suite) // no offer with it is open: one exchange at a time
	}
	c.media, c.hasMedia = m, true
	c.d.Local.Shape = m.Shape
	c.d.Local.Proto, c.d.Local.Suite = m.Proto, m.Suite
	if m.DTMFReceive != 0 {
		c.d.Local.DTMFPayloadType = m.DTMFReceive
	}
}

func sameMedia(a, b sdp.Media) bool {
	shape := slices.Equal(a.Shape, b.Shape)
	a.Shape, b.Shape = nil, nil
	return shape && a.Remote == b.Remote && a.RTCP == b.RTCP && a.Codec == b.Codec && a.DTMFPayloadType == b.DTMFPayloadType && a.DTMFReceive == b.DTMFReceive && a.NoisePayloadType == b.NoisePayloadType &&
		a.Send == b.Send && a.Receive == b.Receive && a.RemoteHold == b.RemoteHold && a.Ptime == b.Ptime &&
		a.Proto == b.Proto && a.Ours.Equal(b.Ours) && a.Theirs.Equal(b.Theirs)
}

// Acceptable says whether the offer that an incoming call came with can be answered from l; nil if it came without one.
// It sends nothing: the owner refuses a call before anybody is rung for it.
func (c *Call) Acceptable(l sdp.Local) error {
	if c.offered == nil {
		return nil
	}
	return sdp.Check(l, c.offered)
}

// otherwise is the next way to ask for encryption that is preferred and was refused: keys with plain RTP first, which
// most phones and PBXs take (RFC 8643), then SRTP only, which some demand, then none. It says whether there is one.
func (c *Call) otherwise() bool {
	if c.options.Media.Security != sdp.Preferred || c.options.LateOffer {
		return false
	}
	switch l := &c.d.Local; l.Security {
	case sdp.Preferred:
		l.Security = sdp.Required
	case sdp.Required:
		l.Security = sdp.Clear
	default:
		return false
	}
	return true
}
