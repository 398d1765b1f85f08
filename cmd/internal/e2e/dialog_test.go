package e2e

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// dialogInfo is an RFC 4235 document as a desk phone reads it: not with the code that wrote it.
type dialogInfo struct {
	XMLName xml.Name `xml:"urn:ietf:params:xml:ns:dialog-info dialog-info"`
	Version int      `xml:"version,attr"`
	State   string   `xml:"state,attr"`
	Entity  string   `xml:"entity,attr"`
	Dialogs []struct {
		ID        string `xml:"id,attr"`
		CallID    string `xml:"call-id,attr"`
		Direction string `xml:"direction,attr"`
		State     string `xml:"state"`
		Parker    string `xml:"referred-by"`
		Remote    struct {
			Identity struct {
				Name string `xml:"display,attr"`
				URI  string `xml:",chardata"`
			} `xml:"identity"`
		} `xml:"remote"`
		Local struct {
			Target struct {
				Params []struct {
					Name  string `xml:"pname,attr"`
					Value string `xml:"pval,attr"`
				} `xml:"param"`
			} `xml:"target"`
		} `xml:"local"`
	} `xml:"dialog"`
}

// watcher is a third-party phone with a lamp for an orbit.
func (p *place) watcher(a *site.Appliance, orbit string, v visit) *guest {
	p.Helper()
	v.scenario = "watcher"
	if v.event == "" {
		v.event = "dialog"
	}
	return p.guest(a, orbit, v)
}

// documents are what a watcher was told, in order; what is repeated counts once.
func documents(t *testing.T, all []peer.Message) []dialogInfo {
	t.Helper()
	var docs []dialogInfo
	seen := map[string]bool{}
	for _, m := range all {
		if m.Sent || m.Method() != "NOTIFY" || m.Status() != 0 || seen[m.Header("CSeq")] || m.Body() == "" {
			continue
		}
		seen[m.Header("CSeq")] = true
		if kind := m.Header("Content-Type"); kind != "application/dialog-info+xml" {
			t.Errorf("NOTIFY with Content-Type %q", kind)
		}
		var d dialogInfo
		if err := xml.Unmarshal([]byte(m.Body()), &d); err != nil {
			t.Fatalf("NOTIFY: %v\n%s", err, m.Body())
		}
		docs = append(docs, d)
	}
	return docs
}

// lampOf is what a phone shows for a document: the state of its one dialog.
func (d dialogInfo) lamp() string {
	if len(d.Dialogs) != 1 {
		return fmt.Sprint(len(d.Dialogs), " dialogs")
	}
	return d.Dialogs[0].State
}

// sees waits until a watcher has been told these states one after the other, perhaps with others between them, and
// returns all that it was told.
func (g *guest) sees(states ...string) []dialogInfo {
	g.t.Helper()
	return expect(g.t, g.SIPp, "NOTIFY of "+strings.Join(states, ", "), func(all []peer.Message) ([]dialogInfo, bool) {
		docs, next := documents(g.t, all), 0
		for _, d := range docs {
			if next < len(states) && d.lamp() == states[next] {
				next++
			}
		}
		return docs, next == len(states)
	})
}

// TestDialogEvents follows an orbit with a watcher at each appliance: free, parked, recalled, fetched.
func TestDialogEvents(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "[lot]\ntimeout = \"4s\"\n")
	if m := p.watcher(p.dock1(), "799", visit{}).refusal(); m.Status() != 404 {
		t.Errorf("subscription to an unknown orbit: %q, want 404", m.StartLine())
	}
	if m := p.watcher(p.dock1(), "701", visit{event: "conference"}).refusal(); m.Status() != 489 || !strings.Contains(m.Header("Allow-Events"), "dialog") {
		t.Errorf("subscription to an unknown event: %q, Allow-Events %q; want 489 and dialog among them", m.StartLine(), m.Header("Allow-Events"))
	}
	var watchers []*guest
	for _, a := range p.Appliances {
		w := p.watcher(a, "701", visit{})
		w.sees("terminated")
		watchers = append(watchers, w)
	}
	lost := p.watcher(p.dock1(), "701", visit{tcp: true})
	lost.sees("terminated")
	lost.Stop()

	caller := p.left()
	p.rings(p.dock1(), "recall", caller)
	for _, w := range watchers {
		w.sees("terminated", "confirmed", "early")
	}
	p.fetch(p.dock2(), "701")
	p.talk(p.dock2(), caller)
	for i, w := range watchers {
		docs := w.sees("terminated", "confirmed", "early", "terminated")
		for j, d := range docs {
			if d.State != "full" || d.Version <= 0 && j > 0 || j > 0 && d.Version <= docs[j-1].Version {
				t.Errorf("document %d at %s is %s with version %d", j, p.Appliances[i].Name, d.State, d.Version)
			}
			if want := fmt.Sprintf("sip:701@%s", p.sip(i+1)); d.Entity != want {
				t.Errorf("document %d at %s is of %s, want %s", j, p.Appliances[i].Name, d.Entity, want)
			}
			if d.lamp() == "terminated" || len(d.Dialogs) != 1 {
				continue
			}
			g, parker := d.Dialogs[0], fmt.Sprintf("sip:201@%s", p.sip(1))
			if g.Direction != "recipient" || !strings.Contains(g.Remote.Identity.URI, caller.number) || g.Remote.Identity.Name != "Outside "+caller.number ||
				g.Parker != parker {
				t.Errorf("document %d at %s shows %+v; want the caller %s, parked by %s", j, p.Appliances[i].Name, g, caller.number, parker)
			}
			if g.CallID != "" {
				t.Errorf("document %d at %s has the Call-ID, with which anybody could take the call", j, p.Appliances[i].Name)
			}
			// RFC 4235 §4.1.6.2: parked is on hold.
			if params := g.Local.Target.Params; len(params) != 1 || params[0].Name != "+sip.rendering" || params[0].Value != "no" {
				t.Errorf("document %d at %s has the parameters %+v, want +sip.rendering no", j, p.Appliances[i].Name, params)
			}
		}
		w.hangUp() // unsubscribes
	}
	p.logged(p.dock1(), `msg="watcher removed" peer=`+p.addr(lost.last).String())
	p.hook(p.dock2(), false)
	caller.ended()
	p.await(p.dock1(), "no calls", func(st panel.Status) bool { return len(st.Calls) == 0 })
}

// refusal waits for the final answer to a watcher's SUBSCRIBE.
func (g *guest) refusal() peer.Message {
	g.t.Helper()
	m := g.expect("an answer to SUBSCRIBE", func(m peer.Message) bool { return !m.Sent && m.Status() >= 200 && m.Method() == "SUBSCRIBE" })
	g.ended()
	return m
}
