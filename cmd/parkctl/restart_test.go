package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parklamp/cmd/internal/initapi"
)

// TestRestart asks a first process for restarts; phoned is back at the third look.
func TestRestart(t *testing.T) {
	var mu sync.Mutex
	var asked []initapi.Restart
	looks := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		s := initapi.Service{Name: initapi.Phoned, Restarts: 1, Answering: true}
		if len(asked) > 0 {
			if looks++; looks >= 2 {
				s.Restarts, s.Answering, s.LastGap = 2, looks > 2, 33*time.Millisecond
			}
		}
		_ = json.NewEncoder(w).Encode(initapi.Status{Services: []initapi.Service{s}, Waiting: map[string]string{initapi.Phoned: "1 call"}})
	})
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var req initapi.Restart
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Validate() != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		if len(asked) == 2 {
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"error":"restarts wait already"}`))
			return
		}
		asked = append(asked, req)
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{}`))
	})
	socket := filepath.Join(t.TempDir(), "init.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: mux}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	defer func() { s.Close(); <-ended }()
	run := func(socket string, args ...string) (int, string) {
		var out bytes.Buffer
		tl := tool{out: &out, err: &out, env: func(string) string { return "" }, retry: time.Millisecond, initSocket: socket}
		return tl.run(context.Background(), append([]string{"--socket", "/nowhere"}, args...)), out.String()
	}
	for _, tc := range []struct {
		socket, args string
		code         int
		want         string
	}{
		{"/nowhere", "restart", exitError, "was not started from an image"},
		{socket, "restart phone", exitDone, "Waiting: 1 call. (--now does not wait and ends them; interrupt this command and the appliance goes on waiting.)\n" +
			"phoned runs anew; nothing ran for 33ms.\n"},
		{socket, "restart appliance --now", exitDone, "The appliance restarts.\n"},
		{socket, "restart appliance", exitError, "restarts wait already"},
		{socket, "restart everything", exitUsage, "want phone or appliance"},
		{socket, "status --now", exitUsage, "--now"},
	} {
		if code, said := run(tc.socket, strings.Fields(tc.args)...); code != tc.code || !strings.Contains(said, tc.want) {
			t.Errorf("%s: %d, %q; want %d, %q", tc.args, code, said, tc.code, tc.want)
		}
	}
	want := []initapi.Restart{{Service: initapi.Phoned, When: initapi.Idle}, {Service: initapi.Appliance, When: initapi.Now}}
	if len(asked) != 2 || asked[0] != want[0] || asked[1] != want[1] {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}
