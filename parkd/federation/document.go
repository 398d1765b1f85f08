package federation

import (
	"errors"
	"fmt"
	"strings"

	"parklamp/parkd"
	"parklamp/sip/event/pidf"
)

// errForeign is a presence document that no appliance wrote.
var errForeign = errors.New("federation: not an appliance's document")

// marshal writes what this appliance hosts.
func marshal(name string, a parkd.Announce, closed bool) []byte {
	d := pidf.Document{Entity: entity(name), Basic: pidf.Open, Epoch: a.Epoch, Generation: a.Generation, Leaving: a.Leaving}
	if closed || a.Leaving {
		d.Basic = pidf.Closed
	}
	for _, s := range a.Settled {
		d.Settled = append(d.Settled, pidf.Settled{CallID: s.CallID, Moves: s.Moves, How: s.How.String(), Host: s.Host, Epoch: s.Epoch, Generation: s.Generation})
	}
	for _, s := range a.Slots {
		t := pidf.Tuple{ID: s.CallID, Slot: pidf.Slot{
			Orbit: s.Orbit, Lot: s.Lot, CallID: s.CallID, State: s.State.String(),
			Since: s.Since, Deadline: s.Deadline,
			CallerName: short(s.Caller.Name), CallerURI: short(uriOf(s.Caller)),
			ParkerName: short(s.Parker.Name), ParkerURI: short(uriOf(s.Parker)),
			Priority: s.Priority, Epoch: s.Epoch, Generation: s.Generation,
			RecallAt: s.RecallAt, RecallTo: short(s.ParkerRef), Step: s.Step, Moves: s.Moves,
		}}
		if s.ParkerRef == parkd.DeskPhone { // our own, which others have to call
			t.Slot.RecallTo = short(uriOf(s.Parker))
		}
		if g := s.Dialog; g != (parkd.DialogRef{}) && len(g.CallID)+len(g.LocalTag)+len(g.RemoteTag) <= maxText {
			if g.Reach.Size() > maxReach {
				g.Reach = parkd.Reach{}
			}
			t.Slot.Dialog = &pidf.DialogRef{CallID: g.CallID, LocalTag: g.LocalTag, RemoteTag: g.RemoteTag, Reach: pidf.Reach(g.Reach)}
		}
		d.Tuples = append(d.Tuples, t)
	}
	return pidf.Marshal(d)
}

// What a document says at most of one call: all of it is one message, of sip.max_message_bytes, and a far end can make its
// names and addresses as long as a message. Without the rest the call can be seen and fetched.
const (
	maxText  = 512
	maxReach = 2048
)

// short leaves out a text that nobody needs.
func short(text string) string {
	if len(text) > maxText {
		return ""
	}
	return text
}

// parse reads what the peer of that name hosts.
func parse(name string, body []byte) (Told, error) {
	d, err := pidf.Parse(body)
	if err != nil {
		return Told{}, err
	}
	if d.Entity != entity(name) || d.Epoch == 0 {
		return Told{}, fmt.Errorf("%w: entity %q, expected %q", errForeign, d.Entity, entity(name))
	}
	t := Told{Peer: name, Closed: d.Basic != pidf.Open, State: parkd.Announce{Epoch: d.Epoch, Generation: d.Generation, Leaving: d.Leaving}}
	for _, s := range d.Settled {
		if how := parkd.ParseOutcome(s.How); how != 0 && s.CallID != "" {
			t.State.Settled = append(t.State.Settled, parkd.Settled{CallID: s.CallID, Moves: s.Moves, How: how, Host: s.Host, Epoch: s.Epoch, Generation: s.Generation})
		}
	}
	for _, tuple := range d.Tuples {
		s := tuple.Slot
		state, err := parkd.ParseState(s.State)
		if err != nil {
			// A newer appliance's word. The orbit is taken all the same.
			state = parkd.Fetching
		}
		slot := parkd.SlotState{
			Orbit: s.Orbit, Lot: s.Lot, CallID: s.CallID, Host: name, State: state,
			Since: s.Since, Deadline: s.Deadline,
			Caller:   parkd.Party{Name: s.CallerName, URI: s.CallerURI, Number: numberOf(s.CallerURI)},
			Parker:   parkd.Party{Name: s.ParkerName, URI: s.ParkerURI, Number: numberOf(s.ParkerURI)},
			Priority: s.Priority, Epoch: s.Epoch, Generation: s.Generation,
			RecallAt: s.RecallAt, ParkerRef: s.RecallTo, Step: s.Step, Moves: s.Moves,
		}
		if g := s.Dialog; g != nil {
			slot.Dialog = parkd.DialogRef{CallID: g.CallID, LocalTag: g.LocalTag, RemoteTag: g.RemoteTag, Reach: parkd.Reach(g.Reach)}
		}
		t.State.Slots = append(t.State.Slots, slot)
	}
	return t, nil
}

// entity is the presentity's URI of RFC 3859: a name, not an address.
func entity(name string) string { return "pres:" + name }

// uriOf keeps a party's number where there is no URI.
func uriOf(p parkd.Party) string {
	if p.URI == "" && p.Number != "" {
		return "tel:" + p.Number
	}
	return p.URI
}

// numberOf is what one would dial: the user part of a sip URI, or the number of a tel URI.
func numberOf(uri string) string {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, ";")
	switch user, _, has := strings.Cut(rest, "@"); {
	case strings.EqualFold(scheme, "tel"):
		return rest
	case has:
		return user
	}
	return ""
}

// The words of a claim's tuple.
const (
	wordClaim   = "claim"
	wordRelease = "release"
)

// marshalClaim writes a claim, or what gives it back: a document with the orbit alone.
func marshalClaim(name, word, token, orbit string) []byte {
	return pidf.Marshal(pidf.Document{Entity: entity(name), Basic: pidf.Open, Epoch: 1, Tuples: []pidf.Tuple{
		{ID: "claim", Slot: pidf.Slot{Orbit: orbit, CallID: token, State: word}},
	}})
}

// marshalRaise writes the epoch that a peer has to exceed: a document without calls.
func marshalRaise(name string, epoch uint64) []byte {
	return pidf.Marshal(pidf.Document{Entity: entity(name), Basic: pidf.Open, Epoch: epoch})
}

// parseRequest reads what a peer published: Asked, Returned or Raised.
func parseRequest(name string, body []byte) (Input, error) {
	d, err := pidf.Parse(body)
	if err != nil {
		return nil, err
	}
	if d.Entity != entity(name) || len(d.Tuples) > 1 {
		return nil, fmt.Errorf("%w: entity %q, expected %q", errForeign, d.Entity, entity(name))
	}
	if len(d.Tuples) == 0 {
		return Raised{Epoch: d.Epoch}, nil
	}
	s := d.Tuples[0].Slot
	if s.CallID == "" || len(s.CallID) > 256 || len(s.Orbit) > 16 {
		return nil, fmt.Errorf("%w: claim of %q by %q", errForeign, s.Orbit, s.CallID)
	}
	switch s.State {
	case wordClaim:
		return Asked{Peer: name, Token: s.CallID, Orbit: s.Orbit}, nil
	case wordRelease:
		return Returned{Peer: name, Token: s.CallID, Orbit: s.Orbit}, nil
	}
	return nil, fmt.Errorf("%w: %q of an orbit", errForeign, s.State)
}
