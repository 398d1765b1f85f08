package wire

import (
	"fmt"

	"parklamp/media"
	"parklamp/media/conference"
)

// member is a call in a conference.
type member struct {
	session *media.Session
	in      *conference.Party
}

// confer lets microphone and earpiece and some calls hear each other. The mixer lives as long as the calls play it.
func (h *handset) confer(legs []*leg) error {
	mixer := conference.New()
	if _, err := mixer.AddLocal(h.device.Capture(), h.device.Playback()); err != nil {
		return fmt.Errorf("the handset: %w", err)
	}
	for _, l := range legs {
		p, err := mixer.Add()
		if err != nil {
			return fmt.Errorf("call %s: %w", l.id, err)
		}
		h.parties = append(h.parties, member{l.media, p})
		h.heldByFar(l)
		l.media.Play(p)
		l.media.Listen(p)
	}
	return nil
}

// heldByFar keeps a call whose far end has put a conference on hold from being heard by the others: it may play music.
func (h *handset) heldByFar(l *leg) {
	for _, p := range h.parties {
		if p.session == l.media {
			p.in.Hold(l.agreed.RemoteHold)
		}
	}
}
