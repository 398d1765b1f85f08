package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"parklamp/cmd/internal/provision"
)

const (
	phonedSocket = provision.PhonedSocket
	maxAnswer    = 4 << 20 // bytes
)

// ask gets a resource of phoned's API over its control socket. It says what the program itself says: the answer is made
// by the loop that owns the calls, so that who answers lives.
func ask(ctx context.Context, path string, into any) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", phonedSocket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if at, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(at)
	} else {
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: parklamp\r\nConnection: close\r\n\r\n", path); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("phoned answers %s", res.Status)
	}
	if into == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer))
		return err
	}
	return json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into)
}

// alive is the question whether phoned works.
func alive(ctx context.Context) error { return ask(ctx, "/api/orbits", nil) }
