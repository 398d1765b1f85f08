// Package client talks to the API of a running appliance (package parkd/panel), over its unix socket or the network. It is
// what parkctl, the first process of an image, the demonstration and the tests use. It starts no goroutine; a stream is read by
// its caller.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"parklamp/parkd/panel"
)

const (
	dialTimeout = 3 * time.Second
	askTimeout  = 10 * time.Second // longer than any key press
	maxAnswer   = 8 << 20          // bytes of an answer or an event
	maxRefusal  = 4 << 10          // bytes of an error's text
)

// ErrNoSocket: there is no socket to ask on.
var ErrNoSocket = errors.New("the socket does not exist; is phoned running?")

// Refusal is an answer of the appliance that is no success.
type Refusal struct {
	Code int    // of HTTP
	Text string // for people
}

func (r *Refusal) Error() string { return r.Text }

// Client talks to one appliance. Its methods may be called from any goroutine.
type Client struct {
	http   *http.Client
	base   string // of its addresses
	socket string // or the panel's address; for messages
}

// Socket returns a client of the appliance behind a unix socket.
func Socket(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", path)
	}
	return Through(path, dial)
}

// Through returns a client of an appliance that a function of its own reaches; name is for messages.
func Through(name string, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, base: "http://parklamp", socket: name}
}

// Panel returns a client of the appliance whose panel is at base, such as http://192.0.2.7:8080.
func Panel(base string) *Client {
	return &Client{http: &http.Client{Transport: PanelTransport()}, base: base, socket: base}
}

// PanelTransport is the way to a panel: straight, by no proxy that the environment names, since it is a neighbour in the site.
func PanelTransport() *http.Transport {
	dial := (&net.Dialer{Timeout: dialTimeout}).DialContext
	return &http.Transport{DialContext: dial, DisableKeepAlives: true, ExpectContinueTimeout: time.Second}
}

// open sends a request; the body of its answer is to be closed. An answer that
// is no success is an error.
func (c *Client) open(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &e) != nil || e.Error == "" {
		doubt := "is the port right?"
		if !c.panel() {
			doubt = "is that phoned's socket?" // the first process of an image has another
		}
		e.Error = fmt.Sprintf("%s answers %s, as no appliance does: %s", c.socket, res.Status, doubt)
	}
	return nil, &Refusal{res.StatusCode, e.Error}
}

// panel says whether the appliance is asked over its panel, not over a socket.
func (c *Client) panel() bool { return c.socket == c.base }

func (c *Client) explain(err error) error { return Explain(c.socket, c.panel(), err) }

// Explain says what to do about a request that an appliance did not answer: where is its socket, or the address of its panel.
func Explain(where string, panel bool, err error) error {
	dns, op := (*net.DNSError)(nil), (*net.OpError)(nil)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("no appliance on %s: nobody knows a host of that name; give its address", where)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no appliance on %s: %w", where, ErrNoSocket)
	case errors.Is(err, syscall.ECONNREFUSED) && panel:
		return fmt.Errorf("no appliance on %s: nobody listens there; panel.listen of its configuration opens the panel to others", where)
	case errors.Is(err, syscall.ECONNREFUSED) && !isSocket(where):
		return fmt.Errorf("no appliance on %s: that is no socket; 'parkctl status' without --socket asks the one of this machine", where)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no appliance on %s: nobody listens there; phoned has stopped", where)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no access to %s: be root or in the group of that file", where)
	case errors.As(err, &op) && op.Op == "dial" && op.Timeout(), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Errorf("no appliance on %s: nothing answers at that address; is it switched on, in this network, and is the address right?", where)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the appliance on %s did not answer in time", where)
	}
	if request := (*url.Error)(nil); errors.As(err, &request) { // it would repeat the address
		err = request.Err
	}
	if panel && op == nil { // an answer came, or an end in place of one
		return fmt.Errorf("ask %s: %w; is that the panel of an appliance?", where, err)
	}
	return fmt.Errorf("ask %s: %w", where, err)
}

