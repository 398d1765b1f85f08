package sip

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

var (
	// ErrTimeout ends a client transaction that nobody answered in 64*T1.
	ErrTimeout = errors.New("sip: no answer")
	// ErrTransport ends a client transaction whose message could not be sent
	// or whose connection broke.
	ErrTransport = errors.New("sip: transport failed")
	// ErrUnresolvable ends a client transaction whose destination has no address.
	ErrUnresolvable = errors.New("sip: destination has no address")
	// ErrCancelled ends an INVITE that was cancelled before it was sent.
	ErrCancelled = errors.New("sip: cancelled before it was sent")
	// ErrOverload refuses a request because MaxTransactions are open.
	ErrOverload = errors.New("sip: too many transactions")
	// ErrStopped refuses work after Run has been told to end.
	ErrStopped = errors.New("sip: endpoint has stopped")
	// ErrAnswered refuses a second final response.
	ErrAnswered = errors.New("sip: request is answered already")
)

// stopGrace bounds how long Run waits for its goroutines at the end.
const stopGrace = 3 * time.Second

// Handler takes a request. Requests of one Call-ID come one at a time, in the
// order of their arrival; a Handler must not block, or the rest of that call
// waits. An ACK for a 2xx comes with a nil tx. CANCEL never comes: see
// ServerTx.OnCancel.
type Handler func(req *gosip.Request, tx *ServerTx)

// Option changes how New builds an Endpoint.
type Option func(*Endpoint)

// WithNetwork opens the sockets on n instead of the operating system.
func WithNetwork(n Network) Option { return func(e *Endpoint) { e.net = n } }

// WithResolver asks r instead of the operating system's resolver.
func WithResolver(r Resolver) Option { return func(e *Endpoint) { e.dns = r } }

// WithTLS uses these TLS configurations instead of the files that Config names;
// either may be nil to keep what the files say.
func WithTLS(server, client *tls.Config) Option {
	return func(e *Endpoint) { e.tlsServer, e.tlsClient = server, client }
}

// WithAppliances asks f for the name of the appliance of the site that is reached at an address, "" for none. With
// Config.SiteCA TLS with it is mutual.
func WithAppliances(f func(netip.AddrPort) string) Option {
	return func(e *Endpoint) { e.appliance = f }
}

// WithHolder asks f which process has a socket that cannot be bound; "" is not known.
func WithHolder(f func(transport string, at netip.AddrPort) string) Option {
	return func(e *Endpoint) { e.holder = f }
}

// WithInterfaces asks f instead of the operating system for the addresses of an interface.
func WithInterfaces(f func(name string) ([]netip.Addr, error)) Option {
	return func(e *Endpoint) { e.ifaces = f }
}

// Endpoint sends and receives SIP. Make one with New, register handlers, then
// call Run; what is not marked "Before Run" may be called while Run runs, from any goroutine.
type Endpoint struct {
	// immutable after New
	cfg       Config
	log       *slog.Logger
	net       Network
	dns       Resolver
	ifaces    func(name string) ([]netip.Addr, error)
	holder    func(transport string, at netip.AddrPort) string
	tlsServer *tls.Config
	tlsClient *tls.Config
	pair      *pairFiles                  // nil without tls_cert
	site      *x509.CertPool              // nil without site_ca
	appliance func(netip.AddrPort) string // nil: no appliance of the site is known
	listeners []*listener
	secret    [16]byte // keys the To tags of stateless answers
	ready     chan struct{}

	// immutable from Run on
	onHealth  func(listen string, err error)
	handlers  map[string]Handler
	guard     func(req *gosip.Request, tx *ServerTx) bool // nil: everybody is let in
	supported []string
	accepts   []string
	events    []string

	order     *serial
	limit     *SourceLimit
	greetings *SourceLimit // of TLS
	count     counters
	running   sync.WaitGroup // every goroutine that Run owns

	mu           sync.Mutex // guards everything below
	begun        bool       // Run has been called
	runCtx       context.Context
	stopped      bool
	serverTxs    map[string]*ServerTx
	merged       map[string]string // RFC 3261 §8.2.2.2: identity of a request -> key of its transaction
	finished     []*ServerTx       // oldest first: answered, kept for retransmissions
	awaitingAck  map[ackKey]*pendingAck
	clientLegs   map[string]*clientLeg
	clientTxs    int
	acked        map[ackKey]*ClientTx // INVITEs in their accepted state, to repeat ACKs
	streams      map[streamKey]*streamConn
	dials        map[streamKey]*dial
	retired      map[*streamConn]*time.Timer  // dialled with a certificate that was renewed: only answers go there
	accepted     int                          // of streams: those that the far end opened
	datagramOnly map[netip.AddrPort]time.Time // peers that refused TCP for a large request
}

