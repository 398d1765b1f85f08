// Package panel is the appliance seen from outside: an HTTP API over TCP and
// over a unix socket, live events, the sound of the handset, and a page that
// draws the phone in a browser.
//
//	GET  /               the page
//	GET  /api/status     Status as JSON
//	GET  /api/orbits     its orbits    GET /api/calls  its calls
//	GET  /api/events     Status again after every change, as server-sent events
//	GET  /api/listen     what the handset hears, a WAV stream without end
//	POST /api/press      {"key":"park","action":"tap"}   down, up, tap or long
//	POST /api/hook       {"up":true}
//	POST /api/dial       {"digits":"0123"}
//	POST /api/selftest   {"steps":["keys"]}   a self test, as a stream of JSON lines; GET /api/selftest/reports[/NAME]
//	GET  /api/update     how far an update of the system is; 204 where there is none
//	POST /api/update     a signed bundle (application/octet-stream); answers when it is written and read back
//	POST /api/update/check  the beginning of one, its signed head at least (no more than 8 KiB); answers whether it would be taken
//
// A POST answers 204 once it has been done, else a JSON object {"error":"…"}.
// Whoever wants to restart the program waits for the calls that are not kept:
// a restart would end them, or what somebody is doing with them. Whoever wants
// to restart the machine waits also for the parked ones that are not movable:
// no other appliance would take them over.
//
// The package never decides anything: it shows what the Backend says and hands
// on what people press. It authenticates nobody. Over TCP it refuses foreign
// pages (Origin, Sec-Fetch-Site) and foreign names (Host); the socket is
// guarded by its file mode.
//
// Run starts an accepting goroutine for each listener, one that owns the keys
// held down (hand) and one that encodes events for all readers (hub), besides
// those of net/http for each connection; all of them end before Run returns.
//
// Standards: HTTP semantics RFC 9110, server-sent events of the HTML standard
// §9.2, WAV PCM as in RFC 2361 (format 1).
package panel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Times of the HTTP server.
const (
	headerTimeout = 5 * time.Second  // to send a request's head
	bodyTimeout   = 10 * time.Second // to send a request and to take a short answer
	idleTimeout   = 2 * time.Minute  // between requests of a connection
	writeTimeout  = 5 * time.Second  // for a reader of a stream to take one piece
	stopTimeout   = time.Second      // for requests to end when the server stops
	maxHeader     = 16 << 10         // bytes of a request's head
)

// A TCP listener that cannot be had is tried again after this time, doubling to the maximum.
const (
	reopenFirst = 100 * time.Millisecond
	reopenMax   = 5 * time.Second
)

// Server serves one Backend. Make it with New.
type Server struct {
	// immutable
	cfg     Config
	backend Backend
	log     *slog.Logger
	hand    *hand
	hub     *hub
	streams chan struct{} // capacity MaxStreams; full: 503
	ears    chan struct{} // capacity MaxListeners; full: 503
	ready   chan struct{} // closed when the socket is up and TCP was tried

	holder  func(netip.AddrPort) string // set before Run
	listens func(error)                 // set before Run
	updater http.Handler                // set before Run; nil: 404
	updates chan struct{}               // capacity 1: an upload; full: 503

	addr netip.AddrPort // set before ready is closed, then immutable
}

// New returns a server of b that is not yet running. The configuration must
// be valid.
func New(cfg Config, b Backend, log *slog.Logger) *Server {
	return &Server{
		cfg:     cfg,
		backend: b,
		log:     log,
		hand:    newHand(b, cfg.MaxHold),
		hub:     newHub(b),
		streams: make(chan struct{}, cfg.MaxStreams),
		ears:    make(chan struct{}, cfg.MaxListeners),
		ready:   make(chan struct{}),
		holder:  func(netip.AddrPort) string { return "" },
		listens: func(error) {},
		updates: make(chan struct{}, 1),
	}
}

// NameHolders asks f which process has a port that is taken; "" is not known. Before Run.
func (s *Server) NameHolders(f func(tcp netip.AddrPort) string) { s.holder = f }

