package rtpio

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
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
	// pollEvents sockets are taken in one wait: few, as the other reader shall have its part of a burst.
	pollEvents = 8
	// readers is how many goroutines Run waits with at most. A packet that comes while one of them is busy, or waits for its core,
	// is taken by the other. Measured with 200 relayed calls on two cores: p99 three quarters of what one reader has, in the normal
	// class and in a real-time class, for a fifth more processor time.
	readers = 2
	// wakePlace is the place of the eventfd that ends a wait.
	wakePlace = -1
)

// YieldAfter is how long a goroutine that never rests holds on to its processor. The runtime's monitor takes one that has run for
// 10 ms to task, in a system call or not, and looks every 20 us as long as it finds one: an eighth of a core with 200 relayed
// calls. Yielding before, at a time of one's own choice, costs next to nothing.
const YieldAfter = 8 * time.Millisecond

// Readers is how many goroutines read all sockets: two, or one on a single core. Each keeps a processor of the Go runtime
// while packets come.
func Readers() int { return min(readers, runtime.NumCPU()) }

// kernelPoller waits for all sockets with one epoll instance. A socket is given to one reader, which takes one datagram and
// gives it back (EPOLLONESHOT), so that a socket that is flooded delays the others by one packet.
type kernelPoller struct {
	pages [pageCount]atomic.Pointer[page]

	mu    sync.Mutex
	epoll int   // guarded by mu until Run; -1 when closed
	wake  int   // guarded by mu: eventfd
	err   error // guarded by mu: of making them
	free  []int // guarded by mu: places
	made  int   // guarded by mu: places that were ever taken
}

// reader is one goroutine of Run.
type reader struct {
	// immutable
	poller *kernelPoller
	epoll  int

	events  [pollEvents]unix.EpollEvent
	from    sockaddr
	iov     unix.Iovec
	header  unix.Msghdr
	control [128]byte
	clocks  clocks
	buf     [MaxDatagram + Spare]byte
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
	if err := await(p.epoll, unix.EPOLL_CTL_ADD, k); err != nil {
		k.poller.Store(nil)
		p.leave(k)
		return fmt.Errorf("poll %s: %w", c.LocalAddr(), err)
	}
	return nil
}

// await has the next datagram of a socket given to one reader.
func await(epoll int, op uintptr, c *kernelConn) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(c.place)}
	// Without the runtime's knowledge: it does not block.
	if _, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), op, uintptr(c.fd), uintptr(unsafe.Pointer(&e)), 0, 0); errno != 0 {
		return errno
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
	ctx, end := context.WithCancel(ctx)
	defer end()
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
	errs := make([]error, Readers())
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			defer end() // one that fails ends the others
			errs[i] = (&reader{poller: p, epoll: epoll}).run(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (r *reader) run(ctx context.Context) error {
	r.iov.Base, r.iov.Len = &r.buf[0], MaxDatagram
	r.header.Name, r.header.Iov = (*byte)(unsafe.Pointer(&r.from)), &r.iov
	r.header.SetIovlen(1)
	r.header.Control = &r.control[0]
	r.clocks.age(readClocks(), 0) // what came before this moment is taken for new
	for yielded := time.Now(); ctx.Err() == nil; {
		if now := time.Now(); now.Sub(yielded) > YieldAfter {
			runtime.Gosched()
			yielded = now
		}
		n, err := unix.EpollWait(r.epoll, r.events[:], -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("poller: %w", err)
		}
		for i := range max(n, 0) {
			if place := r.events[i].Fd; place != wakePlace {
				if c := r.poller.at(int(place)).Load(); c != nil {
					r.receive(c)
				}
			}
		}
	}
	return nil
}

// receive takes one datagram.
func (r *reader) receive(c *kernelConn) {
	// An event that was old may name a socket that the other reader has: then that one asks for what is left.
	if !c.reading.CompareAndSwap(false, true) {
		return
	}
	if !c.acquire() {
		return
	}
	r.header.Namelen = uint32(unsafe.Sizeof(r.from))
	r.header.SetControllen(len(r.control))
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&r.header)), unix.MSG_DONTWAIT)
	c.release()
	if errno == 0 { // else an error that an ICMP message left, and that reading has taken away
		c.receiver.Receive(r.buf[:n], r.from.addr(), r.age())
	}
	c.reading.Store(false) // before the next one is given to anybody
	if c.acquire() {
		_ = await(r.epoll, unix.EPOLL_CTL_MOD, c) // nothing that it could refuse: the socket is known to it
		c.release()
	}
}

// age returns how long ago the kernel took the datagram that was read last.
func (r *reader) age() time.Duration {
	at, ok := stamp(r.control[:r.header.Controllen])
	if !ok {
		return 0
	}
	return r.clocks.age(readClocks(), at)
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
