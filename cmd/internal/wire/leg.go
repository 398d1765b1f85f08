package wire

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/moh"
	"parklamp/parkd"
	"parklamp/sip/call"
	"parklamp/sip/phone"
	"parklamp/sip/sdp"
)

// leg is one dialog with its media session. At any time it is the desk phone's (desk is set), parkd's (parked), one of
// a pair whose media is relayed (pair is set), or still being set up (token names what for).
type leg struct {
	id        parkd.LegID
	call      *call.Call
	media     *media.Session // nil until the far end is to be heard or spoken to
	caller    parkd.Party    // the far end, as others are told
	signalled netip.Addr     // of a restored leg: its source in an earlier life
	codecs    []sdp.Codec    // that it may speak, the one that it should first
	security  sdp.Security   // whether its media is to be encrypted
	keys      *sdp.Keys      // ours for that; nil if it is not

	incoming  bool
	answered  bool         // we sent or got the 200
	confirmed bool         // the ACK has come or gone
	ended     bool         // nothing more is to be sent
	desk      phone.CallID // its name at the desk phone, or ""
	parked    bool         // parkd plays music to it
	pair      *leg         // the leg that it is joined with
	relay     *media.Relay // the relay with pair; nil while one far end has the other on hold
	onHold    bool         // we hold it: the far end was told sendonly
	emergency bool

	page      bool            // a page of ours: it says where somebody is wanted
	referrer  *leg            // the leg whose far end asked for this call by REFER
	awaited   *leg            // the parked caller who is to be joined with it, whoever asked for that having hung up
	agreed    sdp.Media       // of the last offer and answer
	token     string          // the open request of parkd that this leg belongs to, or ""
	parking   string          // the token of an open Park of this leg, or ""
	transfer  *call.Transfer  // a REFER of this leg that is being carried out, or nil
	joined    time.Time       // when its fetch was confirmed
	fetched   string          // the orbit it fetched from
	stranded  string          // the orbit of a caller who was fetched for somebody that is gone meanwhile
	refused   refusedTransfer // the last transfer that the far end asked for in vain
	tellOrbit bool            // hears the orbit before the music: it parked itself
}

// legName makes a name for parkd and the log. A call's own ID is unique in the process.
func legName(c *call.Call) parkd.LegID { return parkd.LegID(c.ID()) }

// source is the host that its signalling came from: its INVITE, or the answer to ours. Behind a proxy that is the proxy's.
func (l *leg) source() netip.Addr {
	info := l.call.Info()
	return cmp.Or(info.Source.Addr(), l.signalled, info.AnsweredFrom)
}

// remoteURI is the far end's address of record.
func (l *leg) remoteURI() gosip.Uri {
	var u gosip.Uri
	if err := gosip.ParseUri(l.call.Dialog().RemoteURI, &u); err != nil {
		return gosip.Uri{} // has no account
	}
	return u
}

// local is our side of a session with this leg as it is now: the codecs in our order of preference.
func (l *leg) local() sdp.Local {
	at := l.media.LocalAddr()
	return sdp.Local{Addr: at.Addr(), Port: at.Port(), Codecs: l.codecs, DTMF: true, Noise: true, Direction: l.direction(),
		RTCPMux: true, RTCPXR: true, Security: l.security, Keys: l.keys}
}

// direction is what our side of the session does.
func (l *leg) direction() sdp.Direction {
	if l.onHold {
		return sdp.SendOnly // RFC 3264 §8.4: the far end goes on hearing us, that is the music
	}
	return sdp.SendRecv
}

// agree puts the result of an offer and answer into the media session.
//
// Nothing is sent to a caller before his ACK, which has our tag in it, and no report either: an INVITE by UDP may come from
// anywhere and name anybody as the receiver of 32 s of music. A lost ACK is repeated as our 200 is (RFC 3261 §13.3.1.4).
func (l *leg) agree(m sdp.Media, signalled netip.Addr) error {
	l.agreed = m
	if l.media == nil {
		return nil
	}
	send, receive, err := keyed(m)
	if err != nil {
		return fmt.Errorf("media of call %s: %w", l.id, err)
	}
	err = l.media.Configure(media.Params{Remote: m.Remote, RTCP: m.RTCP, Mux: m.RTCPMux, Extended: m.RTCPXR, SignalledFrom: signalled,
		Codec: codec.ByName(m.Codec.Name), PayloadType: m.Codec.PayloadType,
		DTMFPayloadType: m.DTMFPayloadType, DTMFReceive: m.DTMFReceive, NoisePayloadType: m.NoisePayloadType,
		Send: m.Send, Receive: m.Receive, Withhold: l.incoming && !l.confirmed, Secure: m.Secure(), SendKey: send, ReceiveKey: receive})
	if err != nil {
		return fmt.Errorf("media of call %s: %w", l.id, err)
	}
	return nil
}

// playMusic lets the far end hear the music on hold from the next frame on.
func (l *leg) playMusic(music *moh.Music) {
	if l.media != nil {
		l.media.Play(music.Source())
		l.media.Listen(nil)
	}
}

// silence stops what the far end hears.
func (l *leg) silence() {
	if l.media != nil {
		l.media.Play(nil)
		l.media.Listen(nil)
	}
}

// party is the far end of a call in the words of parkd.
func party(p call.Party) parkd.Party {
	return parkd.Party{Name: p.Name, URI: p.URI, Number: p.Number}
}
