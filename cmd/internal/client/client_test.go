package client

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Whoever reaches no appliance is told what to look at, not what a system call said.
func TestExplain(t *testing.T) {
	dial := func(err error) error {
		return &url.Error{Op: "Get", URL: "http://dock-7:8080", Err: &net.OpError{Op: "dial", Net: "tcp", Err: err}}
	}
	for name, x := range map[string]struct {
		panel bool
		err   error
		want  string
	}{
		"off":           {true, dial(os.ErrDeadlineExceeded), "no appliance on here: nothing answers at that address; is it switched on"},
		"no route":      {true, dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "no appliance on here: nothing answers at that address; is it switched on"},
		"no network":    {true, dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), "no appliance on here: nothing answers at that address; is it switched on"},
		"no such name":  {true, dial(&net.DNSError{Err: "no such host", Name: "dock-7", IsNotFound: true}), "no appliance on here: nobody knows a host of that name; give its address"},
		"closed":        {true, dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "panel.listen of its configuration opens the panel"},
		"stopped":       {false, dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "phoned has stopped"},
		"no socket":     {false, dial(fs.ErrNotExist), "no appliance on here: the socket does not exist; is phoned running?"},
		"not its user":  {false, dial(fs.ErrPermission), "no access to here: be root or in the group of that file"},
		"anything else": {true, &url.Error{Op: "Get", URL: "http://dock-7:8080", Err: errors.New("malformed HTTP response")}, "ask here: malformed HTTP response; is that the panel of an appliance?"},
	} {
		if got := Explain("here", x.panel, x.err); !strings.Contains(got.Error(), x.want) {
			t.Errorf("%s: %v, want %s", name, got, x.want)
		}
	}
}

// A folder, a file and a program that is no appliance are named as such: nobody looks for a phoned that has stopped.
func TestNoAppliance(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "phoned.toml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, file} {
		if _, err := Socket(path).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "no appliance on "+path+": that is no socket") {
			t.Errorf("%s: %v", path, err)
		}
	}
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	refusal := (*Refusal)(nil)
	if _, err := Panel(s.URL).Status(t.Context()); !errors.As(err, &refusal) || refusal.Code != http.StatusNotFound ||
		!strings.HasPrefix(err.Error(), s.URL+" answers 404 Not Found, as no appliance does: is the port right?") {
		t.Error(err)
	}
	path := filepath.Join(dir, "init.sock") // of another program, such as the first process of an image
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	_ = other.Listener.Close()
	other.Listener = l
	other.Start()
	defer other.Close()
	if _, err := Socket(path).Status(t.Context()); err == nil || err.Error() != path+" answers 404 Not Found, as no appliance does: is that phoned's socket?" {
		t.Error(err)
	}
}
