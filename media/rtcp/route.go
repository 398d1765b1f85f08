package rtcp

import "net/netip"

// Route says where our reports may go and whose are believed. It follows the same rule as audio: to the signalled
// address, or to another one on the same host as the audio if the far end has proved that it is its own; and to
// nobody else.
type Route struct {
	signalled netip.AddrPort // invalid: none
	muxed     bool
	proved    netip.AddrPort
}

// Signal takes what offer and answer agreed: the address for reports, and whether they share the port of RTP
// (RFC 5761). What is unchanged keeps what was proved.
func (r *Route) Signal(at netip.AddrPort, muxed bool) {
	if at != r.signalled || muxed != r.muxed {
		*r = Route{signalled: at, muxed: muxed}
	}
}

// Muxed reports whether reports share the port of RTP.
func (r *Route) Muxed() bool { return r.muxed }

// Target returns where ours go while audio goes to rtp, and false for nowhere.
func (r *Route) Target(rtp netip.AddrPort) (netip.AddrPort, bool) {
	if !usable(rtp) {
		return netip.AddrPort{}, false
	}
	switch {
	case r.muxed:
		return rtp, true
	case usable(r.proved) && r.proved.Addr() == rtp.Addr():
		return r.proved, true
	case usable(r.signalled) && r.signalled.Addr() == rtp.Addr():
		return r.signalled, true
	}
	// Audio has followed the far end to another host: the signalled address leads nowhere, and where it really
	// receives reports is not known before one comes.
	return netip.AddrPort{}, false
}

// Admit reports whether a compound of sender is taken that came from an address while audio goes to rtp and comes with
// the SSRC stream (known: any has come). Who is at the signalled address is believed; who is elsewhere on the host of the
// audio must know the SSRC of the audio (RFC 4961), and gets ours from then on.
func (r *Route) Admit(from, rtp netip.AddrPort, sender, stream uint32, known bool) bool {
	switch {
	case !usable(rtp):
		return false
	case r.muxed:
		return from == rtp
	case from == r.signalled || from == r.proved && from.Addr() == rtp.Addr():
		return true
	case from.Addr() == rtp.Addr() && known && sender == stream:
		r.proved = from
		return true
	}
	return false
}

func usable(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified()
}
