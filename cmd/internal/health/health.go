// Package health keeps the lasting faults of an appliance: what is wrong, since when, and what a person can do.
//
// A fault is a condition with a code of its own ("sip.listener.udp:192.0.2.7:5060"): it is raised once, changes its
// text while it lasts, and is cleared when the fault is gone. Whoever shows health (fault lamp, panel, parkctl) reads
// a copy. The package starts no goroutine and writes no log.
package health

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxConditions bounds the set; faults past it are not kept (the ones before them already light the fault lamp).
const maxConditions = 64

// Severity says how much of the appliance a fault takes away.
type Severity int

// Severities, least first.
const (
	Warning Severity = iota // everything works, something is worth mending
	Error                   // a part does not work
)

func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// MarshalText makes "warning" or "error" of it.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText makes.
func (s *Severity) UnmarshalText(text []byte) error {
	for _, known := range []Severity{Warning, Error} {
		if string(text) == known.String() {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("severity %q: want warning or error", text)
}

// Condition is one lasting fault, also as one process of an appliance tells it to another.
type Condition struct {
	Code     string    `json:"code"`     // stable name of the fault and its object
	Severity Severity  `json:"severity"` // how bad it is
	Since    time.Time `json:"since"`    // when it was first seen
	Text     string    `json:"text"`     // what happened
	Hint     string    `json:"hint"`     // what to do
}

// Set holds the conditions of one appliance. Its methods may be called from any goroutine.
type Set struct {
	changed func() // immutable

	mu         sync.Mutex
	conditions map[string]Condition // guarded by mu
}

// New makes an empty set. changed is called without a lock after every change, from the goroutine that made it; it
// must not block.
func New(changed func()) *Set {
	return &Set{changed: changed, conditions: map[string]Condition{}}
}

// Raise adds a fault, or replaces the text and hint of one that lasts; its Since stays.
func (s *Set) Raise(now time.Time, code string, severity Severity, text, hint string) {
	s.Put(Condition{Code: code, Severity: severity, Since: now, Text: text, Hint: hint})
}

// Put is Raise of a condition that is there already, such as another process's. It says whether that changed anything.
func (s *Set) Put(c Condition) bool {
	changed := s.put(c)
	if changed {
		s.changed()
	}
	return changed
}

func (s *Set) put(c Condition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.conditions[c.Code]; ok {
		c.Since = old.Since
		if old == c {
			return false
		}
	} else if len(s.conditions) >= maxConditions {
		return false
	}
	s.conditions[c.Code] = c
	return true
}

// Clear removes a fault, and says whether it was there; clearing one that is not does nothing.
func (s *Set) Clear(code string) bool {
	s.mu.Lock()
	_, ok := s.conditions[code]
	delete(s.conditions, code)
	s.mu.Unlock()
	if ok {
		s.changed()
	}
	return ok
}

// Get returns the fault of a code, and whether it is there.
func (s *Set) Get(code string) (Condition, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.conditions[code]
	return c, ok
}

// All returns a copy, worst first, then by code.
func (s *Set) All() []Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Condition, 0, len(s.conditions))
	for _, c := range s.conditions {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Condition) int {
		if a.Severity != b.Severity {
			return int(b.Severity - a.Severity)
		}
		return strings.Compare(a.Code, b.Code)
	})
	return all
}
