package pidf

import (
	"fmt"
	"strconv"
	"time"

	"parklamp/sip/event/xmldoc"
)

var limits = xmldoc.Limits{Bytes: MaxBytes, Depth: 12, Elements: 10 * MaxTuples, Attributes: 32}

// Parse reads a document. Errors are ErrIncomplete, ErrInvalid or those of package
// xmldoc; with any of them the state of the appliance is unknown.
func Parse(data []byte) (Document, error) {
	root, err := xmldoc.Parse(data, limits)
	if err != nil {
		return Document{}, fmt.Errorf("parse presence: %w", err)
	}
	if !root.Is(Namespace, "presence") {
		return Document{}, fmt.Errorf("parse presence: %w: root element %s %s", ErrInvalid, root.Space, root.Name)
	}
	d := Document{Entity: root.Attr("entity")}
	var (
		host  *xmldoc.Element
		ids   = map[string]bool{}
		basic Basic
	)
	for _, e := range root.Children {
		switch {
		case e.Is(Namespace, "note") && d.Note == "":
			d.Note = e.Value()
		case e.Is(Namespace, "tuple"):
			id := e.Attr("id")
			// RFC 3863 §4.1.2: ids are required and unique in the document.
			if id == "" || ids[id] {
				return Document{}, fmt.Errorf("parse presence: %w: tuple id %q is empty or twice there", ErrInvalid, id)
			}
			ids[id] = true
			status := e.Child(Namespace, "status")
			b, err := parseBasic(status)
			if err != nil {
				return Document{}, err
			}
			// RFC 3863 §4.1.4: somebody is reachable if one tuple is open.
			if b == Open || basic == Unstated {
				basic = b
			}
			if h := status.Child(SlotNamespace, "host"); h != nil {
				if host != nil {
					return Document{}, fmt.Errorf("parse presence: %w: two hosts in one document", ErrInvalid)
				}
				host, d.Basic = h, b
			}
			if s := status.Child(SlotNamespace, "slot"); s != nil {
				if len(d.Tuples) == MaxTuples {
					return Document{}, fmt.Errorf("parse presence: %w: more than %d calls", xmldoc.ErrTooLarge, MaxTuples)
				}
				slot, err := parseSlot(s)
				if err != nil {
					return Document{}, fmt.Errorf("parse presence: tuple %q: %w", id, err)
				}
				d.Tuples = append(d.Tuples, Tuple{ID: id, Slot: slot})
			}
		}
	}
	if host == nil {
		if len(d.Tuples) > 0 {
			return Document{}, fmt.Errorf("parse presence: %w: no host", ErrIncomplete)
		}
		d.Basic = basic
		return d, nil
	}
	r := reader{e: host}
	d.Epoch = r.uint("epoch")
	d.Generation = r.uint("generation")
	slots := r.uint("slots")
	d.Leaving = host.Attr("leaving") == "true"
	for _, e := range host.Children {
		if e.Is(SlotNamespace, "settled") && r.err == nil && len(d.Settled) < MaxTuples {
			r.e = e
			d.Settled = append(d.Settled, Settled{CallID: e.Attr("call"), Moves: r.int("moves"), How: e.Attr("how"),
				Host: e.Attr("host"), Epoch: r.uint("epoch"), Generation: r.uint("generation")})
		}
	}
	if r.err != nil {
		return Document{}, fmt.Errorf("parse presence: host: %w", r.err)
	}
	if slots != uint64(len(d.Tuples)) {
		return Document{}, fmt.Errorf("parse presence: %w: %d of %d", ErrIncomplete, len(d.Tuples), slots)
	}
	return d, nil
}

func parseBasic(status *xmldoc.Element) (Basic, error) {
	e := status.Child(Namespace, "basic")
	switch v := e.Value(); {
	case e == nil:
		return Unstated, nil
	case v == "open":
		return Open, nil
	case v == "closed":
		return Closed, nil
	default:
		return Unstated, fmt.Errorf("parse presence: %w: basic %q, allowed are open and closed", ErrInvalid, v)
	}
}

func parseSlot(e *xmldoc.Element) (Slot, error) {
	r := reader{e: e}
	s := Slot{
		Orbit:      e.Attr("orbit"),
		Lot:        e.Attr("lot"),
		CallID:     e.Attr("call"),
		State:      e.Attr("state"),
		Since:      r.time("since"),
		Deadline:   r.time("deadline"),
		RecallAt:   r.time("recall-at"),
		RecallTo:   e.Attr("recall-to"),
		Step:       r.int("step"),
		Moves:      r.int("moves"),
		Priority:   r.int("priority"),
		Epoch:      r.uint("epoch"),
		Generation: r.uint("generation"),
	}
	if s.Orbit == "" && r.err == nil {
		r.err = fmt.Errorf("%w: slot without orbit", ErrInvalid)
	}
	if r.err != nil {
		return Slot{}, r.err
	}
	caller, parker := e.Child(SlotNamespace, "caller"), e.Child(SlotNamespace, "parker")
	s.CallerName, s.CallerURI = caller.Attr("name"), caller.Attr("uri")
	s.ParkerName, s.ParkerURI = parker.Attr("name"), parker.Attr("uri")
	if g := e.Child(SlotNamespace, "dialog"); g != nil {
		s.Dialog = &DialogRef{CallID: g.Attr("call-id"), LocalTag: g.Attr("local-tag"), RemoteTag: g.Attr("remote-tag"),
			Reach: Reach{Remote: g.Attr("remote"), Target: g.Attr("target"), Routes: g.Attr("routes"), Transport: g.Attr("transport"),
				Account: g.Attr("account"), Codec: g.Attr("codec"), Security: g.Attr("security")}}
	}
	return s, nil
}

// reader reads typed attributes and keeps the first error. A missing attribute is
// the zero value.
type reader struct {
	e   *xmldoc.Element
	err error
}

func (r *reader) fail(name, value string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s=%q", ErrInvalid, name, value)
	}
}

func (r *reader) uint(name string) uint64 {
	v := r.e.Attr(name)
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil && v != "" {
		r.fail(name, v)
	}
	return n
}

func (r *reader) int(name string) int {
	v := r.e.Attr(name)
	n, err := strconv.ParseInt(v, 10, 31) // so that one more is a number on every board
	if err != nil && v != "" {
		r.fail(name, v)
	}
	return int(n)
}

func (r *reader) time(name string) time.Time {
	v := r.e.Attr(name)
	if v == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	// A year beyond four digits after the change to UTC could not be written again.
	if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		r.fail(name, v)
		return time.Time{}
	}
	return t.UTC()
}
