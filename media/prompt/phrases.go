package prompt

import "time"

// ParkedOn says where a call was parked. Orbits are spelled, as everywhere.
func ParkedOn(orbit string) Phrase { return say("call parked on", orbit) }

// CallOn is the page for a parked call.
func CallOn(orbit string) Phrase { return say("call on", orbit) }

// Taken says that a call could not be parked because the orbit has one; it stays with the parker.
func Taken(orbit string) Phrase { return say("orbit", orbit, "is taken,", "your call is still here") }

// Lost says that somebody else was faster in fetching.
func Lost(orbit string) Phrase { return say("the call on", orbit, "was taken by somebody else") }

// Full says that no orbit is free; the call stays with the parker.
func Full() Phrase { return say("the lot is full,", "your call is still here") }

// Empty says that there is nothing to fetch from an orbit.
func Empty(orbit string) Phrase { return say("nobody is parked on", orbit) }

// NoneParked says that there is nothing to fetch at all.
func NoneParked() Phrase { return say("no calls are parked") }

// NoSuchOrbit says that a number is no orbit of the lot.
func NoSuchOrbit(orbit string) Phrase { return say("there is no orbit", orbit) }

// Unreachable says that an orbit's host does not answer, so that nobody knows whether it is free.
func Unreachable(orbit string) Phrase { return say("orbit", orbit, "cannot be reached") }

// Failed says that something else went wrong; a call, if there is one, stays.
func Failed() Phrase { return say("that did not work,", "your call is still here") }

// Waiting is a parked call in a list.
type Waiting struct {
	Orbit string
	Age   time.Duration // since it was parked
}

// maxSpoken is how many calls of a list are spoken; nobody remembers more.
const maxSpoken = 5

// List says which calls are parked and for how long. The order is the caller's: the oldest first.
func List(calls []Waiting) Phrase {
	switch len(calls) {
	case 0:
		return NoneParked()
	case 1:
		return say("one call is parked,").and(calls[0].phrase()).and(say("press park again to fetch it"))
	}
	p := say(number(len(calls)), "calls are parked,")
	for _, c := range calls[:min(len(calls), maxSpoken)] {
		p = p.and(c.phrase())
	}
	if more := len(calls) - maxSpoken; more > 0 {
		p = p.and(say(number(more), "more,"))
	}
	return p.and(say("press park again for the oldest"))
}

func (w Waiting) phrase() Phrase {
	n, unit := int(w.Age/time.Second), "second"
	if n >= 60 {
		n, unit = n/60, "minute"
	}
	if n >= 60 {
		n, unit = n/60, "hour"
	}
	if n = min(n, 59); n != 1 {
		unit += "s"
	}
	return say(w.Orbit, "waiting", number(n), unit+",")
}

// and puts q after p.
func (p Phrase) and(q Phrase) Phrase {
	return Phrase{units: append(p.units[:len(p.units):len(p.units)], q.units...)}
}
