package rtpio

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
)

// What Open can fail with beside the network's own errors.
var (
	ErrNoPort  = errors.New("rtpio: no free port pair in the range")
	ErrAddress = errors.New("rtpio: a session needs one local address, not a wildcard")
)

// rtcpReceiveBytes, which the kernel doubles, holds half a dozen of the largest compounds while the readers are elsewhere, and
// no more of a flood.
const rtcpReceiveBytes = 8 << 10

// Ports hands out port pairs. It goes round the range, so that a port rests as long as it can before
// another call gets it, and stragglers of the last call meet a closed port.
type Ports struct {
	network Network
	min     uint16 // lowest even port
	pairs   int
	dscp    atomic.Int32 // of sockets that are opened

	mu   sync.Mutex
	next int // guarded by mu: pair to try first
}

// Pair is the two sockets of a session.
type Pair struct {
	RTP  Conn
	RTCP Conn
	dscp int // of both
}

// NewPorts returns the pairs that lie wholly within min and max.
func NewPorts(n Network, min, max uint16, dscp int) *Ports {
	p := &Ports{network: n, min: min + min%2}
	p.dscp.Store(int32(dscp))
	p.pairs = (int(max) - int(p.min) + 1) / 2
	if p.pairs > 0 {
		p.next = rand.IntN(p.pairs)
	}
	return p
}

// Open binds the next free pair on a local address.
func (p *Ports) Open(local netip.Addr) (*Pair, error) {
	if !local.IsValid() || local.IsUnspecified() {
		return nil, fmt.Errorf("open %s: %w", local, ErrAddress)
	}
	for range p.pairs {
		p.mu.Lock()
		port := p.min + uint16(2*p.next)
		p.next = (p.next + 1) % p.pairs
		p.mu.Unlock()
		pair, err := p.OpenAt(netip.AddrPortFrom(local, port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		return pair, err
	}
	return nil, fmt.Errorf("open %s ports %d to %d: %w", local, p.min, int(p.min)+2*p.pairs-1, ErrNoPort)
}

// OpenAt binds a given pair, named by its RTP address.
func (p *Ports) OpenAt(rtp netip.AddrPort) (*Pair, error) {
	dscp := int(p.dscp.Load())
	a, err := p.network.Listen(rtp, Socket{DSCP: dscp})
	if err != nil {
		return nil, fmt.Errorf("open RTP port: %w", err)
	}
	// RFC 3550 §11: RTCP uses the next higher, odd port.
	b, err := p.network.Listen(netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1), Socket{DSCP: dscp, ReceiveBytes: rtcpReceiveBytes})
	if err != nil {
		a.Close()
		return nil, fmt.Errorf("open RTCP port: %w", err)
	}
	return &Pair{a, b, dscp}, nil
}

// SetDSCP marks the packets of pairs that are opened from now on, and of those that Mark is called with.
func (p *Ports) SetDSCP(dscp int) { p.dscp.Store(int32(dscp)) }

// Mark marks further packets of a pair as those of one that is opened now. Not for two goroutines at once.
func (p *Ports) Mark(pair *Pair) error {
	dscp := int(p.dscp.Load())
	if pair.dscp == dscp {
		return nil
	}
	pair.dscp = dscp
	return errors.Join(pair.RTP.Mark(dscp), pair.RTCP.Mark(dscp))
}

// Close frees both ports at once.
func (p *Pair) Close() error { return errors.Join(p.RTP.Close(), p.RTCP.Close()) }
