package slotstest

import (
	"errors"

	"parklamp/cmd/internal/slots"
)

// ErrBricked is what must never be: no slot can be started.
var ErrBricked = errors.New("slotstest: no slot can be started")

// Load is what boot.cmd does with a card: it returns what it starts. starts says whether a slot's kernel runs; with care, only
// if its checksums are right. Only the count of attempts is written, as the script does it.
func Load(dev slots.Device, starts func(s slots.Slot, care bool) bool) (slots.Boot, error) {
	places := [2]int64{slots.StateA, slots.StateB}
	var now slots.State
	newest := -1
	for i, at := range places {
		sector := make([]byte, slots.Sector)
		if _, err := dev.ReadAt(sector, at); err != nil {
			return slots.Boot{}, err
		}
		if s, err := slots.ParseState(sector); err == nil && (newest < 0 || now.Older(s)) {
			now, newest = s, i
		}
	}
	if newest >= 0 && now.Try != slots.None && now.Left > 0 {
		less := now
		less.Left--
		sector, err := less.Sector()
		if err != nil {
			return slots.Boot{}, err
		}
		// The loader's write has no cache under it.
		_, err = dev.WriteAt(sector, places[1-newest])
		if err == nil {
			err = dev.Sync()
		}
		if errors.Is(err, ErrPower) {
			return slots.Boot{}, err
		}
		if err == nil && starts(now.Try, true) {
			return slots.Boot{Slot: now.Try, Trial: true}, nil
		}
	}
	first := slots.A
	if newest >= 0 && now.Good == slots.B {
		first = slots.B
	}
	for _, care := range []bool{true, false} {
		for _, s := range []slots.Slot{first, first.Other()} {
			if starts(s, care) {
				return slots.Boot{Slot: s}, nil
			}
		}
	}
	return slots.Boot{}, ErrBricked
}
