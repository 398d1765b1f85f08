package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
)

// Who listens hears what there is and each change, once; more than a few at a time are refused.
func TestTell(t *testing.T) {
	s := newSystem()
	socket := filepath.Join(t.TempDir(), "init.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s.routes(t.Context())}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	s.raise(health.Condition{Code: "a", Text: "x"})
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan string), make(chan error)
	go func() {
		ended <- initapi.Listen(ctx, socket, func(one initapi.Told) {
			said := ""
			for _, c := range one.Conditions {
				said += fmt.Sprintln(c.Code, c.Severity, c.Since.IsZero(), c.Text)
			}
			told <- said
		})
	}()
	for _, c := range []struct {
		do   func()
		want string
	}{
		{func() {}, "a warning false x\n"},
		{func() { s.news.send(); s.clear("a") }, ""}, // what changes nothing is not told
		{func() { s.raise(health.Condition{Code: "b", Severity: health.Error, Text: "y"}) }, "b error false y\n"},
	} {
		c.do()
		if got := <-told; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	for range maxListeners - 1 {
		s.listeners <- struct{}{}
	}
	if err := initapi.Listen(ctx, socket, func(initapi.Told) { t.Error("one too many") }); err == nil {
		t.Error("one too many")
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("no end")
	}
}
