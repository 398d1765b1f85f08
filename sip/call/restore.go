package call

import (
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip/sdp"
)

// Restore goes on with a call from its stored dialog, after the process that had it has died. Nothing is
// sent: Update with the (perhaps new) description asks the far end whether it is still there.
func (u *UA) Restore(d Dialog, local sdp.Local, h Handler) (*Call, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	c := newCall(u)
	c.incoming, c.handler = !d.Caller, h
	c.state = phaseActive
	d.LocalCSeq += restoreCSeqGap
	c.d = d
	if !sdp.Redacted(d.SDP) {
		c.sent = d.SDP
	}
	c.adopt(local)
	c.tags[d.RemoteTag] = true
	c.info = Info{Direction: Incoming, Started: time.Now(), Header: func(string) string { return "" }}
	if d.Caller {
		c.info.Direction = Outgoing
	}
	var uri gosip.Uri
	if gosip.ParseUri(d.LocalURI, &uri) == nil {
		c.info.Local = party(d.LocalName, uri)
		if !d.Caller {
			c.info.RequestURI, c.info.RequestUser = d.LocalURI, uri.User
		}
	}
	if d.Caller {
		c.info.RequestURI = d.RemoteURI
	}
	if err := u.add(c, c.armSession); err != nil {
		return nil, err
	}
	return c, nil
}
