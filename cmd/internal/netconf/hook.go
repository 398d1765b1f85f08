package netconf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"parklamp/cmd/internal/supervise"
)

const (
	// hookSocket is the variable that names the socket to the hook.
	hookSocket  = "PARKLAMP_LEASE_SOCKET"
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
	conn, err := net.DialTimeout("unix", os.Getenv(hookSocket), hookWait)
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

// askDHCP starts the client. It is ended before it is started, so that it begins with a request.
func (m *Manager) askDHCP(ctx context.Context, want netip.Addr) {
	if m.endDHCP != nil {
		m.endDHCP()
	}
	args := []string{"udhcpc", "-f", "-i", LinkName, "-s", m.opt.HookPath, "-x", "hostname:" + m.opt.Hostname, "-V", vendor,
		"-t", "4", "-T", "2", "-A", "5", "-O", "42", "-O", "66", "-O", "121", "-O", "132", "-O", "160"}
	if want.IsValid() {
		args = append(args, "-r", want.String())
	}
	spec := supervise.Spec{Path: m.opt.Busybox, Args: args, Env: []string{hookSocket + "=" + m.opt.Socket, "PATH=/usr/bin:/bin:/sbin:/usr/sbin"}}
	m.client = supervise.NewService("udhcpc", spec, supervise.DefaultPolicy(), nil, m.opt.Reaper, m.opt.Log)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.client.Run(ctx)
	}()
	m.client.Start()
	m.endDHCP = func() { cancel(); <-done }
}

// read turns an event of the client into an input; nil if it is none.
func (m *Manager) read(e event) any {
	switch e.name {
	case "bound", "renew":
		l, err := parseLease(e.env)
		if err != nil {
			m.opt.Log.Warn("DHCP", "err", err)
			return nil
		}
		if e.name == "bound" {
			m.opt.Log.Info("DHCP lease", "address", l.Addr, "server", l.Server, "for", l.For, "vlan", l.VLAN)
		}
		return granted{l}
	case "deconfig":
		return givenUp{}
	case "nak":
		m.opt.Log.Warn("DHCP: the server refuses our address")
		return givenUp{Refused: true}
	}
	return nil // leasefail: the client goes on asking
}