// isSocket says whether somebody may listen at path, as far as can be seen.
func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.Mode().Type() == fs.ModeSocket
}

// Get returns the answer to GET /api/path.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	res, err := c.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, c.explain(err)
	}
	return text, nil
}

// Post sends body as JSON to /api/path.
func (c *Client) Post(ctx context.Context, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	res, err := c.open(ctx, http.MethodPost, path, text)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Status asks for everything that can be seen.
func (c *Client) Status(ctx context.Context) (panel.Status, error) {
	var s panel.Status
	text, err := c.Get(ctx, "status")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("status of %s: %w", c.socket, err)
	}
	return s, nil
}

// Events hands each Status to f, as it came, until ctx ends, the appliance
// stops or f fails. It returns nil only when the appliance ended it.
func (c *Client) Events(ctx context.Context, f func(data []byte) error) error {
	res, err := c.open(ctx, http.MethodGet, "events", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxAnswer)
	for lines.Scan() {
		if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			if err := f(data); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("events of %s: one of more than %d bytes", c.socket, maxAnswer)
	}
	return nil
}

// Press moves or taps a key.
func (c *Client) Press(ctx context.Context, key string, action panel.Action) error {
	return c.Post(ctx, "press", map[string]any{"key": key, "action": action})
}

// Hook lifts (up) or replaces the handset.
func (c *Client) Hook(ctx context.Context, up bool) error {
	return c.Post(ctx, "hook", map[string]any{"up": up})
}

// Dial presses digit keys.
func (c *Client) Dial(ctx context.Context, digits string) error {
	return c.Post(ctx, "dial", map[string]any{"digits": digits})
}

// errSeen ends Events without an error.
var errSeen = errors.New("seen")

// Watch calls see with the present status and with each later one, until ctx ends or see returns false; both are no
// error. The end of the appliance is io.ErrUnexpectedEOF.
func (c *Client) Watch(ctx context.Context, see func(panel.Status) bool) error {
	err := c.Events(ctx, func(data []byte) error {
		var s panel.Status
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("status of %s: %w", c.socket, err)
		}
		if !see(s) {
			return errSeen
		}
		return nil
	})
	switch {
	case errors.Is(err, errSeen), ctx.Err() != nil:
		return nil
	case err == nil:
		return io.ErrUnexpectedEOF
	}
	return err
}

// Await watches until a status fits, and returns it. The error after limit names what was awaited and what was last seen
// of it.
func (c *Client) Await(ctx context.Context, limit time.Duration, what string, fits func(panel.Status) bool) (panel.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last panel.Status
	found := false
	err := c.Watch(ctx, func(s panel.Status) bool {
		last, found = s, fits(s)
		return !found
	})
	if found {
		return last, nil
	}
	if err == nil {
		err = fmt.Errorf("not within %v", limit)
	}
	return last, fmt.Errorf("await %s: %w", what, err)
}

// Listen returns what the handset hears from now on: 8 kHz mono samples, until ctx ends or hear returns false.
func (c *Client) Listen(ctx context.Context, hear func([]int16) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	res, err := c.open(ctx, http.MethodGet, "listen", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	const header = 44 // a WAV header of no extra chunks
	if _, err := io.CopyN(io.Discard, res.Body, header); err != nil {
		return err
	}
	frame := make([]byte, 320)
	for {
		if _, err := io.ReadFull(res.Body, frame); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		pcm := make([]int16, len(frame)/2)
		for i := range pcm {
			pcm[i] = int16(binary.LittleEndian.Uint16(frame[2*i:]))
		}
		if !hear(pcm) {
			return nil
		}
	}
}

// SelfTest starts a self test and hands each of its events to f, as it came, until it has ended, ctx ends (which ends the
// test) or f fails.
func (c *Client) SelfTest(ctx context.Context, r panel.SelfTestRequest, f func(event []byte) error) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	res, err := c.open(ctx, http.MethodPost, "selftest", body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxAnswer)
	for lines.Scan() {
		if err := f(lines.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return lines.Err()
}
