package phone

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// errPattern says that a pattern of the dial plan cannot be read; the text names the place.
var errPattern = errors.New("phone: bad dial pattern")

// symbols are the keys of the dial pad in the order of the bits of a symbolSet.
const symbols = "0123456789*#"

// symbolSet has a bit for each of symbols.
type symbolSet uint16

const anyDigit symbolSet = 1<<10 - 1

// element is one place of a pattern.
type element struct {
	set    symbolSet
	repeat bool // any number of times, or not at all
}

// pattern is one alternative of a digit map (RFC 3435 §2.1.5), without its letters.
type pattern struct {
	elements []element // at most 63, so that a set of positions fits a word
	wait     bool      // T: complete only after the inter-digit time
}

// parsePattern reads a pattern in the form that Config.DialPlan describes.
func parsePattern(s string) (pattern, error) {
	var p pattern
	bad := func(i int, why string) (pattern, error) {
		return pattern{}, fmt.Errorf("%w %q at character %d: %s", errPattern, s, i+1, why)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if p.wait {
			return bad(i, "nothing may follow T")
		}
		switch {
		case c == 'T' || c == 't':
			p.wait = true
			continue
		case c == '.':
			n := len(p.elements)
			if n == 0 || p.elements[n-1].repeat {
				return bad(i, "a point must follow a digit, x or set")
			}
			p.elements[n-1].repeat = true
			continue
		case c == 'x' || c == 'X':
			p.elements = append(p.elements, element{set: anyDigit})
		case c == '[':
			set, n, why := parseSet(s[i+1:])
			if why != "" {
				return bad(i, why)
			}
			p.elements = append(p.elements, element{set: set})
			i += n
		case strings.IndexByte(symbols, c) >= 0:
			p.elements = append(p.elements, element{set: 1 << strings.IndexByte(symbols, c)})
		default:
			return bad(i, "allowed are 0-9 * # x [ ] . T")
		}
		if len(p.elements) > MaxDigits {
			return bad(i, fmt.Sprintf("at most %d digits", MaxDigits))
		}
	}
	if len(p.elements) == 0 {
		return bad(0, "no digit")
	}
	return p, nil
}

// parseSet reads the rest of a set after its bracket; n counts what it consumed, the closing bracket included.
func parseSet(s string) (set symbolSet, n int, why string) {
	last := -1
	for i := 0; i < len(s); i++ {
		at := strings.IndexByte(symbols, s[i])
		switch {
		case s[i] == ']':
			if set == 0 {
				return 0, 0, "empty set"
			}
			return set, i + 1, ""
		case s[i] == '-' && last >= 0 && i+1 < len(s):
			i++
			end := strings.IndexByte(symbols, s[i])
			if end < last || end > 9 {
				return 0, 0, "a range must ascend within 0-9"
			}
			for ; last <= end; last++ {
				set |= 1 << last
			}
			last = -1
		case at >= 0:
			set |= 1 << at
			last = -1
			if at <= 9 {
				last = at
			}
		default:
			return 0, 0, "allowed in a set are 0-9 * # and ranges"
		}
	}
	return 0, 0, "set without ]"
}

// String returns the pattern in its shortest form; parsing that gives the same pattern.
func (p pattern) String() string {
	var b strings.Builder
	for _, e := range p.elements {
		switch {
		case e.set == anyDigit:
			b.WriteByte('x')
		case bits.OnesCount16(uint16(e.set)) == 1:
			b.WriteByte(symbols[bits.TrailingZeros16(uint16(e.set))])
		default:
			b.WriteByte('[')
			for i := range len(symbols) {
				if e.set&(1<<i) != 0 {
					b.WriteByte(symbols[i])
				}
			}
			b.WriteByte(']')
		}
		if e.repeat {
			b.WriteByte('.')
		}
	}
	if p.wait {
		b.WriteByte('T')
	}
	return b.String()
}

// match reports whether digits are a whole number by this pattern, and whether more digits could follow.
func (p pattern) match(digits string) (whole, more bool) {
	at := p.skip(1) // bit i: the next digit meets element i
	for i := range len(digits) {
		symbol := strings.IndexByte(symbols, digits[i])
		if symbol < 0 {
			return false, false
		}
		var next uint64
		for rest := at; rest != 0; rest &= rest - 1 {
			n := bits.TrailingZeros64(rest)
			if n == len(p.elements) || p.elements[n].set&(1<<symbol) == 0 {
				continue
			}
			if p.elements[n].repeat {
				next |= 1 << n
			} else {
				next |= 1 << (n + 1)
			}
		}
		at = p.skip(next)
	}
	end := uint64(1) << len(p.elements)
	return at&end != 0, at&^end != 0
}

// skip adds the positions that are reached by leaving out repeated elements.
func (p pattern) skip(at uint64) uint64 {
	for i, e := range p.elements {
		if e.repeat && at&(1<<i) != 0 {
			at |= 1 << (i + 1)
		}
	}
	return at
}

// targetKind is what dialled digits ask for.
type targetKind uint8

const (
	targetNumber    targetKind = iota // call that number
	targetEmergency                   // call that number, before everything else
	targetPark                        // park the held call
	targetFetch                       // fetch by code
	targetOrbit                       // an orbit number alone: fetch, or park there during a transfer
)

