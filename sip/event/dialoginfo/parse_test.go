package dialoginfo

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"parklamp/sip/event/xmldoc"
)

// maxDialogs is the highest number of dialogs in one document.
const maxDialogs = 500

// errInvalid means that a value in a well-formed document is not allowed.
var errInvalid = errors.New("dialoginfo: invalid value")

var limits = xmldoc.Limits{Bytes: 512 << 10, Depth: 12, Elements: 20 * maxDialogs, Attributes: 32}

// Parse reads a document. Errors are errInvalid or those of package xmldoc.
func Parse(data []byte) (Document, error) {
	root, err := xmldoc.Parse(data, limits)
	if err != nil {
		return Document{}, fmt.Errorf("parse dialog-info: %w", err)
	}
	if !root.Is(Namespace, "dialog-info") {
		return Document{}, fmt.Errorf("parse dialog-info: %w: root element %s %s", errInvalid, root.Space, root.Name)
	}
	d := Document{Entity: root.Attr("entity")}
	// RFC 4235 §4.1: version, state and entity are required. Phones leave out the
	// entity, which the subscription knows anyway.
	version, err := strconv.ParseUint(root.Attr("version"), 10, 32)
	if err != nil {
		return Document{}, fmt.Errorf("parse dialog-info: %w: version=%q", errInvalid, root.Attr("version"))
	}
	d.Version = uint32(version)
	switch s := root.Attr("state"); s {
	case "full":
	case "partial":
		d.State = Partial
	default:
		return Document{}, fmt.Errorf("parse dialog-info: %w: state=%q, allowed are full and partial", errInvalid, s)
	}
	ids := map[string]bool{}
	for _, e := range root.Children {
		if !e.Is(Namespace, "dialog") {
			continue
		}
		if len(d.Dialogs) == maxDialogs {
			return Document{}, fmt.Errorf("parse dialog-info: %w: more than %d dialogs", xmldoc.ErrTooLarge, maxDialogs)
		}
		g, err := parseDialog(e)
		if err != nil {
			return Document{}, fmt.Errorf("parse dialog-info: dialog %q: %w", g.ID, err)
		}
		// RFC 4235 §4.1.1: the id is required and unique in the document.
		if g.ID == "" || ids[g.ID] {
			return Document{}, fmt.Errorf("parse dialog-info: %w: dialog id %q is empty or twice there", errInvalid, g.ID)
		}
		ids[g.ID] = true
		d.Dialogs = append(d.Dialogs, g)
	}
	return d, nil
}

func parseDialog(e *xmldoc.Element) (Dialog, error) {
	g := Dialog{
		ID:         e.Attr("id"),
		ReferredBy: parseNamed(e.Child(Namespace, "referred-by")),
		Local:      parseParticipant(e.Child(Namespace, "local")),
		Remote:     parseParticipant(e.Child(Namespace, "remote")),
	}
	switch v := e.Attr("direction"); v {
	case "":
	case "initiator":
		g.Direction = Initiator
	case "recipient":
		g.Direction = Recipient
	default:
		return g, fmt.Errorf("%w: direction=%q, allowed are initiator and recipient", errInvalid, v)
	}
	state := e.Child(Namespace, "state")
	i := slices.Index(stateNames[:], state.Value())
	if i < 0 {
		return g, fmt.Errorf("%w: state %q, allowed are %v", errInvalid, state.Value(), stateNames)
	}
	g.State = State(i)
	g.Event = state.Attr("event")
	if v := state.Attr("code"); v != "" {
		code, err := strconv.Atoi(v)
		// RFC 4235 §4.4: 100 to 699.
		if err != nil || code < 100 || code > 699 {
			return g, fmt.Errorf("%w: code=%q, allowed is 100 to 699", errInvalid, v)
		}
		g.Code = code
	}
	if v := e.Child(Namespace, "duration").Value(); v != "" {
		s, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return g, fmt.Errorf("%w: duration %q", errInvalid, v)
		}
		g.Duration = time.Duration(s) * time.Second
	}
	if p := e.Child(ParkedNamespace, "parked"); p != nil {
		g.Parked = &Parked{
			Orbit: p.Attr("orbit"),
			By:    Identity{Name: p.Attr("by-name"), URI: p.Attr("by")},
			Host:  p.Attr("host"),
		}
		if v := p.Attr("since"); v != "" {
			t, err := time.Parse(time.RFC3339, v)
			if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
				return g, fmt.Errorf("%w: since=%q", errInvalid, v)
			}
			g.Parked.Since = t.UTC().Truncate(time.Second)
		}
	}
	return g, nil
}

func parseNamed(e *xmldoc.Element) Identity {
	return Identity{Name: e.Attr("display"), URI: e.Value()}
}

func parseParticipant(e *xmldoc.Element) Participant {
	target := e.Child(Namespace, "target")
	p := Participant{Identity: parseNamed(e.Child(Namespace, "identity")), Target: target.Attr("uri")}
	if target == nil {
		return p
	}
	for _, c := range target.Children {
		if c.Is(Namespace, "param") {
			// RFC 4235 §4.1.6.2 has pval; the examples in §6 and some phones write value.
			value := c.Attr("pval")
			if value == "" {
				value = c.Attr("value")
			}
			p.Params = append(p.Params, Param{Name: c.Attr("pname"), Value: value})
		}
	}
	return p
}
