package netconf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const (
	// HookSocket is the variable that names the socket to the hook.
	HookSocket  = "PARKLAMP_LEASE_SOCKET"
	hookWait    = 10 * time.Second
	maxHookText = 16 << 10 // bytes of an event; an option has 255 at most
)

// An event is what udhcpc calls its script with: bound, renew, deconfig, leasefail, nak.
type event struct {
	name string
	env  []string
}

// Hook is the script of udhcpc: it hands the name of the event and the environment to the manager over a unix socket and
// waits until it has been taken.
func Hook(args, env []string) error {
	if len(args) != 1 {
		return errors.New("the hook of udhcpc wants one argument")
	}
	conn, err := net.DialTimeout("unix", os.Getenv(HookSocket), hookWait)
	if err != nil {
		return fmt.Errorf("hook of udhcpc: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(hookWait))
	text := args[0] + "\x00" + strings.Join(env, "\x00")
	if len(text) > maxHookText {
		text = text[:maxHookText]
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return fmt.Errorf("hook of udhcpc: %w", err)
	}
	_ = conn.(*net.UnixConn).CloseWrite()
	_, _ = io.ReadAll(conn) // ends when the manager has taken it
	return nil
}

// serveHook takes events from hooks until ctx ends.
func serveHook(ctx context.Context, path string, events chan<- event) error {
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer l.Close()
	_ = os.Chmod(path, 0o600)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		_ = conn.SetDeadline(time.Now().Add(hookWait))
		text, err := io.ReadAll(io.LimitReader(conn, maxHookText))
		if err == nil {
			parts := strings.Split(string(text), "\x00")
			select {
			case events <- event{parts[0], parts[1:]}:
			case <-ctx.Done():
			}
		}
		_ = conn.Close()
	}
}
