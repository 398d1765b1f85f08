// Package links watches the network of the machine: which links are there and up, which addresses they have, where the
// default routes lead. Watch tells what has changed, Kernel is where it looks: rtnetlink(7) says that something may have
// changed, then the present state is read as a whole and compared, so that a message that got lost costs nothing.
//
// It changes nothing and knows nothing of SIP. It starts no goroutine; Watch blocks.
package links

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// settle is how long changes are let come before the state is read: a DHCP client takes the old address away and adds the
// new one a few milliseconds later.
const settle = 30 * time.Millisecond

// Link is one network interface.
type Link struct {
	Name  string
	Up    bool         // switched on, and with a carrier
	Addrs []netip.Addr // unmapped, sorted
}

// State is the network at one moment.
type State struct {
	Links  []Link  // sorted by name
	Routes []Route // the default ones, sorted
}

// Route is a default route.
type Route struct {
	Via  netip.Addr
	Link string
}

// LinkOf is the link that has an address. All of 127.0.0.0/8 is the loopback's (RFC 1122 §3.2.1.3).
func (s State) LinkOf(a netip.Addr) (Link, bool) {
	a = a.Unmap().WithZone("")
	for _, l := range s.Links {
		if slices.ContainsFunc(l.Addrs, func(b netip.Addr) bool { return a == b || a.IsLoopback() && a.Is4() && b.IsLoopback() && b.Is4() }) {
			return l, true
		}
	}
	return Link{}, false
}

// Kind is what a Change says.
type Kind uint8

// The values of Kind.
const (
	AddressAdded Kind = iota
	AddressRemoved
	LinkUp
	LinkDown
	RouteChanged // the default routes are others
)

// String names the kind in words.
func (k Kind) String() string {
	switch k {
	case AddressAdded:
		return "address added"
	case AddressRemoved:
		return "address removed"
	case LinkUp:
		return "link up"
	case LinkDown:
		return "link down"
	case RouteChanged:
		return "default route changed"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Change is one difference between two states.
type Change struct {
	Kind Kind
	Link string     // "" for RouteChanged
	Addr netip.Addr // of an added or removed address
}

// String is the change in words.
func (c Change) String() string {
	text := c.Kind.String()
	if c.Addr.IsValid() {
		text += " " + c.Addr.String()
	}
	if c.Link != "" {
		text += " (" + c.Link + ")"
	}
	return text
}

// diff says what has changed from one state to the next: what is gone first.
func diff(old, now State) []Change {
	var gone, come []Change
	was := map[string]Link{}
	for _, l := range old.Links {
		was[l.Name] = l
	}
	is := map[string]bool{}
	for _, l := range now.Links {
		is[l.Name] = true
		before := was[l.Name]
		gone = append(gone, missing(AddressRemoved, l.Name, before.Addrs, l.Addrs)...)
		come = append(come, missing(AddressAdded, l.Name, l.Addrs, before.Addrs)...)
		switch {
		case before.Up && !l.Up:
			gone = append(gone, Change{Kind: LinkDown, Link: l.Name})
		case !before.Up && l.Up:
			come = append(come, Change{Kind: LinkUp, Link: l.Name})
		}
	}
	for _, l := range old.Links {
		if !is[l.Name] {
			gone = append(gone, missing(AddressRemoved, l.Name, l.Addrs, nil)...)
			if l.Up {
				gone = append(gone, Change{Kind: LinkDown, Link: l.Name})
			}
		}
	}
	if !slices.Equal(old.Routes, now.Routes) {
		come = append(come, Change{Kind: RouteChanged})
	}
	return append(gone, come...)
}

// missing are the addresses of x that y has not.
func missing(k Kind, link string, x, y []netip.Addr) []Change {
	var out []Change
	for _, a := range x {
		if !slices.Contains(y, a) {
			out = append(out, Change{Kind: k, Link: link, Addr: a})
		}
	}
	return out
}

// Source is a network that can be watched.
type Source interface {
	// Wait blocks until something may have changed since the last Wait, or ctx ends.
	Wait(ctx context.Context) error
	// State reads the present state.
	State() (State, error)
}

// Watch tells the first state, without changes, and then each change with the state after it, until ctx ends; it then
// returns nil. tell runs on the caller's goroutine.
func Watch(ctx context.Context, src Source, tell func([]Change, State)) error {
	last, err := src.State()
	if err != nil {
		return err
	}
	tell(nil, last)
	for {
		err := src.Wait(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return nil
		}
		now, err := src.State()
		if err != nil {
			return err
		}
		if changes := diff(last, now); len(changes) > 0 {
			tell(changes, now)
		}
		last = now
	}
}

// sorted puts a state into its order.
func (s State) sorted() State {
	slices.SortFunc(s.Links, func(x, y Link) int { return strings.Compare(x.Name, y.Name) })
	for _, l := range s.Links {
		slices.SortFunc(l.Addrs, netip.Addr.Compare)
	}
	slices.SortFunc(s.Routes, func(x, y Route) int { return cmp.Or(x.Via.Compare(y.Via), strings.Compare(x.Link, y.Link)) })
	return s
}
