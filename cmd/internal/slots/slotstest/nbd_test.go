package slotstest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"parklamp/cmd/internal/slots"
)

// machine is the other side of Serve.
type machine struct {
	t    *testing.T
	conn net.Conn
}

func (m machine) send(parts ...any) {
	m.t.Helper()
	for _, p := range parts {
		if err := binary.Write(m.conn, binary.BigEndian, p); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m machine) get(n int) []byte {
	m.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(m.conn, b); err != nil {
		m.t.Fatal(err)
	}
	return b
}

func (m machine) request(command uint16, at uint64, length uint32, data []byte) {
	m.t.Helper()
	m.send(uint32(nbdRequest), uint16(0), command, uint64(7), at, length)
	if len(data) > 0 {
		m.send(data)
	}
}

// answer returns the error number.
func (m machine) answer() uint32 {
	m.t.Helper()
	b := m.get(16)
	if binary.BigEndian.Uint32(b) != nbdReply || binary.BigEndian.Uint64(b[8:]) != 7 {
		m.t.Fatalf("an answer %x", b)
	}
	return binary.BigEndian.Uint32(b[4:])
}

// plug serves a card; the result of Serve comes on the channel.
func plug(t *testing.T, c *Card, before func(Request)) (machine, chan error) {
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- c.Serve(theirs, before); theirs.Close() }()
	m := machine{t, ours}
	t.Cleanup(func() { ours.Close() })
	if b := m.get(18); binary.BigEndian.Uint64(b) != nbdMagic {
		t.Fatalf("begins with %x", b)
	}
	m.send(uint32(fixedNewStyle))
	m.send(uint64(nbdOption), uint32(8), uint32(0)) // structured replies
	if b := m.get(20); binary.BigEndian.Uint32(b[12:]) != replyUnknown {
		t.Fatalf("an unknown option gets %x", b)
	}
	m.send(uint64(nbdOption), uint32(optionGo), uint32(6), make([]byte, 6))
	if b := m.get(32); binary.BigEndian.Uint64(b[22:]) != uint64(len(c.data)) {
		t.Fatalf("the export is %x", b)
	}
	m.get(34 + 20)
	return m, done
}

// What a machine flushed outlasts a loss of power; what it did not is in doubt, and the dead card answers nothing.
func TestServe(t *testing.T) {
	c := NewCard(1<<20, slots.State{Seq: 1, Good: slots.A})
	var seen []Kind
	m, done := plug(t, c, func(r Request) {
		if seen = append(seen, r.Kind); len(seen) == 4 {
			c.PowerFor(1)
		}
	})
	flushed, lost := bytes.Repeat([]byte{1}, 2*slots.Sector), bytes.Repeat([]byte{2}, 64*slots.Sector)
	m.request(commandWrite, slots.BootStart, uint32(len(flushed)), flushed)
	errs := []uint32{m.answer()}
	m.request(commandFlush, 0, 0, nil)
	errs = append(errs, m.answer())
	m.request(commandRead, slots.BootStart, slots.Sector, nil)
	errs = append(errs, m.answer())
	if got := m.get(slots.Sector); !bytes.Equal(got, flushed[:slots.Sector]) {
		t.Error("reads something else")
	}
	m.request(commandWrite, slots.BootStart, uint32(len(lost)), lost)
	if err := <-done; !errors.Is(err, ErrPower) {
		t.Fatalf("ends with %v", err)
	}
	if len(seen) != 4 || !bytes.Equal([]byte{byte(errs[0]), byte(errs[1]), byte(errs[2])}, make([]byte, 3)) {
		t.Errorf("requests %v, errors %v", seen, errs)
	}
	c.Cut(rand.New(rand.NewPCG(1, 1)))
	after := c.Bytes(slots.Extent{Start: slots.BootStart, Size: int64(len(lost))})
	if n := bytes.Count(after, lost[:slots.Sector]); n == 0 || n >= 63 {
		t.Errorf("%d of 64 sectors in doubt are new", n)
	}
}

func TestServeRefuses(t *testing.T) {
	c := NewCard(1<<20, slots.State{Seq: 1, Good: slots.A})
	m, done := plug(t, c, func(Request) {})
	m.request(commandRead, 1<<40, slots.Sector, nil)
	if got := m.answer(); got != errorIO {
		t.Errorf("a read behind the end: %d", got)
	}
	m.request(4, 0, slots.Sector, nil) // trim
	if got := m.answer(); got != errorInvalid {
		t.Errorf("an unknown command: %d", got)
	}
	m.request(commandWrite, 0, slots.Sector, []byte("half of it"))
	m.conn.Close()
	if err := <-done; err != nil || len(c.doubt) != 0 {
		t.Errorf("switched off in a write: %v, %d sectors in doubt", err, len(c.doubt))
	}
}