// OnListener tells f of the TCP listener: a *ListenError while it cannot be had, nil when it is up. f must not block. Before Run.
func (s *Server) OnListener(f func(error)) { s.listens = f }

// UpdateBy hands requests of /api/update and /api/update/check to h, which decides by the bundle's signature who may update. Before Run.
func (s *Server) UpdateBy(h http.Handler) { s.updater = h }

// Ready is closed when the socket is up and the TCP listener too, if it could be had.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr returns the address of the TCP listener once Ready is closed; the zero
// value if there is none, or none could be had by then.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Run opens the listeners and serves until ctx ends, then returns nil. A socket
// that cannot be had is a *ListenError: another appliance may be using it. The
// TCP listener is told to OnListener then and tried again, as the phone works
// without it. Run can be called once.
func (s *Server) Run(ctx context.Context) error {
	var doors []*door
	routes := s.routes()
	if s.cfg.Socket != "" {
		l, err := listenSocket(s.cfg.Socket)
		if err != nil {
			return &ListenError{Address: s.cfg.Socket, Key: "panel.socket", Err: err}
		}
		doors = append(doors, &door{listener: l, handler: routes})
	}
	if s.cfg.offered() {
		l := s.bind()
		if l != nil {
			s.addr = l.Addr().(*net.TCPAddr).AddrPort()
		}
		doors = append(doors, &door{listener: l, handler: guard(s.cfg.Hosts, routes), again: s.bind})
	}
	return s.serve(ctx, doors)
}

// bind opens the TCP listener; nil if that cannot be had now.
func (s *Server) bind() net.Listener {
	l, err := net.Listen("tcp", s.cfg.Listen.String())
	if err != nil {
		s.listens(&ListenError{Address: s.cfg.Listen.String(), Key: "panel.listen", Holder: s.holder(s.cfg.Listen), Err: err})
		return nil
	}
	s.listens(nil)
	return l
}

// door is a listener and what is behind it.
type door struct {
	listener net.Listener
	handler  http.Handler
	again    func() net.Listener // opens it; nil: it is there from the start
}

// open waits until there is a listener; nil when ctx ended first.
func (d *door) open(ctx context.Context) net.Listener {
	for wait := reopenFirst; d.listener == nil; wait = min(2*wait, reopenMax) {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		d.listener = d.again()
	}
	return d.listener
}

// serve runs everything until ctx ends or a door fails, and closes the doors.
func (s *Server) serve(ctx context.Context, doors []*door) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.hand.run(ctx) })
	wg.Go(func() { s.hub.run(ctx) })
	failed := make(chan error, len(doors)) // one error for each door, never blocks
	servers := make([]*http.Server, len(doors))
	for i, d := range doors {
		servers[i] = s.httpServer(ctx, d.handler)
		wg.Go(func() {
			if l := d.open(ctx); l != nil {
				failed <- servers[i].Serve(netutil.LimitListener(l, s.cfg.MaxConnections)) // closes l, also when it was shut down before
			}
		})
	}
	close(s.ready)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serve panel: %w", err)
	}
	stop() // ends the streams, whose contexts descend from ctx
	for _, srv := range servers {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		if srv.Shutdown(end) != nil {
			srv.Close()
		}
		cancel()
	}
	wg.Wait()
	return err
}

func (s *Server) httpServer(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      bodyTimeout, // streams set their own
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// ListenError says which listener could not be opened, and what to do.
type ListenError struct {
	Address string // address and port, or path of the socket
	Key     string // configuration key to change
	Holder  string // process that has the port, "nginx (pid 812)", if it could be found
	Err     error
}

// Error names the address, who holds it and the key to change.
func (e *ListenError) Error() string {
	err := e.Err
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	text := fmt.Sprintf("panel: listen on %s: %v", e.Address, err)
	if e.Holder != "" {
		text += ", held by " + e.Holder
	}
	return text + "; change " + e.Key + " in the configuration"
}

// Unwrap returns the error of the system.
func (e *ListenError) Unwrap() error { return e.Err }