// New builds an endpoint; it opens nothing and starts nothing. The error names
// the configuration key that cannot work. A nil log logs nothing.
func New(cfg Config, log *slog.Logger, opts ...Option) (*Endpoint, error) {
	if log == nil {
		log = silent
	}
	e := &Endpoint{
		cfg: cfg, log: log,
		net: SystemNetwork(cfg.DSCP), dns: net.DefaultResolver, ifaces: interfaceAddrs,
		holder:       func(string, netip.AddrPort) string { return "" },
		ready:        make(chan struct{}),
		handlers:     make(map[string]Handler),
		serverTxs:    make(map[string]*ServerTx),
		merged:       make(map[string]string),
		awaitingAck:  make(map[ackKey]*pendingAck),
		clientLegs:   make(map[string]*clientLeg),
		acked:        make(map[ackKey]*ClientTx),
		streams:      make(map[streamKey]*streamConn),
		dials:        make(map[streamKey]*dial),
		retired:      make(map[*streamConn]*time.Timer),
		datagramOnly: make(map[netip.AddrPort]time.Time),
	}
	for _, o := range opts {
		o(e)
	}
	check := cfg
	if e.tlsServer != nil { // the files are then not needed
		check.TLSCert, check.TLSKey = "given", "given"
	}
	if err := check.Validate(); err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	if len(cfg.Listen) == 0 {
		return nil, errors.New("sip: listen: name at least one socket")
	}
	if err := e.loadTLS(); err != nil {
		return nil, err
	}
	for i, text := range cfg.Listen {
		s, err := parseListen(text)
		if err != nil {
			return nil, fmt.Errorf("sip: listen[%d]: %w", i, err)
		}
		e.listeners = append(e.listeners, newListener(e, s, fmt.Sprintf("listen[%d]", i)))
	}
	if _, err := rand.Read(e.secret[:]); err != nil {
		return nil, fmt.Errorf("sip: random source: %w", err)
	}
	e.order = newSerial(&e.running, cfg.MaxTransactions*2)
	e.limit = NewSourceLimit(cfg.MaxDatagramsPerSourcePerSecond, time.Second)
	e.greetings = NewSourceLimit(handshakesPerSecond, time.Second)
	return e, nil
}

// Handle registers the handler of a method. Methods without one are answered
// 405 with an Allow header that names the others. Before Run.
func (e *Endpoint) Handle(method string, h Handler) {
	e.register(func() { e.handlers[strings.ToUpper(method)] = h })
}

// Guard registers what sees every request outside a dialog before its handler does, in the same turn; it returns false
// when it has answered, as Authenticator.Check does. Requests inside a dialog, ACK, CANCEL and OPTIONS pass: who has the
// tags was let in. Before Run.
func (e *Endpoint) Guard(g func(req *gosip.Request, tx *ServerTx) bool) {
	e.register(func() { e.guard = g })
}

// OnHealth registers what hears about listeners: a nil error means that the
// listener works (again). f must not block. Before Run.
func (e *Endpoint) OnHealth(f func(listen string, err error)) {
	e.register(func() { e.onHealth = f })
}

// AddSupported adds an option tag that the appliance really obeys: it is then
// shown in Supported and accepted in Require. Before Run.
func (e *Endpoint) AddSupported(tag string) { e.addTo(&e.supported, tag) }