// target is the meaning of dialled digits.
type target struct {
	kind   targetKind
	number string // to call, or the orbit; "" for the lowest free orbit or the oldest call
}

// progress says how far dialled digits have come.
type progress uint8

const (
	impossible progress = iota // no number begins so
	unfinished                 // more digits are needed
	waiting                    // a number, but more digits could follow: wait
	complete                   // a number: dial it now
)

// plan gives dialled digits their meaning. It is immutable.
type plan struct {
	patterns            []pattern
	emergency           []string
	orbits              []string
	parkCode, fetchCode string
}

func newPlan(c Config) (*plan, error) {
	p := &plan{emergency: slices.Clone(c.Emergency), orbits: slices.Clone(c.Orbits), parkCode: c.ParkCode, fetchCode: c.FetchCode}
	if len(c.DialPlan) > maxPatterns {
		return nil, fmt.Errorf("dial_plan has %d patterns: at most %d", len(c.DialPlan), maxPatterns)
	}
	if len(c.Emergency) > maxPatterns {
		return nil, fmt.Errorf("emergency has %d numbers: at most %d", len(c.Emergency), maxPatterns)
	}
	for _, s := range c.DialPlan {
		pat, err := parsePattern(s)
		if err != nil {
			return nil, fmt.Errorf("dial_plan: %w", err)
		}
		p.patterns = append(p.patterns, pat)
	}
	for _, s := range c.Emergency {
		if !isDialable(s) || strings.Contains(s, "#") {
			return nil, fmt.Errorf("emergency: %q: must be 1 to %d of 0-9 and *", s, MaxDigits)
		}
	}
	for _, code := range []struct{ key, value string }{{"park_code", c.ParkCode}, {"fetch_code", c.FetchCode}} {
		if code.value == "" {
			continue
		}
		if !isDialable(code.value) || strings.Contains(code.value, "#") {
			return nil, fmt.Errorf("%s = %q: must be empty or 1 to %d of 0-9 and *", code.key, code.value, MaxDigits)
		}
		if slices.Contains(c.Emergency, code.value) {
			return nil, fmt.Errorf("%s = %q: is an emergency number", code.key, code.value)
		}
	}
	if c.ParkCode != "" && c.ParkCode == c.FetchCode {
		return nil, fmt.Errorf("fetch_code = %q: must differ from park_code", c.FetchCode)
	}
	return p, nil
}

// isEmergency reports whether digits are exactly an emergency number.
func (p *plan) isEmergency(digits string) bool { return slices.Contains(p.emergency, digits) }

// emergencyAtEnd is the longest emergency number that digits end with, "" for none.
func (p *plan) emergencyAtEnd(digits string) string {
	found := ""
	for _, e := range p.emergency {
		if len(e) > len(found) && strings.HasSuffix(digits, e) {
			found = e
		}
	}
	return found
}

// resolve gives the meaning of digits. The target is valid for waiting and complete only.
//
// Emergency numbers come first and are never cut off by a shorter number; then codes, then orbits, then patterns. Open
// ends (T, and codes that an orbit may follow) wait; a number that is complete otherwise does not wait for them.
func (p *plan) resolve(digits string) (progress, target) {
	if p.isEmergency(digits) {
		return complete, target{targetEmergency, digits}
	}
	var found target
	var have, done, more, open bool // a target; one that need not wait; closed and open numbers that go on
	take := func(t target, final bool) {
		if !have {
			found, have = t, true
		}
		done = done || final
	}
	for _, e := range p.emergency {
		more = more || strings.HasPrefix(e, digits)
	}
	for _, code := range []struct {
		digits string
		kind   targetKind
	}{{p.parkCode, targetPark}, {p.fetchCode, targetFetch}} {
		if code.digits == "" {
			continue
		}
		rest, begun := strings.CutPrefix(digits, code.digits)
		switch {
		case !begun:
			more = more || strings.HasPrefix(code.digits, digits)
		case rest == "":
			take(target{code.kind, ""}, false)
			more = true
		default:
			whole, longer := p.matchOrbit(rest)
			take(target{code.kind, rest}, whole)
			more = more || longer
		}
	}
	whole, longer := p.matchOrbit(digits)
	if whole {
		take(target{targetOrbit, digits}, true)
	}
	more = more || longer
	for _, pat := range p.patterns {
		whole, longer := pat.match(digits)
		if whole {
			take(target{targetNumber, digits}, !pat.wait)
		}
		if pat.wait {
			open = open || longer
		} else {
			more = more || longer
		}
	}
	switch {
	case done && !more:
		return complete, found
	case have:
		return waiting, found
	case more || open:
		return unfinished, target{}
	}
	return impossible, target{}
}

// takesPound reports whether # may follow digits as a part of the number, rather than end it.
func (p *plan) takesPound(digits string) bool {
	for _, pat := range p.patterns {
		if whole, more := pat.match(digits + "#"); whole || more {
			return true
		}
	}
	return false
}

// matchOrbit is pattern.match for orbit numbers.
func (p *plan) matchOrbit(digits string) (whole, more bool) {
	for _, o := range p.orbits {
		whole = whole || o == digits
		more = more || o != digits && strings.HasPrefix(o, digits)
	}
	return whole, more
}
