// Package alsa speaks to the Linux kernel's sound interface with its own requests, without C: PCM streams (one owner each)
// and mixer controls, on arm, arm64 and amd64.
//
// Cards are named by their id or name, never by number, for numbers change with the order in which drivers load. A
// stream is 16-bit interleaved, read and written in periods (READI and WRITEI), waited for with poll. The package
// starts no goroutine, keeps no clock, resamples nothing and does not allocate per period. It does not go through ALSA's
// user-space library: there is no "default" device, no plug-in and no asound.conf.
//
// The facts are those of the kernel's include/uapi/sound/asound.h; the sizes of its structures are proved at compile time.
package alsa

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What callers decide on; test with errors.Is.
var (
	ErrNoCard     = errors.New("no such sound card")
	ErrNoControl  = errors.New("no such mixer control")
	ErrParam      = errors.New("the sound card does not allow that")
	ErrXrun       = errors.New("sound stream ran over or empty")    // EPIPE: Recover
	ErrSuspended  = errors.New("sound stream suspended")            // ESTRPIPE: Recover
	ErrGone       = errors.New("sound card gone")                   // ENODEV: Close, and look for it again
	ErrNotRunning = errors.New("sound stream is not in that state") // EBADFD
)

// Error names the card, what was asked of it and what it allows.
type Error struct {
	Card    string
	Param   string // such as "rate" or a control's name
	Value   string
	Allowed string // "" when the card does not say
	Err     error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sound card %q", e.Card)
	if e.Param != "" {
		fmt.Fprintf(&b, ", %s", e.Param)
	}
	if e.Value != "" {
		fmt.Fprintf(&b, " = %s", e.Value)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if e.Allowed != "" {
		fmt.Fprintf(&b, "; allowed is %s", e.Allowed)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// sentinel names the errors of the kernel on which callers decide.
func sentinel(err error) error {
	switch {
	case errors.Is(err, unix.EPIPE):
		return ErrXrun
	case errors.Is(err, unix.ESTRPIPE):
		return ErrSuspended
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return ErrGone
	case errors.Is(err, unix.EBADFD):
		return ErrNotRunning
	}
	return err
}

// devices is where the kernel's nodes are.
const devices = "/dev/snd"

// Card is a sound card that is there now.
type Card struct {
	Number int    // may be another one after the next start
	ID     string // such as "Headset"; at most 15 letters and digits, unique
	Name   string // such as "USB Audio Device"
}

// Cards lists the sound cards, by number.
func Cards() ([]Card, error) {
	nodes, err := filepath.Glob(devices + "/controlC*")
	if err != nil {
		return nil, err
	}
	var cards []Card
	for _, node := range nodes {
		var number int
		if _, err := fmt.Sscanf(strings.TrimPrefix(node, devices+"/controlC"), "%d", &number); err != nil {
			continue
		}
		c, err := identify(number)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrGone) {
			continue // left while we looked
		}
		if err != nil {
			return nil, err
		}
		cards = append(cards, c)
	}
	slices.SortFunc(cards, func(a, b Card) int { return a.Number - b.Number })
	return cards, nil
}

func identify(number int) (Card, error) {
	node := fmt.Sprintf("%s/controlC%d", devices, number)
	fd, err := unix.Open(node, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return Card{}, &os.PathError{Op: "open", Path: node, Err: sentinel(err)}
	}
	defer unix.Close(fd)
	var info cardInfo
	if err := ioctl(fd, ctlCardInfo, unsafe.Pointer(&info)); err != nil {
		return Card{}, &os.PathError{Op: "ask", Path: node, Err: sentinel(err)}
	}
	return Card{Number: number, ID: text(info.id[:]), Name: text(info.name[:])}, nil
}

// find returns the card with that id or, if there is none, with that name.
func find(name string) (Card, error) {
	cards, err := Cards()
	if err != nil {
		return Card{}, err
	}
	there := make([]string, len(cards))
	for i, c := range cards {
		if c.ID == name {
			return c, nil
		}
		there[i] = fmt.Sprintf("%s (%s)", c.ID, c.Name)
	}
	if i := slices.IndexFunc(cards, func(c Card) bool { return c.Name == name }); i >= 0 {
		return cards[i], nil
	}
	e := &Error{Card: name, Err: ErrNoCard, Allowed: strings.Join(there, ", ")}
	if len(there) == 0 {
		e.Allowed = "none, for the system has no sound card"
	}
	return Card{}, e
}
