package alsa

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Direction is that of the sound.
type Direction int32

// The directions, with the kernel's numbers.
const (
	Playback Direction = 0
	Capture  Direction = 1
)

// String returns "playback" or "capture".
func (d Direction) String() string {
	if d == Capture {
		return "capture"
	}
	return "playback"
}

// Params is the shape of a stream. A frame is one sample of each channel.
type Params struct {
	Rate     int // samples per second and channel; the card must have exactly this one
	Channels int // as few as the card can, but at least this many
	Period   int // frames between two wake-ups; the card takes the next that it can
	Buffer   int // frames that fit; at least two periods, and the card takes the next that it can
}

// PCM is an open stream. One goroutine owns it.
type PCM struct {
	card   Card
	dir    Direction
	params Params
	fd     int
	sw     swParams
	one    xfer           // of Read and Write
	poll   [1]unix.PollFd // of Wait
	queued long           // of Delay
}

// Open opens a stream of a card, named by id or name, and prepares it. Params says what was agreed. An error of kind
// ErrParam names the parameter, its value and what the card allows.
func Open(card string, device int, dir Direction, want Params) (*PCM, error) {
	c, err := find(card)
	if err != nil {
		return nil, err
	}
	letter := "p"
	if dir == Capture {
		letter = "c"
	}
	node := fmt.Sprintf("%s/pcmC%dD%d%s", devices, c.Number, device, letter)
	// Without O_NONBLOCK the open itself would wait for whoever else has the device.
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		e := &Error{Card: card, Param: dir.String() + " device", Value: strconv.Itoa(device), Err: sentinel(err)}
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EAGAIN) {
			e.Err = fmt.Errorf("another program uses it: %w", err)
		}
		return nil, e
	}
	p := &PCM{card: c, dir: dir, fd: fd}
	p.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	if dir == Playback {
		p.poll[0].Events = unix.POLLOUT
	}
	if err := p.configure(want); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return p, nil
}

// Params returns what the card agreed to.
func (p *PCM) Params() Params { return p.params }

// fail names the card and what was done.
func (p *PCM) fail(what string, err error) error {
	return fmt.Errorf("sound card %q, %s %s: %w", p.card.ID, p.dir, what, sentinel(err))
}

// any is a hwParams that allows everything.
func anything() *hwParams {
	h := &hwParams{rmask: ^uint32(0), info: ^uint32(0)}
	for i := range h.masks {
		for k := range h.masks[i] {
			h.masks[i][k] = ^uint32(0)
		}
	}
	for i := range h.intervals {
		h.intervals[i].max = ^uint32(0)
	}
	return h
}

// configure finds the parameters one after another, each within what the ones before it leave open.
func (p *PCM) configure(want Params) error {
	h := anything()
	h.masks[paramAccess] = mask{1 << accessRWInterleaved}
	h.masks[paramFormat] = mask{1 << formatS16LE}
	if err := p.refine(h); err != nil {
		return &Error{Card: p.card.ID, Param: p.dir.String() + " format", Value: "S16_LE interleaved", Err: nested(err)}
	}
	if err := p.exactly(h, paramRate, "rate", want.Rate); err != nil {
		return err
	}
	if err := p.near(h, paramChannels, "channels", want.Channels); err != nil {
		return err
	}
	if err := p.near(h, paramPeriodSize, "period", want.Period); err != nil {
		return err
	}
	if err := p.near(h, paramBufferSize, "buffer", max(want.Buffer, 2*int(h.intervals[paramPeriodSize].min))); err != nil {
		return err
	}
	if err := ioctl(p.fd, pcmSetHw, unsafe.Pointer(h)); err != nil {
		return p.fail("hardware parameters", err)
	}
	p.params = Params{
		Rate: int(h.intervals[paramRate].min), Channels: int(h.intervals[paramChannels].min),
		Period: int(h.intervals[paramPeriodSize].min), Buffer: int(h.intervals[paramBufferSize].min),
	}
	p.sw = swParams{
		periodStep: 1, xferAlign: 1, availMin: ulong(p.params.Period),
		startThreshold: 1 << 30, // by Start only
		stopThreshold:  ulong(p.params.Buffer),
	}
	if err := ioctl(p.fd, pcmSetSw, unsafe.Pointer(&p.sw)); err != nil {
		return p.fail("software parameters", err)
	}
	return p.Prepare()
}

// nested says that the card refused, and keeps an error that is more than a refusal.
func nested(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return ErrParam
	}
	return sentinel(err)
}

func (p *PCM) refine(h *hwParams) error {
	h.rmask = ^uint32(0)
	return ioctl(p.fd, pcmHwRefine, unsafe.Pointer(h))
}

// within narrows a parameter to an interval and keeps it if the card agrees.
func (p *PCM) within(h *hwParams, param int, low, high uint32) error {
	next := *h
	was := next.intervals[param]
	next.intervals[param] = interval{min: max(low, was.min), max: min(high, was.max), flags: was.flags & 4}
	if next.intervals[param].min > next.intervals[param].max {
		return unix.EINVAL
	}
	if err := p.refine(&next); err != nil {
		return err
	}
	*h = next
	return nil
}

func (p *PCM) refused(h *hwParams, param int, name string, v int, err error) error {
	allowed := ""
	i := h.intervals[param]
	if err = nested(err); errors.Is(err, ErrParam) {
		allowed = fmt.Sprintf("%d to %d", i.min, i.max)
		if i.min == i.max {
			allowed = strconv.Itoa(int(i.min))
		} else if param == paramRate {
			allowed += p.rates(h)
		}
	}
	return &Error{Card: p.card.ID, Param: p.dir.String() + " " + name, Value: strconv.Itoa(v), Allowed: allowed, Err: err}
}

