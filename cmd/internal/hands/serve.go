package hands

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"sync"
	"syscall"
	"time"

	"parklamp/board"
)

// maxRead bounds an answer.
const maxRead = 1 << 20

// Hand is the service. Its methods are those of net/rpc and run at the same time.
type Hand struct {
	lines  *Lines // nil: the board has no simulated lines
	person person

	mu    sync.Mutex
	conns map[int]net.Conn
	next  int
}

// image is the image's root folder, as its first process sees it: the agent has a mount namespace of its own.
const image = "/proc/1/root"

// Serve answers on conn until it ends.
func Serve(conn io.ReadWriteCloser, lines *Lines) error {
	s := rpc.NewServer()
	if err := s.RegisterName(Service, &Hand{lines: lines, conns: map[int]net.Conn{}}); err != nil {
		return err
	}
	s.ServeConn(conn)
	return nil
}

func (h *Hand) board() (*Lines, error) {
	if h.lines == nil {
		return nil, fmt.Errorf("%w: there are no simulated lines", ErrNoPart)
	}
	return h.lines, nil
}

// Press presses a key down.
func (h *Hand) Press(a KeyArgs, _ *Nothing) error { return h.set(a.Key, true) }

// Release lets a key go.
func (h *Hand) Release(a KeyArgs, _ *Nothing) error { return h.set(a.Key, false) }

func (h *Hand) set(key string, down bool) error {
	l, err := h.board()
	if err != nil {
		return err
	}
	return l.Set(board.Key(key), down)
}

// Tap presses a key for some time.
func (h *Hand) Tap(a KeyArgs, _ *Nothing) error {
	l, err := h.board()
	if err != nil {
		return err
	}
	return l.Tap(board.Key(a.Key), a.Hold)
}

// Play makes movements one after another, by the guest's clock, and returns the states of the lamps after each.
func (h *Hand) Play(acts []Act, lamps *[]map[string]LampState) error {
	l, err := h.board()
	if err != nil {
		return err
	}
	for _, a := range acts {
		if a.Key == "" {
			err = l.Hook(a.Up)
		} else {
			err = l.Tap(board.Key(a.Key), a.Hold)
		}
		if err != nil {
			return err
		}
		time.Sleep(a.Then)
		all, err := l.Lamps()
		if err != nil {
			return err
		}
		*lamps = append(*lamps, all)
	}
	return nil
}

// Hook lifts (true) or replaces the handset.
func (h *Hand) Hook(up bool, _ *Nothing) error {
	l, err := h.board()
	if err != nil {
		return err
	}
	return l.Hook(up)
}

// Watch looks at a lamp.
func (h *Hand) Watch(a LampArgs, reply *[]LampChange) error {
	l, err := h.board()
	if err != nil {
		return err
	}
	*reply, err = l.Watch(a.Lamp, a.For)
	return err
}

// Lamps looks at every lamp.
func (h *Hand) Lamps(_ Nothing, reply *map[string]LampState) error {
	l, err := h.board()
	if err != nil {
		return err
	}
	*reply, err = l.Lamps()
	return err
}

// Reaction measures from a key to a lamp, by the guest's clock.
func (h *Hand) Reaction(a ReactionArgs, reply *time.Duration) error {
	l, err := h.board()
	if err != nil {
		return err
	}
	*reply, err = l.Reaction(a)
	return err
}

// Say makes the person say something, again and again; nothing makes her silent.
func (h *Hand) Say(s Sound, _ *Nothing) error {
	h.person.say(s.Samples, false)
	return h.person.sit()
}

// Echo makes the person silent and the room lead what the phone plays to its microphone.
func (h *Hand) Echo(_ Nothing, _ *Nothing) error {
	h.person.say(nil, true)
	return h.person.sit()
}

// Heard returns what the person has heard since the last time.
func (h *Hand) Heard(_ Nothing, s *Sound) error {
	s.Samples = h.person.take()
	return h.person.sit()
}

// Up waits until a program listens on a unix socket, and returns when that was, after power-on.
func (h *Hand) Up(a ConnArgs, at *time.Duration) error {
	for {
		c, err := net.Dial("unix", image+a.Path)
		now, err2 := uptime()
		if err2 != nil {
			return err2
		}
		if err == nil {
			*at = now
			return c.Close()
		}
		if now > 10*time.Minute {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Dial opens a connection to a unix socket.
func (h *Hand) Dial(a ConnArgs, r *ConnReply) error {
	c, err := net.DialTimeout("unix", image+a.Path, 3*time.Second)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	r.ID = h.next
	h.conns[r.ID] = c
	return nil
}

func (h *Hand) conn(id int) (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.conns[id]; c != nil {
		return c, nil
	}
	return nil, net.ErrClosed
}

// Read waits for bytes of a connection.
func (h *Hand) Read(a ConnArgs, r *ConnReply) error {
	c, err := h.conn(a.ID)
	if err != nil {
		return err
	}
	b := make([]byte, min(max(a.Max, 1), 64<<10))
	n, err := c.Read(b)
	r.Data = b[:n]
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		r.EOF, err = true, nil
	}
	if n > 0 {
		err = nil // it comes again
	}
	return err
}

// Write writes bytes to a connection.
func (h *Hand) Write(a ConnArgs, _ *Nothing) error {
	c, err := h.conn(a.ID)
	if err == nil {
		_, err = c.Write(a.Data)
	}
	return err
}

// Close ends a connection.
func (h *Hand) Close(a ConnArgs, _ *Nothing) error {
	h.mu.Lock()
	c := h.conns[a.ID]
	delete(h.conns, a.ID)
	h.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.Close()
}

// ReadFile returns the end of a file, at most Max bytes.
func (h *Hand) ReadFile(a FileArgs, reply *[]byte) error {
	f, err := os.Open(image + a.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	limit := int64(min(max(a.Max, 1), maxRead))
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		if _, err := f.Seek(-limit, io.SeekEnd); err != nil {
			return err
		}
	}
	*reply, err = io.ReadAll(io.LimitReader(f, limit))
	return err
}

// WriteFile writes a file.
func (h *Hand) WriteFile(a FileArgs, _ *Nothing) error {
	return os.WriteFile(image+a.Path, a.Data, 0o644)
}

// Fill writes a file until the disk is full, and returns its size.
func (h *Hand) Fill(a FileArgs, size *int64) error {
	f, err := os.Create(image + a.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	for b := make([]byte, 1<<20); len(b) > 0; {
		n, err := f.Write(b)
		*size += int64(n)
		if errors.Is(err, syscall.ENOSPC) {
			b = b[:len(b)/2] // down to the last byte
		} else if err != nil {
			return err
		}
	}
	return f.Sync()
}

// Sync writes everything to the disk.
func (h *Hand) Sync(_ Nothing, _ *Nothing) error {
	syscall.Sync()
	return nil
}
