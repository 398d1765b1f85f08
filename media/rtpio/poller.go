package rtpio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrTooMany: a Poller has no place for another Conn.
var ErrTooMany = errors.New("rtpio: too many sockets in one poller")

const (
	pageSize  = 256
	pageCount = 128 // 32,768 sockets
	// pollEvents sockets are looked at after one wait.
	pollEvents = 128
	// wakePlace is the place of the eventfd that ends a wait.
	wakePlace = -1
	// yieldAfter is how long Run holds on to its processor. The runtime's monitor takes a goroutine that has run for 10 ms to
	// task, in a system call or not, and looks every 20 us as long as it finds one: an eighth of a core with 200 relayed
	// calls. Yielding before costs next to nothing.
	yieldAfter = 8 * time.Millisecond
	// oldest is the greatest age that is believed: more is a step of the system's clock.
	oldest = 100 * time.Millisecond
)

// kernelPoller waits for all sockets with one epoll instance. It is level-triggered and takes one datagram of a socket
// after each wait, so that a socket that is flooded delays the others by one packet.
type kernelPoller struct {
	pages [pageCount]atomic.Pointer[page]

	// owned by Run
	events  [pollEvents]unix.EpollEvent
	from    sockaddr
	iov     unix.Iovec
	header  unix.Msghdr
	control [128]byte
	buf     [MaxDatagram + Spare]byte

	mu    sync.Mutex
	epoll int   // guarded by mu until Run; -1 when closed
	wake  int   // guarded by mu: eventfd
	err   error // guarded by mu: of making them
	free  []int // guarded by mu: places
	made  int   // guarded by mu: places that were ever taken
}

type page [pageSize]atomic.Pointer[kernelConn]

var _ Poller = (*kernelPoller)(nil)

func newKernelPoller() *kernelPoller { return &kernelPoller{epoll: -1, wake: -1} }

// open makes what waits. The caller holds p.mu.
func (p *kernelPoller) open() error {
	if p.epoll >= 0 || p.err != nil {
		return p.err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("poller: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return fmt.Errorf("poller: %w", err)
	}
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakePlace}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &e); err != nil {
		unix.Close(epoll)
		unix.Close(wake)
		return fmt.Errorf("poller: %w", err)
	}
	p.epoll, p.wake = epoll, wake
	return nil
}

// Add is Poller's.
func (p *kernelPoller) Add(c Conn, r Receiver) error {
	k, ok := c.(*kernelConn)
	if !ok {
		return fmt.Errorf("poll %s: %T is of another network", c.LocalAddr(), c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(); err != nil {
		return err
	}
	if len(p.free) == 0 && p.made == pageSize*pageCount {
		return ErrTooMany
	}
	if !k.acquire() {
		return net.ErrClosed
	}
	defer k.release()
	k.place = p.made
	if n := len(p.free); n > 0 {
		k.place, p.free = p.free[n-1], p.free[:n-1]
	} else if p.made++; k.place%pageSize == 0 {
		p.pages[k.place/pageSize].Store(new(page))
	}
	k.receiver = r
	k.poller.Store(p)
	p.at(k.place).Store(k)
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(k.place)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, k.fd, &e); err != nil {
		k.poller.Store(nil)
		p.leave(k)
		return fmt.Errorf("poll %s: %w", c.LocalAddr(), err)
	}
	return nil
}

func (p *kernelPoller) at(place int) *atomic.Pointer[kernelConn] {
	return &p.pages[place/pageSize].Load()[place%pageSize]
}

// leave frees a place. An event that still names it meets nobody, or another socket that has nothing to be read. The
// caller holds p.mu.
func (p *kernelPoller) leave(c *kernelConn) {
	if p.at(c.place).CompareAndSwap(c, nil) {
		p.free = append(p.free, c.place)
	}
}

// forget is called by a Conn that is being closed; the kernel takes it out of epoll by itself.
func (p *kernelPoller) forget(c *kernelConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(c)
}

// Run is Poller's.
func (p *kernelPoller) Run(ctx context.Context) error {
	p.mu.Lock()
	err := p.open()
	epoll, wake := p.epoll, p.wake
	p.mu.Unlock()
	if err != nil {
		return err
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		// Only a full counter could refuse it, and that wakes as well.
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-woken
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.epoll, p.err = -1, net.ErrClosed
		unix.Close(epoll)
		unix.Close(wake)
	}()
	p.iov.Base, p.iov.Len = &p.buf[0], MaxDatagram
	p.header.Name, p.header.Iov = (*byte)(unsafe.Pointer(&p.from)), &p.iov
	p.header.SetIovlen(1)
	p.header.Control = &p.control[0]
	for yielded := time.Now(); ctx.Err() == nil; {
		if now := time.Now(); now.Sub(yielded) > yieldAfter {
			Yield()
			yielded = now
		}
		n, err := unix.EpollWait(epoll, p.events[:], -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("poller: %w", err)
		}
		for i := range max(n, 0) {
			if place := p.events[i].Fd; place != wakePlace {
				if c := p.at(int(place)).Load(); c != nil {
					p.receive(c)
				}
			}
		}
	}
	return nil
}

// receive takes one datagram.
func (p *kernelPoller) receive(c *kernelConn) {
	if !c.acquire() {
		return
	}
	p.header.Namelen = uint32(unsafe.Sizeof(p.from))
	p.header.SetControllen(len(p.control))
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&p.header)), unix.MSG_DONTWAIT)
	c.release()
	if errno != 0 {
		return // read by nobody else: an error that an ICMP message left, and that reading has taken away
	}
	c.receiver.Receive(p.buf[:n], p.from.addr(), p.age())
}

// age returns how long ago the kernel took the datagram that was read last.
func (p *kernelPoller) age() time.Duration {
	at, ok := stamp(p.control[:p.header.Controllen])
	if !ok {
		return 0
	}
	if d := time.Duration(time.Now().UnixNano() - at); d > 0 && d < oldest {
		return d
	}
	return 0
}

// stamp finds the kernel's time of arrival in control messages, in nanoseconds of the system's clock (socket(7), cmsg(3)).
func stamp(oob []byte) (int64, bool) {
	const header = int(unsafe.Sizeof(unix.Cmsghdr{}))
	for len(oob) >= header {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0])) // the kernel aligns it
		size := int(h.Len)
		if size < header || size > len(oob) {
			return 0, false
		}
		// Two 64-bit numbers on every architecture.
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS_NEW && size >= header+16 {
			s := int64(binary.NativeEndian.Uint64(oob[header:]))
			ns := int64(binary.NativeEndian.Uint64(oob[header+8:]))
			return s*int64(time.Second) + ns, true
		}
		oob = oob[min(unix.CmsgSpace(size-header), len(oob)):]
	}
	return 0, false
}
