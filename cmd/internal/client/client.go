// Package client talks to the API of a running appliance (package parkd/panel), over its unix socket or over HTTP. It
// is what parkctl, the demonstration and the tests use. It starts no goroutine; a stream is read by its caller.
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
	"net"
	"net/http"
	"strings"
	"time"

	"parklamp/parkd/panel"
)

// Limits of what an appliance may send.
const (
	maxEvent = 4 << 20 // bytes of one status
	maxError = 4 << 10
)

// ErrNoAppliance says that nothing answers at the address.
var ErrNoAppliance = errors.New("no appliance answers")

// Client talks to one appliance. Its methods may be called from any goroutine.
type Client struct {
	base string
	http *http.Client
}

// Socket returns a client of the appliance behind a unix socket.
func Socket(path string) *Client {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	return &Client{base: "http://localhost", http: &http.Client{Transport: t}}
}

// HTTP returns a client of the appliance whose panel listens at host:port.
func HTTP(address string) *Client {
	return &Client{base: "http://" + address, http: &http.Client{Transport: &http.Transport{}}}
}

// Close gives back the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		text = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, text)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("%w: %w", ErrNoAppliance, op)
		}
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	var said struct{ Error string }
	if json.NewDecoder(io.LimitReader(res.Body, maxError)).Decode(&said) == nil && said.Error != "" {
		return nil, errors.New(said.Error)
	}
	return nil, fmt.Errorf("%s %s: %s", method, path, res.Status)
}

func (c *Client) post(ctx context.Context, path string, body any) error {
	res, err := c.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Press moves or taps a key.
func (c *Client) Press(ctx context.Context, key string, action panel.Action) error {
	return c.post(ctx, "/api/press", map[string]any{"key": key, "action": action})
}

// Hook lifts (up) or replaces the handset.
func (c *Client) Hook(ctx context.Context, up bool) error {
	return c.post(ctx, "/api/hook", map[string]any{"up": up})
}

// Dial presses digit keys.
func (c *Client) Dial(ctx context.Context, digits string) error {
	return c.post(ctx, "/api/dial", map[string]any{"digits": digits})
}

// Status asks for everything that can be seen.
func (c *Client) Status(ctx context.Context) (panel.Status, error) {
	var s panel.Status
	res, err := c.do(ctx, http.MethodGet, "/api/status", nil)
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	return s, json.NewDecoder(io.LimitReader(res.Body, maxEvent)).Decode(&s)
}

// Watch calls see with the present status and with each later one, until ctx ends or see returns false. Its error is
// nil in these two cases.
func (c *Client) Watch(ctx context.Context, see func(panel.Status) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	res, err := c.do(ctx, http.MethodGet, "/api/events", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 64<<10), maxEvent)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var s panel.Status
		if err := json.Unmarshal([]byte(data), &s); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if !see(s) {
			return nil
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
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
	res, err := c.do(ctx, http.MethodGet, "/api/listen", nil)
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
