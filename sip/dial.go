package sip

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
)

// dial is a connection that is coming up; everyone who wants it waits on done.
type dial struct {
	done chan struct{}
	conn *streamConn
	err  error
}

// stream returns the connection to remote, dialling it when there is none. It
// blocks for at most DialTimeout; callers together dial once.
func (e *Endpoint) stream(ctx context.Context, l *listener, remote netip.AddrPort, serverName string) (*streamConn, error) {
	key := streamKey{l.spec.kind, l.addr().Addr(), remote}
	old := e.existing(l, remote)
	if !e.renewed(old) {
		old = nil
	}
	e.mu.Lock()
	if c := e.streams[key]; c != nil && c != old {
		e.mu.Unlock()
		return c, nil
	}
	d := e.dials[key]
	mine := d == nil
	if mine {
		d = &dial{done: make(chan struct{})}
		e.dials[key] = d
	}
	e.mu.Unlock()
	if mine {
		// On its own goroutine: a caller that gives up must not end it for the others.
		err := e.start(func(ctx context.Context) { e.dial(ctx, d, key, l, serverName) })
		if err != nil {
			d.err = err
			e.mu.Lock()
			delete(e.dials, key)
			e.mu.Unlock()
			close(d.done)
		}
	}
	select {
	case <-d.done:
		return d.conn, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *Endpoint) dial(ctx context.Context, d *dial, key streamKey, l *listener, serverName string) {
	d.conn, d.err = e.connect(ctx, l, key.remote, serverName)
	e.mu.Lock()
	delete(e.dials, key)
	e.mu.Unlock()
	close(d.done)
}

func (e *Endpoint) connect(ctx context.Context, l *listener, remote netip.AddrPort, serverName string) (*streamConn, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.DialTimeout)
	defer cancel()
	conn, err := e.net.Dial(ctx, l.addr().Addr(), remote)
	if err != nil {
		return nil, err
	}
	var shown *tls.Certificate
	if l.spec.kind == kindTLS {
		var cfg *tls.Config
		if cfg, shown, err = e.clientTLS(remote, serverName); err != nil {
			_ = conn.Close()
			return nil, err
		}
		tc := tls.Client(conn, cfg)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("tls with %s: %w", remote, err)
		}
		conn = tc
	}
	c, err := e.adopt(l, conn, shown, true)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// existing returns an open connection to remote without dialling, or nil.
func (e *Endpoint) existing(l *listener, remote netip.AddrPort) *streamConn {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.streams[streamKey{l.spec.kind, l.addr().Addr(), remote}]
}
