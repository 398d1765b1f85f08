package initapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"time"
)

// What Restart may name.
const (
	Phoned    = "phoned"
	Appliance = "appliance"
	Idle      = "idle" // when no call is there
	Now       = "now"
)

// Restart asks for a restart. The answer comes at once, the restart when it is time.
type Restart struct {
	Service string `json:"service"`
	When    string `json:"when"`
}

// Validate says what is wrong with a request.
func (r Restart) Validate() error {
	var all []error
	if r.Service != Phoned && r.Service != Appliance {
		all = append(all, fmt.Errorf("service: %q: want %s or %s", r.Service, Phoned, Appliance))
	}
	if r.When != Idle && r.When != Now {
		all = append(all, fmt.Errorf("when: %q: want %s or %s", r.When, Idle, Now))
	}
	return errors.Join(all...)
}

const (
	askFor    = 10 * time.Second
	maxAnswer = 1 << 20 // bytes
)

// ErrNoInit says that this machine's first process is none of ours.
var ErrNoInit = errors.New("initapi: the first process of this machine is none of Parklamp's image")

// Client talks with the first process. Its methods may be called from any goroutine.
type Client struct {
	http *http.Client
}

// NewClient makes a client of the socket at a path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Do sends a request with a body and decodes the answer. An answer that is no success is an error with its text.
func (c *Client) Do(ctx context.Context, method, path string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://init"+path, body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoInit
	}
	if err != nil {
		return fmt.Errorf("ask the first process: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask the first process: %w", err)
	}
	if res.StatusCode >= 300 {
		var e struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(text, &e) != nil || e.Error == "" {
			e.Error = res.Status
		}
		return errors.New(e.Error)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// Status asks for everything.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return s, c.Do(ctx, http.MethodGet, "/status", nil, &s)
}

// Log asks for the last n lines.
func (c *Client) Log(ctx context.Context, n int) (l Log, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return l, c.Do(ctx, http.MethodGet, "/log?n="+strconv.Itoa(n), nil, &l)
}

// Restart asks for a restart.
func (c *Client) Restart(ctx context.Context, r Restart) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return c.Do(ctx, http.MethodPost, "/restart", bytes.NewReader(text), nil)
}
