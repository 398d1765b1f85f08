package panel

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
)

// start runs a server of b on a free port of loopback until the test ends.
func start(t *testing.T, b Backend) *Server {
	t.Helper()
	cfg := Default()
	cfg.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	cfg.Socket = ""
	s := New(cfg, b, slog.New(slog.DiscardHandler))
	run(t, s)
	return s
}

// run runs s until the test ends.
func run(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- err
		t.Fatalf("Run ended at once: %v", err)
	}
}

// pipes is a listener without a network: each dial is a net.Pipe.
type pipes struct {
	conns  chan net.Conn // capacity 0
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bench is a server in a synctest bubble with its backend and a client.
type bench struct {
	*http.Client
	t      *testing.T
	server *Server
	phone  *fakePhone
	stop   func()
}

// onBench runs test with a server in a bubble, where time is not real.
func onBench(t *testing.T, change func(*Config), test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		if change != nil {
			change(&cfg)
		}
		phone := newFakePhone()
		s := New(cfg, phone, slog.New(slog.DiscardHandler))
		net := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.serve(ctx, []*door{{listener: net, handler: guard(cfg.Hosts, s.routes())}}) }()
		<-s.Ready()
		transport := &http.Transport{DialContext: net.dial}
		stopped := false
		b := &bench{&http.Client{Transport: transport}, t, s, phone, func() {
			if stopped {
				return
			}
			stopped = true
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("serve: %v", err)
			}
		}}
		test(b)
		b.stop()
		transport.CloseIdleConnections()
	})
}

// ask sends a request and returns the code and the body. A body makes it a POST
// of JSON.
func (b *bench) ask(path, body string, heads ...string) (int, string) {
	b.t.Helper()
	res := b.open(path, body, heads...)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatalf("read %s: %v", path, err)
	}
	return res.StatusCode, strings.TrimSpace(string(text))
}

// open is ask with the body still to be read.
func (b *bench) open(path, body string, heads ...string) *http.Response {
	b.t.Helper()
	method := "GET"
	if body != "" {
		method = "POST"
	}
	req, err := http.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range heads {
		name, value, _ := strings.Cut(h, ": ")
		if req.Header.Set(name, value); name == "Host" {
			req.Host = value
		}
	}
	res, err := b.Do(req)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res
}

// did returns what was done to the phone since the last call.
func (b *bench) did() string {
	b.phone.mu.Lock()
	defer b.phone.mu.Unlock()
	s := strings.Join(b.phone.presses, ", ")
	b.phone.presses = nil
	return s
}

// nextEvent reads one server-sent event with a Status.
func nextEvent(t *testing.T, r *bufio.Reader) (id string, s Status) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("read event: %v", err)
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "id":
			id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &s); err != nil {
				t.Fatalf("event %s: %v", id, err)
			}
		case "":
			return id, s
		}
	}
}
