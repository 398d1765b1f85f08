package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"parklamp/parkd/panel"
)

const (
	dialTimeout = 3 * time.Second
	askTimeout  = 10 * time.Second // longer than any key press
	maxAnswer   = 8 << 20          // bytes of an answer or an event
)

// client asks one appliance over its unix socket.
type client struct {
	http   *http.Client
	socket string
}

func (t *tool) client() *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", t.socket)
	}
	return &client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, t.socket}
}

// open sends a request; the body of its answer is to be closed. An answer that
// is no success is an error.
func (c *client) open(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://parklamp/api/"+path, bytes.NewReader(body))
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
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &e) != nil || e.Error == "" {
		e.Error = res.Status
	}
	return nil, &refusal{res.StatusCode, e.Error}
}

// refusal is an answer of the appliance that is no success.
type refusal struct {
	code int // of HTTP
	text string
}

func (r *refusal) Error() string { return r.text }

// explain says what to do when nobody answers on the socket.
func (c *client) explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no appliance on %s: the socket does not exist; is phoned running? Give its socket with --socket or PARKLAMP_SOCKET", c.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no appliance on %s: nobody listens there; phoned has stopped", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no access to %s: be root or in the group of that file", c.socket)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the appliance on %s did not answer in %v", c.socket, askTimeout)
	}
	return fmt.Errorf("ask %s: %w", c.socket, err)
}

func (c *client) get(ctx context.Context, path string) ([]byte, error) {
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

func (c *client) post(ctx context.Context, path string, body any) error {
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

func (c *client) status(ctx context.Context) (panel.Status, error) {
	var s panel.Status
	text, err := c.get(ctx, "status")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("status of %s: %w", c.socket, err)
	}
	return s, nil
}

// events hands each Status to f, as it came, until ctx ends, the appliance
// stops or f fails. It returns nil only when the appliance ended it.
func (c *client) events(ctx context.Context, f func(data []byte) error) error {
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
