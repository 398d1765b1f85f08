// Package dialoginfo is the document of Event: dialog (RFC 4235): what a lamp key
// on any maker's desk phone watches.
//
// A Document is the state of one entity, full or partial. Orbit builds the document
// of an orbit the way lamps of desk phones read it:
//
//   - No call: one dialog, terminated. Some phones keep a lamp lit when a full
//     document has no dialog at all.
//   - Parked: confirmed, which every phone shows as steady. The local target has
//     +sip.rendering="no" (RFC 4235 §4.1.6.2): the caller is on hold.
//   - Recalling: early, which phones show as blinking.
//
// Each dialog names the caller (remote identity), the orbit (local identity), the
// parker (referred-by, and an element of ours), the direction and the age. It has
// no Call-ID and no tags: who has them can take the call with Replaces (RFC 3891 §3),
// and anybody may subscribe. A phone picks up by dialling the orbit.
//
// Marshal is pure. Nobody here watches dialogs of others: what reads documents back is for the tests.
package dialoginfo

import (
	"strconv"
	"time"

	"parklamp/sip/event/xmldoc"
)

const (
	// ContentType is the MIME type of the document (RFC 4235 §3.5).
	ContentType = "application/dialog-info+xml"
	// Namespace is that of RFC 4235 §4.4.
	Namespace = "urn:ietf:params:xml:ns:dialog-info"
	// ParkedNamespace is ours, for the <parked> element at the end of a dialog.
	ParkedNamespace = "urn:parklamp:dialog:1"
)

// Scope says whether a document holds every dialog of the entity.
type Scope uint8

// The values of Scope.
const (
	Full    Scope = iota // all dialogs: replaces what was known
	Partial              // changed dialogs only
)

// String returns the value as the document spells it.
func (s Scope) String() string {
	if s == Partial {
		return "partial"
	}
	return "full"
}

// State is the state of a dialog (RFC 4235 §3.7.1), as far as calls in orbits have them.
type State uint8

// The values of State.
const (
	Terminated State = iota
	Early
	Confirmed
)

var stateNames = [...]string{"terminated", "early", "confirmed"}

// String returns the value as the document spells it.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "State(" + strconv.Itoa(int(s)) + ")"
}

// Direction says who sent the first request of a dialog, seen from the entity.
type Direction uint8

// The values of Direction. Unstated means that the document has none.
const (
	Unstated  Direction = iota
	Initiator           // the entity called
	Recipient           // the entity was called
)

// String returns the value as the document spells it.
func (d Direction) String() string {
	switch d {
	case Initiator:
		return "initiator"
	case Recipient:
		return "recipient"
	}
	return ""
}

// Document is the state of one entity.
type Document struct {
	Entity  string // URI that was subscribed to
	Version uint32 // grows by one with each document of a subscription
	State   Scope
	Dialogs []Dialog
}

// Dialog is one dialog of the entity, seen from the entity.
type Dialog struct {
	ID        string // unique in the entity's documents
	Direction Direction

	State State
	Event string // why it is in this state: cancelled, rejected, replaced, local-bye, remote-bye, error, timeout
	Code  int    // response code that belongs to Event, 0 for none

	Duration time.Duration // age, carried in whole seconds; 0 is left out

	ReferredBy    Identity // who put the dialog here
	Local, Remote Participant
	Parked        *Parked // ours, nil in other makers' documents
}

// Identity is a name and a URI; either may be empty.
type Identity struct {
	Name, URI string
}

// Participant is one side of a dialog.
type Participant struct {
	Identity Identity
	Target   string  // contact URI of the side
	Params   []Param // of the target, such as +sip.rendering
}

// Param is a feature parameter of a target (RFC 4235 §4.1.6.2).
type Param struct {
	Name, Value string
}

// Parked is what only an orbit knows about a dialog.
type Parked struct {
	Orbit string
	By    Identity  // the parker
	Since time.Time // in UTC, whole seconds
	Host  string    // name of the appliance that holds the call
}

