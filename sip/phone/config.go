package phone

import (
	"fmt"
	"strings"
	"time"
)

// Limits of the phone; they bound every table of the machine.
const (
	MaxVolume = 10 // highest level of ringer and voice

	MaxDigits   = 48 // digits dialled in one go; E.164 numbers have 15, codes and prefixes come on top
	maxEnding   = 16 // calls hung up whose end was not reported; the oldest is forgotten
	maxPatterns = 256

	maxList = 2 * time.Minute // spoken list whose end is not reported
)

// Config is the section of the configuration that describes the desk phone.
type Config struct {
	DialPlan []string `toml:"dial_plan" doc:"Patterns of numbers that can be dialled: 0-9 * #, x (any digit), [2-9] (one of), . (the element before it, any number of times or not at all), T at the end (wait for inter_digit). A number that is complete without a T is dialled at once."`
	// Emergency numbers are matched before everything else.
	Emergency []string `toml:"emergency" doc:"Numbers that dial at once, from any state, and whose calls can be neither parked nor held."`
	Orbits    []string `toml:"-"` // orbit numbers that can be dialled to fetch a call: those of the lot, which has checked them
	ParkCode  string   `toml:"park_code" doc:"Dialled alone, parks the held call on the lowest free orbit; followed by an orbit, parks it there. Empty: no such code."`
	FetchCode string   `toml:"fetch_code" doc:"Dialled alone, fetches the call that has waited longest; followed by an orbit, fetches that one. Empty: no such code."`

	InterDigit      time.Duration `toml:"inter_digit" doc:"Pause after which the digits dialled so far are taken as complete."`
	DialTone        time.Duration `toml:"dial_tone" doc:"How long the dial tone waits for the first digit."`
	FailureTone     time.Duration `toml:"failure_tone" doc:"How long busy and reorder tones last before they fall silent."`
	SpeakerFailure  time.Duration `toml:"speaker_failure" doc:"The same when hands-free; the loudspeaker then switches itself off."`
	Undo            time.Duration `toml:"-"` // how long after parking the Park key takes the call back, and how long the orbit is told; the lot section sets it
	List            time.Duration `toml:"list" doc:"How long after the spoken list the Park key still fetches the call that has waited longest."`
	Reminder        time.Duration `toml:"reminder" doc:"How often a held call reminds of itself."`
	ReminderRing    time.Duration `toml:"reminder_ring" doc:"How long a held call rings each time when the handset is down."`
	ParkTimeout     time.Duration `toml:"-"` // after it a park that was not answered counts as refused; longer than the lot takes to answer
	FetchTimeout    time.Duration `toml:"-"` // after it a fetch that was not answered is given up; longer than the lot takes to answer
	TransferTimeout time.Duration `toml:"transfer_timeout" doc:"After this time a transfer that was not answered counts as failed; the call comes back."`
	EmergencyHangUp time.Duration `toml:"emergency_hang_up" doc:"An emergency call ends only when the handset is put down twice within this time; the first time it goes on hands-free."`

	ConferenceJoin bool `toml:"conference_join" doc:"true: when the worker hangs up in a conference, the two others go on with each other (attended transfer). false: both calls end; the Transfer key joins them."`

	MaxCalls     int `toml:"max_calls" doc:"Calls at this phone at once, held and waiting ones included; further callers get busy. An emergency call always finds room."`
	RingerVolume int `toml:"ringer_volume" doc:"Volume of the ringer at start, 0 to 10."`
	VoiceVolume  int `toml:"voice_volume" doc:"Volume of handset and loudspeaker at start, 0 to 10."`
}

// Default returns a phone that dials anything after a pause or #; it knows no orbits yet.
func Default() Config {
	return Config{
		DialPlan:        []string{"xx.T", "*xx.T", "*xx*xx.T"},
		Emergency:       []string{"112", "911"},
		ParkCode:        "*68",
		FetchCode:       "*88",
		InterDigit:      4 * time.Second,
		DialTone:        15 * time.Second,
		FailureTone:     20 * time.Second,
		SpeakerFailure:  5 * time.Second,
		Undo:            5 * time.Second,
		List:            8 * time.Second,
		Reminder:        30 * time.Second,
		ReminderRing:    20 * time.Second,
		ParkTimeout:     5 * time.Second,
		FetchTimeout:    10 * time.Second,
		TransferTimeout: 30 * time.Second,
		EmergencyHangUp: 5 * time.Second,
		MaxCalls:        8,
		RingerVolume:    6,
		VoiceVolume:     6,
	}
}

// Validate returns an error that names the first wrong key, its value and what is allowed.
func (c Config) Validate() error {
	_, err := newPlan(c)
	if err != nil {
		return err
	}
	for _, d := range []struct {
		key      string
		value    time.Duration
		min, max time.Duration
	}{
		{"inter_digit", c.InterDigit, 500 * time.Millisecond, 30 * time.Second},
		{"dial_tone", c.DialTone, time.Second, 5 * time.Minute},
		{"failure_tone", c.FailureTone, time.Second, 5 * time.Minute},
		{"speaker_failure", c.SpeakerFailure, time.Second, 5 * time.Minute},
		{"undo", c.Undo, time.Second, time.Minute},
		{"list", c.List, time.Second, time.Minute},
		{"reminder", c.Reminder, 5 * time.Second, 10 * time.Minute},
		{"reminder_ring", c.ReminderRing, 2 * time.Second, 10 * time.Minute},
		{"park_timeout", c.ParkTimeout, time.Second, 2 * time.Minute},
		{"fetch_timeout", c.FetchTimeout, time.Second, 2 * time.Minute},
		{"transfer_timeout", c.TransferTimeout, time.Second, 5 * time.Minute},
		{"emergency_hang_up", c.EmergencyHangUp, time.Second, time.Minute},
	} {
		if d.value < d.min || d.value > d.max {
			return fmt.Errorf("%s = %q: must be %v to %v", d.key, d.value, d.min, d.max)
		}
	}
	for _, n := range []struct {
		key      string
		value    int
		min, max int
	}{
		{"max_calls", c.MaxCalls, 2, 64},
		{"ringer_volume", c.RingerVolume, 0, MaxVolume},
		{"voice_volume", c.VoiceVolume, 0, MaxVolume},
	} {
		if n.value < n.min || n.value > n.max {
			return fmt.Errorf("%s = %d: must be %d to %d", n.key, n.value, n.min, n.max)
		}
	}
	return nil
}

// isDialable reports whether s has only digits that a keypad has, and from 1 to MaxDigits of them.
func isDialable(s string) bool {
	return len(s) > 0 && len(s) <= MaxDigits && strings.Trim(s, "0123456789*#") == ""
}
