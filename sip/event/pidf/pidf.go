// Package pidf is the presence document (RFC 3863) in which an appliance says that
// it is alive and which calls it holds in which orbits.
//
// The document is ordinary PIDF. Its first tuple stands for the appliance: `basic`
// says whether it is alive, and an element of our namespace says in which epoch and
// generation the document was written and how many calls follow. Each further tuple
// is one hosted call, with the slot inside <status>:
//
//	presence
//	├─ tuple id=host   status: basic, host{epoch generation slots leaving; settled...}
//	├─ tuple id=...    status: slot{orbit lot call state since ...; caller; parker; dialog}
//	└─ note
//
// A hub between peers may cut a document (Kamailio keeps only the first tuple when
// a publication expires), so Parse counts the calls and answers ErrIncomplete:
// the reader then knows nothing, which is not the same as no calls.
//
// A foreign PIDF document, without our namespace, parses as an appliance with no
// epoch and without tuples of ours. Marshal and Parse are pure, Parse is bounded by
// MaxBytes, MaxTuples and the limits of package xmldoc.
package pidf

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"parklamp/sip/event/xmldoc"
)

var (
	// ErrIncomplete means that the document carries fewer calls than its host says.
	ErrIncomplete = errors.New("pidf: calls are missing")
	// ErrInvalid means that a value in a well-formed document is not allowed.
	ErrInvalid = errors.New("pidf: invalid value")
)

const (
	// ContentType is the MIME type of a PIDF document (RFC 3863 §3).
	ContentType = "application/pidf+xml"
	// Namespace is PIDF's own (RFC 3863 §4.1).
	Namespace = "urn:ietf:params:xml:ns:pidf"
	// SlotNamespace is ours, for the elements inside <status>.
	SlotNamespace = "urn:parklamp:slot:1"

	// MaxTuples is the highest number of calls in one document.
	MaxTuples = 1000
	// MaxBytes is the longest document that Parse reads.
	MaxBytes = 1 << 20

	hostID = "host"
)

// Basic is the availability of RFC 3863 §4.1.4.
type Basic uint8

// The values of Basic. Unstated means that the document has none.
const (
	Unstated Basic = iota
	Open
	Closed
)

// String returns the value as the document spells it.
func (b Basic) String() string {
	switch b {
	case Open:
		return "open"
	case Closed:
		return "closed"
	}
	return ""
}

// Document is the state of one appliance.
type Document struct {
	Entity     string // URI of the presentity, "pres:dock-1@site" or a sip: URI
	Basic      Basic  // Open: alive. Closed: going down
	Note       string // for people, "" for none
	Epoch      uint64 // grows with each start of the appliance
	Generation uint64 // grows with each change within an epoch
	Leaving    bool   // the host is about to go, on purpose
	Settled    []Settled
	Tuples     []Tuple
}

// Settled is what has become of a call whose host was dead.
type Settled struct {
	CallID string
	Moves  int
	How    string // parkd's word: rescued, gone, ...
	// Who said so, and in which of its documents, where that is not the one that tells it; "" and 0 otherwise.
	Host       string
	Epoch      uint64
	Generation uint64
}

// Tuple is one call in an orbit.
type Tuple struct {
	ID   string // unique in the document; an XML NCName, others are made one by Marshal
	Slot Slot
}

// Slot is what watchers know about a call in an orbit. Times have any zone and are
// written in UTC with nanoseconds; the zero time is left out.
type Slot struct {
	Orbit  string // "701"
	Lot    string
	CallID string // the host's name of the call, stable for its life
	State  string // parkd's word: parked, recalling, ...

	Since    time.Time // when it was parked
	Deadline time.Time // when its state gives way to the next
	RecallAt time.Time // when the recall is due
	RecallTo string    // whom it rings
	Step     int       // of the recall
	Moves    int       // how often the call has changed its host

	CallerName, CallerURI string
	ParkerName, ParkerURI string

	Priority          int
	Epoch, Generation uint64     // of the last change of this call
	Dialog            *DialogRef // in documents for peers only
}

// DialogRef names a SIP dialog as the host sees it: for Replaces (RFC 3891 §3).
type DialogRef struct {
	CallID, LocalTag, RemoteTag string
	Reach
}

// Reach is how a peer calls the far end to take the call over; all empty where none may.
type Reach struct {
	Remote, Target, Routes, Transport, Account, Codec, Security string
}