// AddAccept adds a body type that the answer to OPTIONS names in Accept. Before Run.
func (e *Endpoint) AddAccept(contentType string) { e.addTo(&e.accepts, contentType) }

// AddAllowEvent adds an event package that the answer to OPTIONS names in Allow-Events. Before Run.
func (e *Endpoint) AddAllowEvent(event string) { e.addTo(&e.events, event) }

func (e *Endpoint) addTo(list *[]string, v string) {
	e.register(func() {
		if !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	})
}

// register changes what Run and all that it starts then read without a lock.
func (e *Endpoint) register(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.begun {
		panic("sip: registered at an endpoint that runs")
	}
	change()
}

// Ready is closed when every listener is up that can be; the others are tried again.
func (e *Endpoint) Ready() <-chan struct{} { return e.ready }

// Run opens the listeners and serves until ctx ends; then it cuts everything
// and returns after its last goroutine (nil) or 3 s (an error). A listener that
// cannot be opened is told to OnHealth and tried again. Run returns at once only
// when none is up and one is taken or forbidden, with an error that names the
// address, its holder and the configuration key: a second process of the same
// configuration ends so. It may be called once.
func (e *Endpoint) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	e.begun = true
	e.mu.Unlock()
	if err := e.open(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	e.runCtx = ctx
	e.mu.Unlock()
	for _, l := range e.listeners {
		e.running.Go(func() { l.supervise(ctx) })
	}
	close(e.ready)
	<-ctx.Done()
	return e.stop()
}

// open binds every listener that can be bound. Of the others nothing leaves, and no Contact names them, until they are.
func (e *Endpoint) open(ctx context.Context) error {
	failed := make(map[*listener]error)
	var refused error
	for _, l := range e.listeners {
		err := l.open(ctx)
		if err == nil {
			continue
		}
		failed[l] = err
		// An address may come yet, as from a DHCP server that is slower than this.
		if refused == nil && !errors.Is(err, errNoAddress) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			refused = err
		}
	}
	if len(failed) == len(e.listeners) && refused != nil {
		return refused
	}
	for l, err := range failed {
		l.at.Store(&netip.AddrPort{})
		e.log.Error("sip listener cannot be opened yet", "listen", l.String(), "err", err)
		e.health(l.String(), err)
	}
	return nil
}

// stop cuts listeners, connections and transactions and waits for the goroutines.
func (e *Endpoint) stop() error {
	e.mu.Lock()
	e.stopped = true
	streams, servers, legs := e.snapshot()
	for _, p := range e.awaitingAck {
		p.timer.Stop()
	}
	clear(e.awaitingAck)
	e.mu.Unlock()
	e.order.close()
	for _, l := range e.listeners {
		l.close()
	}
	for _, c := range streams {
		c.fail(ErrStopped)
	}
	for _, tx := range servers {
		tx.end()
	}
	for _, leg := range legs {
		leg.inner.Terminate()
	}
	done := make(chan struct{})
	go func() {
		e.running.Wait()
		close(done)
	}()
	t := time.NewTimer(stopGrace)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return fmt.Errorf("sip: goroutines still busy %v after the stop", stopGrace)
	}
}

func (e *Endpoint) snapshot() (streams []*streamConn, servers []*ServerTx, legs []*clientLeg) {
	for _, c := range e.streams {
		streams = append(streams, c)
	}
	for c := range e.retired {
		streams = append(streams, c)
	}
	for _, tx := range e.serverTxs {
		servers = append(servers, tx)
	}
	for _, leg := range e.clientLegs {
		legs = append(legs, leg)
	}
	return streams, servers, legs
}

// start runs f as one of Run's goroutines, unless Run has not begun or has ended.
func (e *Endpoint) start(f func(ctx context.Context)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || e.runCtx == nil {
		return ErrStopped
	}
	ctx := e.runCtx
	e.running.Go(func() { f(ctx) })
	return nil
}

func (e *Endpoint) health(listen string, err error) {
	if e.onHealth != nil {
		e.onHealth(listen, err)
	}
}

// silent is the logger of sipgo's state machines, which would log whole messages.
var silent = slog.New(slog.DiscardHandler)