// Marshal returns the document in the form that Parse reads. It needs no check:
// whatever the strings hold becomes valid XML.
func Marshal(d Document) []byte {
	b := make([]byte, 0, 256+1024*len(d.Dialogs))
	b = append(b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<dialog-info xmlns="`+Namespace+`" version="`...)
	b = strconv.AppendUint(b, uint64(d.Version), 10)
	b = append(b, `" state="`...)
	b = append(b, d.State.String()...)
	b = append(b, `" entity="`...)
	b = xmldoc.AppendText(b, d.Entity)
	b = append(b, '"', '>', '\n')
	for i := range d.Dialogs {
		b = appendDialog(b, &d.Dialogs[i])
	}
	return append(b, "</dialog-info>\n"...)
}

// appendDialog keeps the order of elements in the schema of RFC 4235 §4.4: state,
// duration, replaces, referred-by, route-set, local, remote, others.
func appendDialog(b []byte, g *Dialog) []byte {
	b = append(b, `<dialog id="`...)
	b = xmldoc.AppendText(b, g.ID)
	b = append(b, '"')
	b = xmldoc.AppendAttr(b, "direction", g.Direction.String())
	b = append(b, ">\n<state"...)
	b = xmldoc.AppendAttr(b, "event", g.Event)
	if g.Code != 0 {
		b = xmldoc.AppendAttr(b, "code", strconv.Itoa(g.Code))
	}
	b = append(b, '>')
	b = append(b, g.State.String()...)
	b = append(b, "</state>\n"...)
	if s := int64(g.Duration / time.Second); s > 0 {
		b = append(b, "<duration>"...)
		b = strconv.AppendInt(b, s, 10)
		b = append(b, "</duration>\n"...)
	}
	b = appendNamed(b, "referred-by", g.ReferredBy)
	b = appendParticipant(b, "local", &g.Local)
	b = appendParticipant(b, "remote", &g.Remote)
	if p := g.Parked; p != nil {
		b = append(b, `<pl:parked xmlns:pl="`+ParkedNamespace+`"`...)
		b = xmldoc.AppendAttr(b, "orbit", p.Orbit)
		b = xmldoc.AppendAttr(b, "by", p.By.URI)
		b = xmldoc.AppendAttr(b, "by-name", p.By.Name)
		if !p.Since.IsZero() {
			b = xmldoc.AppendAttr(b, "since", p.Since.UTC().Format(time.RFC3339))
		}
		b = xmldoc.AppendAttr(b, "host", p.Host)
		b = append(b, "/>\n"...)
	}
	return append(b, "</dialog>\n"...)
}

// appendNamed appends <element display="name">uri</element>.
func appendNamed(b []byte, element string, i Identity) []byte {
	if i == (Identity{}) {
		return b
	}
	b = append(b, '<')
	b = append(b, element...)
	b = xmldoc.AppendAttr(b, "display", i.Name)
	b = append(b, '>')
	b = xmldoc.AppendText(b, i.URI)
	b = append(b, "</"...)
	b = append(b, element...)
	return append(b, ">\n"...)
}

func appendParticipant(b []byte, element string, p *Participant) []byte {
	if p.Identity == (Identity{}) && p.Target == "" && len(p.Params) == 0 {
		return b
	}
	b = append(b, '<')
	b = append(b, element...)
	b = append(b, ">\n"...)
	b = appendNamed(b, "identity", p.Identity)
	if p.Target != "" || len(p.Params) > 0 {
		b = append(b, `<target uri="`...)
		b = xmldoc.AppendText(b, p.Target)
		b = append(b, '"', '>')
		for _, q := range p.Params {
			b = append(b, `<param pname="`...)
			b = xmldoc.AppendText(b, q.Name)
			b = append(b, `" pval="`...)
			b = xmldoc.AppendText(b, q.Value)
			b = append(b, `"/>`...)
		}
		b = append(b, "</target>\n"...)
	}
	b = append(b, "</"...)
	b = append(b, element...)
	return append(b, ">\n"...)
}
