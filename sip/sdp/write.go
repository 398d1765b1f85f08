package sdp

import (
	"net/netip"
	"strconv"
)

// writer builds a description. The output depends on its input only, so that two descriptions can be
// compared as bytes to decide whether the version has to grow.
type writer struct{ b []byte }

func newWriter(l Local) *writer {
	w := &writer{b: make([]byte, 0, 384)}
	w.text("v=0\r\no=- ")
	w.number(l.SessionID)
	w.text(" ")
	w.number(l.Version)
	w.text(" ")
	// RFC 3264 §8: the origin stays what it was, but for the version.
	origin := l.Origin
	if !origin.IsValid() {
		origin = l.Addr
	}
	w.address(origin)
	w.text("\r\ns=-\r\nc=")
	w.address(l.Addr)
	w.text("\r\nt=0 0\r\n")
	return w
}

func (w *writer) text(s string)   { w.b = append(w.b, s...) }
func (w *writer) number(n uint64) { w.b = strconv.AppendUint(w.b, n, 10) }
func (w *writer) bytes() []byte   { return w.b }

func (w *writer) address(a netip.Addr) {
	a = a.Unmap()
	if a.Is6() {
		w.text("IN IP6 ")
	} else {
		w.text("IN IP4 ")
	}
	// RFC 4566 §5.7 knows no zone; the socket keeps it.
	w.b = a.WithZone("").AppendTo(w.b)
}

// audio writes our stream. A dtmf of 0 leaves telephone-event out.
func (w *writer) audio(port uint16, proto string, codecs []Codec, dtmf uint8, dir Direction) {
	w.text("m=audio ")
	w.number(uint64(port))
	w.text(" ")
	w.text(proto)
	for _, c := range codecs {
		w.text(" ")
		w.number(uint64(c.PayloadType))
	}
	rate := uint32(8000)
	if len(codecs) > 0 {
		rate = codecs[0].ClockRate
	}
	if dtmf != 0 {
		w.text(" ")
		w.number(uint64(dtmf))
	}
	w.text("\r\n")
	for _, c := range codecs {
		w.rtpmap(c.PayloadType, c.Name, c.ClockRate)
	}
	if dtmf != 0 {
		w.rtpmap(dtmf, "telephone-event", rate)
		w.text("a=fmtp:")
		w.number(uint64(dtmf))
		// RFC 4733 §2.4.1: events 0-15 are the digits, star, pound and A to D.
		w.text(" 0-15\r\n")
	}
	w.text("a=ptime:")
	w.number(uint64(frame.Milliseconds()))
	// RFC 4566 §6: package media takes no longer packets than this.
	w.text("\r\na=maxptime:")
	w.number(uint64(longest.Milliseconds()))
	w.text("\r\na=")
	w.text(dir.String())
	w.text("\r\n")
}

// reports writes what we can do about RTCP, behind our stream.
func (w *writer) reports(mux, extended bool) {
	if mux {
		w.text("a=rtcp-mux\r\n")
	}
	if extended {
		w.text("a=rtcp-xr:rcvr-rtt=all voip-metrics\r\n")
	}
}

func (w *writer) rtpmap(pt uint8, name string, rate uint32) {
	w.text("a=rtpmap:")
	w.number(uint64(pt))
	w.text(" ")
	w.text(name)
	w.text("/")
	w.number(uint64(rate))
	w.text("\r\n")
}

// refused writes a stream of a shape with port 0.
func (w *writer) refused(line string) {
	kind, rest, _ := cut(line)
	w.text("m=")
	w.text(kind)
	w.text(" 0 ")
	w.text(rest)
	w.text("\r\n")
}
