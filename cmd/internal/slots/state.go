package slots

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSeq is the greatest number that U-Boot's test command compares on a 32-bit board.
const maxSeq = 1<<31 - 1

// mostLeft is the greatest number of attempts that boot.cmd counts down.
const mostLeft = 3

// State is what the boot loader obeys.
type State struct {
	Seq  uint32 // the greater one of two valid copies counts
	Good Slot   // that was confirmed
	Try  Slot   // on trial, or None
	Left int    // attempts of the trial that are left
	Why  string // what the system on trial has found to be wrong when it gave up, as Reason makes it; the loader does not read it
}

// mostWhy is the length of State.Why in bytes.
const mostWhy = 200

// Reason is a text as State.Why may have it: one printable line of 200 bytes at most, without U-Boot's escape. What was a line
// of its own comes after a semicolon.
func Reason(text string) string {
	text = strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "; ")
	text = strings.Map(func(r rune) rune {
		if r == '\\' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	for len(text) > mostWhy {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text
}

// Older reports whether t counts rather than s. The boot script counts Left down without a new number (the loader of the
// BeagleBone cannot calculate), so that of two copies with one number the one with fewer attempts is the later.
func (s State) Older(t State) bool {
	return t.Seq > s.Seq || t.Seq == s.Seq && t.Left < s.Left
}

// Sector returns the state as it lies on the card.
func (s State) Sector() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	out := make([]byte, 4, Sector)
	add := func(key, value string) { out = append(append(append(append(out, key...), '='), value...), 0) }
	add("good", s.Good.String())
	add("left", strconv.Itoa(s.Left))
	add("seq", strconv.FormatUint(uint64(s.Seq), 10))
	if s.Try != None {
		add("try", s.Try.String())
	}
	if s.Why != "" {
		add("why", s.Why)
	}
	if len(out) >= Sector {
		return nil, errTooLong
	}
	out = out[:Sector] // U-Boot ends the list by an empty string; the rest is zero
	binary.LittleEndian.PutUint32(out, crc32.ChecksumIEEE(out[4:]))
	return out, nil
}

func (s State) check() error {
	switch {
	case s.Seq == 0 || s.Seq > maxSeq:
		return fmt.Errorf("state: seq %d: must be 1 to %d", s.Seq, maxSeq)
	case s.Good != A && s.Good != B:
		return fmt.Errorf("state: good %q: must be a or b", s.Good)
	case s.Try != None && s.Try != A && s.Try != B:
		return fmt.Errorf("state: try %q: must be a, b or nothing", s.Try)
	case s.Why != Reason(s.Why):
		return fmt.Errorf("state: why %q: must be %d printable bytes at most", s.Why, mostWhy)
	case s.Left < 0 || s.Left > mostLeft:
		return fmt.Errorf("state: left %d: must be 0 to %d", s.Left, mostLeft)
	}
	return nil
}

// ParseState reads one copy. What it does not know it passes over; what counts must be there once and be right.
func ParseState(sector []byte) (State, error) {
	var s State
	if len(sector) != Sector {
		return s, fmt.Errorf("state: %d bytes: must be %d", len(sector), Sector)
	}
	if sum := binary.LittleEndian.Uint32(sector); sum != crc32.ChecksumIEEE(sector[4:]) {
		return s, fmt.Errorf("state: checksum is wrong")
	}
	seen := map[string]bool{}
	for rest := sector[4:]; len(rest) > 0 && rest[0] != 0; {
		end := bytes.IndexByte(rest, 0)
		if end < 0 {
			return s, fmt.Errorf("state: its list has no end")
		}
		key, value, found := bytes.Cut(rest[:end], []byte("="))
		rest = rest[end+1:]
		if !found {
			return s, fmt.Errorf("state: %q: must be key=value", key)
		}
		if seen[string(key)] {
			return s, fmt.Errorf("state: %s is there twice", key)
		}
		seen[string(key)] = true
		if err := s.set(string(key), string(value)); err != nil {
			return State{}, fmt.Errorf("state: %s: %w", key, err)
		}
	}
	if err := s.check(); err != nil {
		return State{}, err
	}
	return s, nil
}

func (s *State) set(key, value string) error {
	number := func() (uint64, error) {
		if len(value) > 1 && value[0] == '0' {
			return 0, fmt.Errorf("%q: must be a decimal number", value) // the loader would read another base
		}
		return strconv.ParseUint(value, 10, 31)
	}
	var err error
	var n uint64
	switch key {
	case "seq":
		n, err = number()
		s.Seq = uint32(n)
	case "left":
		n, err = number()
		s.Left = int(n)
	case "good":
		s.Good, err = parseSlot(value)
	case "try":
		if value != "" {
			s.Try, err = parseSlot(value)
		}
	case "why":
		s.Why = Reason(value)
	}
	return err
}