// rates names the usual rates that the card has, as few of it have all between the least and the greatest.
func (p *PCM) rates(h *hwParams) string {
	list := ""
	for _, r := range []int{8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000} {
		try := *h
		if p.within(&try, paramRate, uint32(r), uint32(r)) == nil {
			list += " " + strconv.Itoa(r)
		}
	}
	if list == "" {
		return ""
	}
	return ", of which" + list
}

// exactly sets a parameter to v or names what is allowed.
func (p *PCM) exactly(h *hwParams, param int, name string, v int) error {
	if err := p.within(h, param, uint32(v), uint32(v)); err != nil {
		return p.refused(h, param, name, v, err)
	}
	return nil
}

// near sets a parameter to v, else to the next greater value that the card has, else to its greatest.
func (p *PCM) near(h *hwParams, param int, name string, v int) error {
	err := p.within(h, param, uint32(v), uint32(v))
	if err == nil {
		return nil
	}
	if nested(err) != ErrParam {
		return p.refused(h, param, name, v, err)
	}
	pick := func(i interval) uint32 { return i.min }
	if err = p.within(h, param, uint32(v), ^uint32(0)); err != nil && param != paramChannels {
		pick = func(i interval) uint32 { return i.max }
		err = p.within(h, param, 0, uint32(v))
	}
	if err != nil {
		return p.refused(h, param, name, v, err)
	}
	i := h.intervals[param]
	got := pick(i)
	if i.flags&1 != 0 && got == i.min {
		got++ // an open interval does not contain its end
	}
	if i.flags&2 != 0 && got == i.max {
		got--
	}
	if err = p.within(h, param, got, got); err != nil {
		return p.refused(h, param, name, v, err)
	}
	return nil
}

// SetWake makes Wait return when that many frames can be read or written.
func (p *PCM) SetWake(frames int) error {
	p.sw.availMin = ulong(max(1, min(frames, p.params.Buffer)))
	if err := ioctl(p.fd, pcmSetSw, unsafe.Pointer(&p.sw)); err != nil {
		return p.fail("wake-up", err)
	}
	return nil
}

// Prepare makes a stopped stream ready to start; its buffer is empty then.
func (p *PCM) Prepare() error { return p.simple("prepare", pcmPrepare) }

// Start starts a prepared stream; one for playback must have something to play.
func (p *PCM) Start() error { return p.simple("start", pcmStart) }

// Drop stops at once and forgets what was in the buffer.
func (p *PCM) Drop() error { return p.simple("stop", pcmDrop) }

// Alive returns ErrGone if the card has been pulled; whatever else the stream's state is, it returns nil.
func (p *PCM) Alive() error {
	if err := p.simple("check", pcmHwSync); errors.Is(err, ErrGone) {
		return err
	}
	return nil
}

func (p *PCM) simple(what string, request uint) error {
	if err := ioctl(p.fd, request, nil); err != nil {
		return p.fail(what, err)
	}
	return nil
}

// Recover makes a stream usable after ErrXrun or ErrSuspended, also one that runs on but does not move: it is prepared then,
// and to be started anew.
func (p *PCM) Recover(cause error) error {
	if errors.Is(cause, ErrSuspended) {
		// A card that wakes up says so within a second; those that cannot resume are prepared anew.
		for range 50 {
			if err := ioctl(p.fd, pcmResume, nil); !errors.Is(err, unix.EAGAIN) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	_ = p.Drop() // the kernel does not prepare a stream that runs
	return p.Prepare()
}

// Delay returns the frames between the program and the converter: what is queued for playback, or recorded and not read.
func (p *PCM) Delay() (int, error) {
	if err := ioctl(p.fd, pcmDelay, unsafe.Pointer(&p.queued)); err != nil {
		return 0, p.fail("delay", err)
	}
	return p.queued, nil
}

// Wait blocks until as many frames as SetWake said can be moved, or for the timeout; it reports which. A stream that
// stopped counts as ready: reading or writing then says why.
func (p *PCM) Wait(timeout time.Duration) (bool, error) {
	n, err := unix.Poll(p.poll[:], int(timeout.Milliseconds()))
	switch {
	case err == unix.EINTR:
		return false, nil
	case err != nil:
		return false, p.fail("wait", err)
	case p.poll[0].Revents&unix.POLLNVAL != 0:
		return false, p.fail("wait", unix.ENODEV)
	}
	return n > 0, nil
}

// Read takes frames that were recorded into buf, whole frames only, and returns their number, which may be 0.
func (p *PCM) Read(buf []int16) (int, error) { return p.move("read", pcmReadFrames, buf) }

// Write queues whole frames for playback and returns how many fitted.
func (p *PCM) Write(buf []int16) (int, error) { return p.move("write", pcmWriteFrames, buf) }

func (p *PCM) move(what string, request uint, buf []int16) (int, error) {
	if len(buf) < p.params.Channels {
		return 0, nil
	}
	p.one = xfer{buf: unsafe.Pointer(&buf[0]), frames: ulong(len(buf) / p.params.Channels)}
	err := ioctl(p.fd, request, unsafe.Pointer(&p.one))
	p.one.buf = nil
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return 0, p.fail(what, err)
	}
	return max(0, p.one.result), nil
}

// Close stops the stream and frees the device. It can be called again.
func (p *PCM) Close() error {
	if p.fd < 0 {
		return nil
	}
	fd := p.fd
	p.fd, p.poll[0].Fd = -1, -1
	return unix.Close(fd)
}
