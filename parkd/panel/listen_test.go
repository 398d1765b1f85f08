package panel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocket(t *testing.T) {
	cfg := Default()
	cfg.Listen = netip.AddrPort{}
	cfg.Socket = filepath.Join(t.TempDir(), "run", "phoned.sock")
	s := New(cfg, newFakePhone(), slog.New(slog.DiscardHandler))
	run(t, s)
	info, err := os.Stat(cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if m := info.Mode().Perm(); m != 0o660 {
		t.Errorf("mode %o, want 660", m)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", cfg.Socket)
	}}}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://any.name/api/status")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if !strings.Contains(string(text), `"dock-1"`) {
		t.Errorf("status %s", text)
	}

	// A second appliance with the same socket is refused, the first goes on.
	err = New(cfg, newFakePhone(), slog.New(slog.DiscardHandler)).Run(t.Context())
	want := "panel: listen on " + cfg.Socket + ": another process is serving it; change panel.socket in the configuration"
	if err == nil || err.Error() != want {
		t.Errorf("second server: %v\nwant %s", err, want)
	}
	if res, err = client.Get("http://any.name/"); err != nil {
		t.Fatalf("the first server after that: %v", err)
	}
	res.Body.Close()
}

func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "phoned.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close() // as after kill -9
	again, err := listenSocket(path)
	if err != nil {
		t.Fatalf("listen on a stale socket: %v", err)
	}
	again.Close()
}

func TestSocketIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenSocket(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("listen on a file: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file is now %q", text)
	}
}

// A port that another program has is told and tried again until it is free.
func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := Default()
	cfg.Socket = ""
	cfg.Listen = l.Addr().(*net.TCPAddr).AddrPort()
	srv := New(cfg, newFakePhone(), slog.New(slog.DiscardHandler))
	srv.NameHolders(func(at netip.AddrPort) string {
		if at != cfg.Listen {
			t.Errorf("asked who has %s", at)
		}
		return "nginx (pid 812)"
	})
	told := make(chan error, 64)
	srv.OnListener(func(err error) {
		select {
		case told <- err:
		default: // said often enough
		}
	})
	run(t, srv) // the phone goes on without a panel
	err = <-told
	var le *ListenError
	if !errors.As(err, &le) {
		t.Fatalf("told %v, want a ListenError", err)
	}
	for _, want := range []string{cfg.Listen.String(), "address already in use", "held by nginx (pid 812)", "change panel.listen"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	l.Close()
	for err := range told {
		if err == nil {
			break
		}
	}
	res, err := http.Get("http://" + cfg.Listen.String() + "/api/status")
	if err != nil {
		t.Fatalf("the port was free again: %v", err)
	}
	res.Body.Close()
}
