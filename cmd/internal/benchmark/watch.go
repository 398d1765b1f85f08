package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

// maxChanges bounds what a watcher remembers; the oldest goes.
const maxChanges = 32

// watch is a number of phones that each have a lamp for one orbit (Event: dialog, RFC 4235).
type watch struct {
	mu       sync.Mutex
	watchers []*watcher
}

// watcher is one subscription.
type watcher struct {
	line
	answers chan answer // capacity 4, more are dropped
	told    chan stamp  // the first NOTIFY; capacity 1

	mu      *sync.Mutex // the watch's
	seq     int         // highest CSeq taken; guarded by mu
	changes []change    // guarded by mu
}

// change is what a NOTIFY told.
type change struct {
	at   stamp
	busy bool // somebody is parked there
}

// subscribe opens n subscriptions to an orbit, from the sockets in turn, and waits for the first NOTIFY of each.
func subscribe(ctx context.Context, from []*ua, to netip.AddrPort, orbit string, n int) (*watch, error) {
	w := &watch{}
	for i := range n {
		u := from[i%len(from)]
		s := &watcher{line: u.line(to, fmt.Sprint("lamp", i), orbit), answers: make(chan answer, 4), told: make(chan stamp, 1), mu: &w.mu}
		w.watchers = append(w.watchers, s)
		u.add(s.callID, s)
		a, _, err := u.transact(ctx, to, s.request("SUBSCRIBE", s.remote, "", "", 1,
			"Event: dialog\r\nAccept: application/dialog-info+xml\r\nExpires: 3600\r\n", nil), false, s.answers)
		if err == nil && a.code >= 300 {
			err = fmt.Errorf("answered %d", a.code)
		}
		if err != nil {
			return w, fmt.Errorf("SUBSCRIBE %s: %w", s.remote, err)
		}
		select {
		case <-s.told:
		case <-ctx.Done():
			return w, ctx.Err()
		}
	}
	return w, nil
}

// take implements dialog.
func (s *watcher) take(m message, from netip.AddrPort, at stamp) {
	if m.code != 0 {
		select {
		case s.answers <- answer{m.clone(), at}:
		default:
		}
		return
	}
	s.ua.sock.send(from, m.reply(200, "OK", s.tag, "", nil))
	if string(m.method) != "NOTIFY" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.seq <= s.seq {
		return // sent again
	}
	s.seq = m.seq
	if len(s.changes) == maxChanges {
		s.changes = slices.Delete(s.changes, 0, maxChanges/2)
	}
	s.changes = append(s.changes, change{at, bytes.Contains(m.body, []byte(">confirmed<")) || bytes.Contains(m.body, []byte(">early<"))})
	select {
	case s.told <- at:
	default:
	}
}

// reached returns when the first and the last watcher were told that the orbit is busy or not, after a moment, and
// whether all have been. A watch without watchers has been told at that moment.
func (w *watch) reached(after stamp, busy bool) (first, last stamp, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, last = after, after
	for i, s := range w.watchers {
		k := slices.IndexFunc(s.changes, func(c change) bool { return c.at >= after && c.busy == busy })
		if k < 0 {
			return first, last, false
		}
		at := s.changes[k].at
		if i == 0 || at < first {
			first = at
		}
		last = max(last, at)
	}
	return first, last, true
}

// close forgets the subscriptions without a word, as phones that are switched off do.
func (w *watch) close() {
	for _, s := range w.watchers {
		s.ua.remove(s.callID)
	}
}