// Marshal returns the document in the form that Parse reads. It needs no check:
// whatever the strings hold becomes valid XML.
func Marshal(d Document) []byte {
	b := make([]byte, 0, 512+640*len(d.Tuples))
	b = append(b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<presence xmlns="`+Namespace+`" xmlns:pl="`+SlotNamespace+`"`...)
	// RFC 3863 §4.1.1: entity is required, also when it is empty.
	b = append(b, ` entity="`...)
	b = xmldoc.AppendText(b, d.Entity)
	b = append(b, `">`+"\n"+`<tuple id="`+hostID+`"><status>`...)
	b = xmldoc.AppendElement(b, "basic", d.Basic.String())
	b = append(b, `<pl:host`...)
	b = appendUint(b, "epoch", d.Epoch)
	b = appendUint(b, "generation", d.Generation)
	b = appendUint(b, "slots", uint64(len(d.Tuples)))
	if d.Leaving {
		b = append(b, ` leaving="true"`...)
	}
	b = append(b, '>')
	for _, s := range d.Settled {
		b = append(b, "<pl:settled"...)
		b = xmldoc.AppendAttr(b, "call", s.CallID)
		b = appendUint(b, "moves", uint64(max(0, s.Moves)))
		b = xmldoc.AppendAttr(b, "how", s.How)
		if s.Host != "" {
			b = xmldoc.AppendAttr(b, "host", s.Host)
			b = appendUint(b, "epoch", s.Epoch)
			b = appendUint(b, "generation", s.Generation)
		}
		b = append(b, "/>"...)
	}
	b = append(b, `</pl:host></status></tuple>`+"\n"...)
	for i := range d.Tuples {
		b = appendTuple(b, &d.Tuples[i])
	}
	b = xmldoc.AppendElement(b, "note", d.Note)
	return append(b, "</presence>\n"...)
}

func appendTuple(b []byte, t *Tuple) []byte {
	s := &t.Slot
	b = append(b, `<tuple`...)
	b = xmldoc.AppendAttr(b, "id", ncName(t.ID))
	// RFC 3863 §4.1.4: basic is optional in a status with an extension. A call is
	// not an address, so it has none.
	b = append(b, `><status><pl:slot`...)
	b = xmldoc.AppendAttr(b, "orbit", s.Orbit)
	b = xmldoc.AppendAttr(b, "lot", s.Lot)
	b = xmldoc.AppendAttr(b, "call", s.CallID)
	b = xmldoc.AppendAttr(b, "state", s.State)
	b = appendTime(b, "since", s.Since)
	b = appendTime(b, "deadline", s.Deadline)
	b = appendTime(b, "recall-at", s.RecallAt)
	b = appendOptional(b, "recall-to", s.RecallTo)
	b = appendCount(b, "step", s.Step)
	b = appendCount(b, "moves", s.Moves)
	b = append(b, ` priority="`...)
	b = strconv.AppendInt(b, int64(s.Priority), 10)
	b = append(b, '"')
	b = appendUint(b, "epoch", s.Epoch)
	b = appendUint(b, "generation", s.Generation)
	b = append(b, '>')
	b = appendParty(b, "pl:caller", s.CallerName, s.CallerURI)
	b = appendParty(b, "pl:parker", s.ParkerName, s.ParkerURI)
	if r := s.Dialog; r != nil {
		b = append(b, "<pl:dialog"...)
		b = xmldoc.AppendAttr(b, "call-id", r.CallID)
		b = xmldoc.AppendAttr(b, "local-tag", r.LocalTag)
		b = xmldoc.AppendAttr(b, "remote-tag", r.RemoteTag)
		for _, a := range [...]struct{ name, value string }{{"remote", r.Remote}, {"target", r.Target}, {"routes", r.Routes},
			{"transport", r.Transport}, {"account", r.Account}, {"codec", r.Codec}, {"security", r.Security}} {
			b = appendOptional(b, a.name, a.value)
		}
		b = append(b, "/>"...)
	}
	b = append(b, "</pl:slot></status>"...)
	if !s.Since.IsZero() {
		b = append(b, "<timestamp>"...)
		b = s.Since.UTC().AppendFormat(b, time.RFC3339)
		b = append(b, "</timestamp>"...)
	}
	return append(b, "</tuple>\n"...)
}

func appendParty(b []byte, element, name, uri string) []byte {
	if name == "" && uri == "" {
		return b
	}
	b = append(b, '<')
	b = append(b, element...)
	b = xmldoc.AppendAttr(b, "name", name)
	b = xmldoc.AppendAttr(b, "uri", uri)
	return append(b, "/>"...)
}

// appendOptional leaves out what is empty, appendCount what is 0.
func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return xmldoc.AppendAttr(b, name, value)
}

func appendCount(b []byte, name string, n int) []byte {
	if n <= 0 {
		return b
	}
	return appendUint(b, name, uint64(n))
}

func appendUint(b []byte, name string, v uint64) []byte {
	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, `="`...)
	b = strconv.AppendUint(b, v, 10)
	return append(b, '"')
}

func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, `="`...)
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// ncName returns id if it is an ASCII NCName (the type xs:ID of RFC 3863 §4.4) and
// not the host's, else a name with each other byte as _xx. Different ids stay
// different unless they already look like that.
func ncName(id string) string {
	valid := id != "" && id != hostID && isLetter(id[0])
	for i := 0; valid && i < len(id); i++ {
		valid = isNameByte(id[i])
	}
	if valid {
		return id
	}
	b := []byte("t-")
	for i := range len(id) {
		if c := id[i]; isNameByte(c) {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, "_%02x", c)
		}
	}
	return string(b)
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }

func isNameByte(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' || c == '-' || c == '.' }
