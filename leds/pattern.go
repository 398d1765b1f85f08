// Package leds makes lamps mean something: a State is shown as a Pattern of colour over time, and the Driver
// turns the patterns of all lamps into changes of LED lines.
//
// No two meanings differ in colour alone: each state that says something else blinks differently, so a lamp
// with one LED, or an eye that cannot tell green from red, loses nothing. All lamps of all appliances blink in
// step, because the pattern is a function of the wall clock; a new state lights at once and then falls into
// step, because a lamp must answer the hand.
//
// The package never reads an output back and never decides what a lamp should mean. Driver.Run runs in the
// caller's goroutine and starts none; with nothing blinking it sleeps until a state changes.
package leds

import (
	"fmt"
	"time"

	"parklamp/board"
)

// State is what a lamp means.
type State uint8

// The states. Those down to Unknown are of orbits and of the whole lot; the others are of function keys and
// of the fault lamp.
const (
	Free            State = iota // nobody is parked; of any other lamp: nothing to say
	ParkedHere                   // this appliance holds the call
	ParkedElsewhere              // another appliance holds it
	Recalling                    // the parker is being called back
	Ending                       // the last tenth of the time before the recall
	Queued                       // more than one call, or one with priority
	Unknown                      // the host cannot be reached: never shown as free
	Active                       // a function is switched on: mute, do not disturb
	Held                         // a call is on hold
	Ringing                      // a call waits to be answered
	Warning                      // works, but somebody should look
	Fault                        // does not work
	states                       // how many there are
)

var names = [states]string{
	Free: "free", ParkedHere: "parked-here", ParkedElsewhere: "parked-elsewhere", Recalling: "recalling",
	Ending: "ending", Queued: "queued", Unknown: "unknown", Active: "active", Held: "held", Ringing: "ringing",
	Warning: "warning", Fault: "fault",
}

// String gives the state's name as the panel, the transcript and the log say it.
func (s State) String() string {
	if s >= states {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return names[s]
}

// Step is a part of a pattern.
type Step struct {
	Colour board.Colour
	For    time.Duration
}

// Pattern is what a lamp shows, over and over. A steady pattern has one step with For 0. A blinking one
// begins with a step that is lit.
type Pattern []Step

const ms = time.Millisecond

var patterns = [states]Pattern{
	Free:            {{board.Off, 0}},
	ParkedHere:      {{board.Green, 400 * ms}, {board.Off, 100 * ms}},
	ParkedElsewhere: {{board.Red, 100 * ms}, {board.Off, 400 * ms}},
	Recalling:       {{board.Red, 125 * ms}, {board.Off, 125 * ms}},
	Ending:          {{board.Red, 125 * ms}, {board.Off, 125 * ms}}, // the same urgency: fetch it now
	Queued:          {{board.Red, 100 * ms}, {board.Off, 100 * ms}, {board.Red, 100 * ms}, {board.Off, 700 * ms}},
	Unknown:         {{board.Amber, 0}},
	Active:          {{board.Red, 1900 * ms}, {board.Off, 100 * ms}},
	Held:            {{board.Green, 500 * ms}, {board.Off, 500 * ms}},
	Ringing:         {{board.Green, 250 * ms}, {board.Off, 250 * ms}},
	Warning:         {{board.Amber, 50 * ms}, {board.Off, 1950 * ms}},
	Fault:           {{board.Red, 1000 * ms}, {board.Off, 1000 * ms}},
}

// PatternOf returns how a state is shown. The slice is shared and must not be changed; a state that does not
// exist is shown as Unknown.
func PatternOf(s State) Pattern {
	if s >= states {
		s = Unknown
	}
	return patterns[s]
}

// Period is how long the pattern takes once; 0 for a steady one.
func (p Pattern) Period() time.Duration {
	var d time.Duration
	for _, s := range p {
		d += s.For
	}
	return d
}

// show returns what a lamp shows at t that has been in state s since, and how long it stays so; 0 is until the
// state changes. Lamps are in step with all others, their patterns having begun at the Unix epoch, except that a new
// state is lit for the length of its first step whatever the phase.
func show(s State, since, t time.Time) (board.Colour, time.Duration) {
	p := PatternOf(s)
	c, stays := p.at(t)
	if age := t.Sub(since); age >= 0 && age < p[0].For && c != p[0].Colour {
		return p[0].Colour, p[0].For - age
	}
	return c, stays
}

// at finds the step at t and what is left of it.
func (p Pattern) at(t time.Time) (board.Colour, time.Duration) {
	period := p.Period()
	if period == 0 {
		return p[0].Colour, 0
	}
	into := time.Duration(t.UnixNano() % int64(period))
	for _, s := range p {
		if into < s.For {
			return s.Colour, s.For - into
		}
		into -= s.For
	}
	return p[0].Colour, p[0].For
}
