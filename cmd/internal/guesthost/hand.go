//go:build image

package guesthost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"time"

	"parklamp/cmd/internal/client"
	"parklamp/cmd/internal/hands"
)

// Hand acts in a guest. Its methods may be called from any goroutine.
type Hand struct{ rpc *rpc.Client }

// call asks for something and waits for it, or for ctx.
func call[R any](ctx context.Context, h *Hand, method string, args any) (reply R, err error) {
	c := h.rpc.Go(hands.Service+"."+method, args, &reply, make(chan *rpc.Call, 1))
	select {
	case <-c.Done:
		if errors.Is(c.Error, rpc.ErrShutdown) || errors.Is(c.Error, io.ErrUnexpectedEOF) {
			return reply, ErrOff
		}
		return reply, c.Error
	case <-ctx.Done():
		var none R // the other one may still be written to
		return none, context.Cause(ctx)
	}
}

func do(ctx context.Context, h *Hand, method string, args any) error {
	_, err := call[hands.Nothing](ctx, h, method, args)
	return err
}

// Tap presses a key for some time, by the guest's clock.
func (h *Hand) Tap(ctx context.Context, key string, hold time.Duration) error {
	return do(ctx, h, "Tap", hands.KeyArgs{Key: key, Hold: hold})
}

// Press presses a key down.
func (h *Hand) Press(ctx context.Context, key string) error {
	return do(ctx, h, "Press", hands.KeyArgs{Key: key})
}

// Release lets a key go.
func (h *Hand) Release(ctx context.Context, key string) error {
	return do(ctx, h, "Release", hands.KeyArgs{Key: key})
}

// Play makes movements one after another and returns the lamps after each.
func (h *Hand) Play(ctx context.Context, acts ...hands.Act) ([]map[string]hands.LampState, error) {
	return call[[]map[string]hands.LampState](ctx, h, "Play", acts)
}

// Hook lifts (true) or replaces the handset.
func (h *Hand) Hook(ctx context.Context, up bool) error { return do(ctx, h, "Hook", up) }

// Watch looks at a lamp for some time.
func (h *Hand) Watch(ctx context.Context, lamp string, d time.Duration) ([]hands.LampChange, error) {
	return call[[]hands.LampChange](ctx, h, "Watch", hands.LampArgs{Lamp: lamp, For: d})
}

// Lamps looks at every lamp.
func (h *Hand) Lamps(ctx context.Context) (map[string]hands.LampState, error) {
	return call[map[string]hands.LampState](ctx, h, "Lamps", hands.Nothing{})
}

// Reaction presses a key until a lamp has changed and hold is over, and measures by the guest's clock when it changed.
func (h *Hand) Reaction(ctx context.Context, key, lamp string, hold, limit time.Duration) (time.Duration, error) {
	return call[time.Duration](ctx, h, "Reaction", hands.ReactionArgs{Key: key, Hold: hold, Lamp: lamp, Limit: limit})
}

// Say makes the person say something, at 8 kHz, again and again.
func (h *Hand) Say(ctx context.Context, words []int16) error {
	return do(ctx, h, "Say", hands.Sound{Samples: words})
}

// Echo makes the person silent and the room lead what the phone plays to its microphone.
func (h *Hand) Echo(ctx context.Context) error { return do(ctx, h, "Echo", hands.Nothing{}) }

// Heard is what the person has heard since the last time, at 8 kHz.
func (h *Hand) Heard(ctx context.Context) ([]int16, error) {
	s, err := call[hands.Sound](ctx, h, "Heard", hands.Nothing{})
	return s.Samples, err
}

// Look sees clocks, memory and processes.
func (h *Hand) Look(ctx context.Context) (hands.Machine, error) {
	return call[hands.Machine](ctx, h, "Machine", hands.Nothing{})
}

// Up waits until a program listens on a unix socket and returns when that was, by the guest's clock since power-on.
func (h *Hand) Up(ctx context.Context, path string) (time.Duration, error) {
	return call[time.Duration](ctx, h, "Up", hands.ConnArgs{Path: path})
}

// Signal sends a signal to the programs of a name.
func (h *Hand) Signal(ctx context.Context, name string, signal int) error {
	return do(ctx, h, "Signal", hands.SignalArgs{Name: name, Signal: signal})
}

// ReadFile returns the last bytes of a file, at most limit.
func (h *Hand) ReadFile(ctx context.Context, path string, limit int) ([]byte, error) {
	return call[[]byte](ctx, h, "ReadFile", hands.FileArgs{Path: path, Max: limit})
}

// Fill writes a file until the disk is full.
func (h *Hand) Fill(ctx context.Context, path string) (int64, error) {
	return call[int64](ctx, h, "Fill", hands.FileArgs{Path: path})
}

// Close ends the line to the hand, not the guest.
func (h *Hand) Close() error { return h.rpc.Close() }

// Client speaks with the program behind a unix socket of the guest.
func (h *Hand) Client(path string) *client.Client {
	return client.Through(path, func(ctx context.Context, _, _ string) (net.Conn, error) { return h.Dial(ctx, path) })
}

// Get asks the program behind a unix socket of the guest for a resource.
func (h *Hand) Get(ctx context.Context, socket, path string) ([]byte, error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return h.Dial(ctx, socket) }}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://parklamp"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s of %s: %s", path, socket, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, 4<<20))
}

// Dial connects to a unix socket of the guest.
func (h *Hand) Dial(ctx context.Context, path string) (net.Conn, error) {
	r, err := call[hands.ConnReply](ctx, h, "Dial", hands.ConnArgs{Path: path})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &conn{hand: h, id: r.ID, ctx: ctx, cancel: cancel}, nil
}

// Mirror makes a unix socket of the guest one of this machine, for its programs, until ctx ends.
func (h *Hand) Mirror(ctx context.Context, theirs, ours string) error {
	l, err := net.Listen("unix", ours)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go h.mirror(ctx, c, theirs)
		}
	}()
	return nil
}

// mirror passes on one connection until either side closes it.
func (h *Hand) mirror(ctx context.Context, ours net.Conn, path string) {
	defer ours.Close()
	theirs, err := h.Dial(ctx, path)
	if err != nil {
		return // who connected sees a closed connection
	}
	defer theirs.Close()
	go func() {
		_, _ = io.Copy(theirs, ours) // its end is the other one's
		_ = theirs.Close()
	}()
	_, _ = io.Copy(ours, theirs)
}

// conn is a connection in the guest. Deadlines are not kept: every wait of the harness has its own.
type conn struct {
	hand   *Hand
	id     int
	ctx    context.Context
	cancel context.CancelFunc
	rest   []byte
}

var _ net.Conn = (*conn)(nil)

func (c *conn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		r, err := call[hands.ConnReply](c.ctx, c.hand, "Read", hands.ConnArgs{ID: c.id, Max: max(len(b), 16<<10)})
		if err != nil {
			return 0, err
		}
		if r.EOF && len(r.Data) == 0 {
			return 0, io.EOF
		}
		c.rest = r.Data
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *conn) Write(b []byte) (int, error) {
	if err := do(c.ctx, c.hand, "Write", hands.ConnArgs{ID: c.id, Data: b}); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *conn) Close() error {
	c.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return do(ctx, c.hand, "Close", hands.ConnArgs{ID: c.id})
}

func (c *conn) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "host", Net: "unix"} }
func (c *conn) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "guest", Net: "unix"} }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
