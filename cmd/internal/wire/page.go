package wire

import (
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/media/prompt"
	"parklamp/sip/call"
	"parklamp/sip/phone"
)

// pageWait is how long a page waits for a phone that is in use: it would ring there like a call.
const pageWait = 2 * time.Second

// page calls people to an orbit: every peer answers by itself and hears "call on 7 0 3" (RFC 5373 and, for phones that
// do not know it, Call-Info with answer-after, which Snom, Yealink and Grandstream obey).
func (d *desk) page(orbit string) {
	words := prompt.CallOn(orbit)
	for _, p := range d.a.cfg.Federation.Peers {
		to, ok := d.a.federation.PeerURI(p.Name, p.Name)
		if !ok {
			continue
		}
		l, err := d.a.invite(to, nil, func(o *call.Invite) {
			o.Headers = append(o.Headers, gosip.NewHeader("Answer-Mode", "Auto"), gosip.NewHeader("Call-Info", "<sip:page@parklamp.invalid>;answer-after=0"))
		})
		if err != nil {
			d.a.log.Warn("a peer cannot be paged", "peer", p.Name, "orbit", orbit, "err", err)
			continue
		}
		l.page = true
		l.media.Play(&ending{source: words.Source(), ended: func() { l.call.Hangup("page") }})
		d.a.loop.after("page "+string(l.id), pageWait, func() {
			if !l.answered && !l.ended {
				l.call.Hangup("page")
			}
		})
	}
	d.a.log.Info("paged", "orbit", orbit, "words", words.Text())
	d.handset.beep(phone.ToneConfirm, confirmFor)
}

// onPage takes what happens to a leg of a page: it needs nothing, and ends with its words or with its far end.
func (a *Appliance) onPage(l *leg, ev call.Event) {
	switch ev := ev.(type) {
	case call.Answered:
		a.log.Debug("page is heard", "call", l.id)
	case call.MediaChanged:
		if ev.Media.RemoteHold { // whoever was paged does something else, and hears no more of it
			l.call.Hangup("page")
		}
	}
}
