// Package hands is what the tests of a booted image have inside the guest: fingers that press keys on the kernel's simulated
// lines and eyes for its lamps, a person's mouth and ear at the far side of the simulated sound card, and a way to the
// sockets of the programs. The agent (folder agent) serves a Hand by net/rpc over virtio-serial; package guesthost calls it.
//
// It is never part of an image for a board: the harness puts the agent into a segment of the initrd of its own. It stands
// outside the programs under test and looks at nothing inside them; the board file alone tells it where the lines are.
//
// A Hand has one goroutine while a key is down (the matrix), and two while the person sits at the sound card.
package hands

import "time"

// Service is the name under which a Hand is registered.
const Service = "Hand"

// Port is the name of the virtio-serial port.
const Port = "parklamp.hand"

// Nothing is an argument or answer without content.
type Nothing struct{}

// KeyArgs says which key, by the board's name for it.
type KeyArgs struct {
	Key  string
	Hold time.Duration // of a tap
}

// Act is one movement of a hand, and a pause after it.
type Act struct {
	Key  string // to be tapped; "" moves the handset
	Up   bool   // handset
	Hold time.Duration
	Then time.Duration
}

// LampState is what can be seen of a lamp at one moment.
type LampState struct{ Green, Red bool }

// LampArgs asks for a lamp over some time; 0 is one look.
type LampArgs struct {
	Lamp string
	For  time.Duration
}

// LampChange is a lamp from a moment on, by the guest's clock.
type LampChange struct {
	At time.Duration // since the watch began
	LampState
}

// ReactionArgs asks how long after a key a lamp changes.
type ReactionArgs struct {
	Key   string
	Hold  time.Duration // the key is let go after that and after the lamp has changed
	Lamp  string
	Limit time.Duration
}

// Sound is 8 kHz mono.
type Sound struct{ Samples []int16 }

// ConnArgs is about one connection to a socket in the guest.
type ConnArgs struct {
	ID   int
	Path string // of a unix socket, for Dial
	Max  int    // bytes, for Read
	Data []byte // for Write
}

// ConnReply answers Dial and Read.
type ConnReply struct {
	ID   int
	Data []byte
	EOF  bool
}

// FileArgs names a file in the guest.
type FileArgs struct {
	Path string
	Max  int    // bytes, for ReadFile
	Data []byte // for WriteFile
}

// SignalArgs names programs by the base name of their executable.
type SignalArgs struct {
	Name   string
	Signal int
}

// Process is one process as /proc shows it.
type Process struct {
	PID     int
	Name    string
	RSS     int           // bytes of memory that are its own or shared, in RAM
	CPU     time.Duration // user and system
	Started time.Duration // after power-on
	Threads int
}

// Machine is the guest at one moment.
type Machine struct {
	Uptime    time.Duration // since power-on, by the guest's clock
	Now       time.Time
	Idle      time.Duration // all processors together
	Busy      time.Duration // the same, user and system
	MemFree   int           // bytes, what programs can still have
	Processes []Process
}
