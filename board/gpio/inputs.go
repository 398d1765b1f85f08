package gpio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/warthog618/go-gpiocdev/uapi"
	"golang.org/x/sys/unix"

	"parklamp/board"
)

// eventSize is that of struct gpio_v2_line_event (linux/gpio.h).
const eventSize = 48

// input is some columns or the hook, of one chip, that were asked for together. The kernel keeps their edges, each with the
// time of its interrupt, until they are read; go-gpiocdev would read them in a goroutine of its own, and nobody could say
// whether it has them all.
type input struct {
	fd   int
	kind board.Input
	bits map[uint32]int // by offset: place in the mask
	of   []int          // by place in the request: the same
}

// inputs are the lines that raise edges, and what wakes their reader.
type inputs struct {
	// immutable after open
	all  []*input
	wake int // eventfd

	reading sync.Mutex // held by who is in wait; close takes it once that one was woken

	// owned by who is in wait
	polled []unix.PollFd
	buffer [board.EdgeQueue * eventSize]byte
}

// open takes the lines at offsets of a chip, which bits of a mask stand for.
func (in *inputs) open(chip string, kind board.Input, p board.Place, offsets, bits []int) error {
	r := uapi.LineRequest{Lines: uint32(len(offsets)), EventBufferSize: 2 * board.EdgeQueue}
	copy(r.Consumer[:len(r.Consumer)-1], consumer)
	// Without LineFlagV2EventClockRealtime the times are of CLOCK_MONOTONIC.
	r.Config.Flags = uapi.LineFlagV2Input | uapi.LineFlagV2EdgeBoth
	if p.ActiveLow {
		r.Config.Flags |= uapi.LineFlagV2ActiveLow
	}
	switch p.Bias {
	case board.PullUp:
		r.Config.Flags |= uapi.LineFlagV2BiasPullUp
	case board.PullDown:
		r.Config.Flags |= uapi.LineFlagV2BiasPullDown
	case board.NoBias:
		r.Config.Flags |= uapi.LineFlagV2BiasDisabled
	}
	l := &input{kind: kind, bits: map[uint32]int{}, of: bits}
	for i, offset := range offsets {
		r.Offsets[i] = uint32(offset)
		l.bits[uint32(offset)] = bits[i]
	}
	if p.Debounce > 0 {
		r.Config.AddAttribute(uapi.LineConfigAttribute{Attr: uapi.DebouncePeriod(p.Debounce).Encode(), Mask: uapi.NewLineBitMask(len(offsets))})
	}
	device, err := os.Open("/dev/" + chip)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := uapi.GetLine(device.Fd(), &r); err != nil {
		return fmt.Errorf("edges of lines: %w", err)
	}
	l.fd = int(r.Fd)
	if err := unix.SetNonblock(l.fd, true); err != nil {
		return errors.Join(err, unix.Close(l.fd))
	}
	in.all = append(in.all, l)
	return nil
}

// levels returns the lines of a kind that are active.
func (in *inputs) levels(kind board.Input) (mask uint32, err error) {
	for _, l := range in.all {
		if l.kind != kind {
			continue
		}
		v := uapi.LineValues{Mask: uapi.NewLineBitMask(len(l.of))}
		if err := uapi.GetLineValuesV2(uintptr(l.fd), &v); err != nil {
			return 0, err
		}
		for i, bit := range l.of {
			if v.Get(i) != 0 {
				mask |= 1 << bit
			}
		}
	}
	return mask, nil
}

// wait appends the edges that the kernel has; if it has none, it waits for the first, for an interrupt or the limit.
func (in *inputs) wait(limit time.Duration, edges []board.Edge) ([]board.Edge, error) {
	began := time.Now()
	if in.polled == nil {
		in.polled = append(in.polled, unix.PollFd{Fd: int32(in.wake), Events: unix.POLLIN})
		for _, l := range in.all {
			in.polled = append(in.polled, unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN})
		}
	}
	for {
		var left *unix.Timespec
		if limit >= 0 {
			ts := unix.NsecToTimespec(int64(max(0, limit-time.Since(began))))
			left = &ts
		}
		_, err := unix.Ppoll(in.polled, left, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return edges, fmt.Errorf("wait for edges: %w", err)
		}
		break
	}
	if limit != 0 && in.polled[0].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(in.wake, count[:]) // it may be close's, whose caller looks itself
	}
	first := len(edges)
	now, stamp := clocks()
	for i, l := range in.all {
		if in.polled[i+1].Revents == 0 {
			continue
		}
		var err error
		if edges, err = in.read(l, edges, now, stamp); err != nil {
			return edges, err
		}
	}
	slices.SortStableFunc(edges[first:], func(a, b board.Edge) int { return a.At.Compare(b.At) })
	return edges, nil
}

// read empties the kernel's queue of a request.
func (in *inputs) read(l *input, edges []board.Edge, now time.Time, stamp time.Duration) ([]board.Edge, error) {
	for {
		n, err := unix.Read(l.fd, in.buffer[:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) || err == nil && n == 0:
			return edges, nil
		case err != nil:
			return edges, fmt.Errorf("read edges: %w", err)
		}
		for e := in.buffer[:n]; len(e) >= eventSize; e = e[eventSize:] {
			order := binary.NativeEndian
			at, id, offset := time.Duration(order.Uint64(e)), order.Uint32(e[8:]), order.Uint32(e[12:])
			if bit, ok := l.bits[offset]; ok {
				edges = append(edges, board.Edge{Input: l.kind, Index: bit, Active: id == uint32(uapi.LineEventRisingEdge), At: now.Add(at - stamp)})
			}
		}
		if n < len(in.buffer) {
			return edges, nil
		}
	}
}

// interrupt ends a wait.
func (in *inputs) interrupt() {
	one := binary.NativeEndian.AppendUint64(nil, 1)
	_, _ = unix.Write(in.wake, one) // an eventfd refuses only beyond 2^64 of them
}

// close frees the lines when nobody waits any more.
func (in *inputs) close() error {
	in.interrupt()
	in.reading.Lock()
	defer in.reading.Unlock()
	errs := []error{unix.Close(in.wake)}
	for _, l := range in.all {
		errs = append(errs, unix.Close(l.fd))
	}
	in.all = nil
	return errors.Join(errs...)
}

// clocks reads our clock and CLOCK_MONOTONIC, of which the kernel's stamps are, at one moment: if the machine stood still
// between the two, every edge would be off by that.
func clocks() (time.Time, time.Duration) {
	const together = 50 * time.Microsecond
	var before, after unix.Timespec
	for tries := 0; ; tries++ {
		err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before)
		now := time.Now()
		if err == nil {
			err = unix.ClockGettime(unix.CLOCK_MONOTONIC, &after)
		}
		apart := time.Duration(after.Nano() - before.Nano())
		if err != nil || apart <= together || tries == 5 {
			return now, time.Duration(before.Nano()) + apart/2
		}
	}
}
