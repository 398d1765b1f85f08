package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/supervise"
	"parklamp/cmd/internal/update"
)

const (
	apiHeaders = 10 * time.Second // for the head of a request
	logLines   = 1000             // of one answer, at most
	maxRequest = 4 << 10          // bytes of a request that is no update
)

// serve answers on the socket until ctx ends.
func (s *system) serve(ctx context.Context, path string) error {
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chown(path, 0, parklampID), os.Chmod(path, 0o660)); err != nil {
		s.log.Warn("socket", "path", path, "err", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{Handler: s.routes(ctx), ReadHeaderTimeout: apiHeaders, MaxHeaderBytes: 8 << 10}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	defer func() {
		cancel()
		s.restarts.settle()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *system) routes(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.status()) })
	mux.HandleFunc("GET /told", s.tell)
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("n"))
		if err != nil || n < 1 || n > logLines {
			n = logLines
		}
		answer(w, http.StatusOK, initapi.Log{Lines: s.logbook.Last(n)})
	})
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		var req initapi.Restart
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&req); err != nil {
			answer(w, http.StatusBadRequest, refusal{"want {\"service\": ..., \"when\": ...}: " + err.Error()})
			return
		}
		if err := req.Validate(); err != nil {
			answer(w, http.StatusBadRequest, refusal{err.Error()})
			return
		}
		if !s.restarts.ask(ctx, req) {
			answer(w, http.StatusTooManyRequests, refusal{"restarts that were asked for wait already until they disturb nobody"})
			return
		}
		answer(w, http.StatusAccepted, struct{}{})
	})
	updates := func(w http.ResponseWriter, r *http.Request) {
		u := s.updates.taker()
		if u == nil {
			answer(w, http.StatusServiceUnavailable, refusal{"updates are not taken yet"})
			return
		}
		u.ServeHTTP(w, r)
	}
	mux.HandleFunc("/update", updates)
	mux.HandleFunc("/update"+update.CheckPath, updates)
	return mux
}

type refusal struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// status collects everything.
func (s *system) status() initapi.Status {
	st := initapi.Status{Version: s.version, Board: s.board, Slot: s.boot.Slot.String(), Trial: s.updates.onTrial(), Data: s.store.state(), Waiting: s.restarts.state(),
		Clock: s.clock.status(), Uptime: time.Since(s.started), Network: s.network.state()}
	for _, p := range []*supervise.Service{s.phone.service, s.ssh} {
		if p != nil {
			r := p.Report()
			st.Services = append(st.Services, initapi.Service{Name: p.Name(), State: r.State.String(), PID: r.PID, Since: r.Since, Restarts: max(0, r.Starts-1),
				LastExit: r.LastExit, ExitAt: r.ExitAt, LastGap: r.LastGap, Answering: r.Answering})
		}
	}
	st.Watchdog, st.RSS, st.Orphans, st.Conditions = s.guard.watchdog("").String(), rss(), s.reaper.Orphans(), s.health.All()
	return st
}

// rss is the memory of this process, in bytes.
func rss() int64 {
	f := strings.Fields(readText("/proc/self/statm"))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
