package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/supervise"
	"parklamp/cmd/internal/update"
	"parklamp/parkd/panel"
)

const (
	apiHeaders = 10 * time.Second // for the head of a request
	idleLook   = 2 * time.Second  // between two looks whether a call is there
	askFor     = 5 * time.Second  // whether phoned lives
	logLines   = 1000             // of one answer, at most
	maxRequest = 4 << 10          // bytes of a request that is no update
	// maxRestarts is how many restarts may wait until nobody is disturbed; what comes then is refused.
	maxRestarts = 4
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
	defer func() { // the last restart has ended when there is no more room for one
		cancel()
		for range maxRestarts {
			s.restarts <- struct{}{}
		}
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
		select {
		case s.restarts <- struct{}{}:
		default:
			answer(w, http.StatusTooManyRequests, refusal{"restarts that were asked for wait already until they disturb nobody"})
			return
		}
		go func() {
			defer func() { <-s.restarts }()
			waitFor := inAbsence
			if req.Service == initapi.Phoned {
				waitFor = inRestart
			}
			s.restart(ctx, req, waitFor)
		}()
		answer(w, http.StatusAccepted, struct{}{})
	})
	updates := func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		u := s.updater
		s.mu.Unlock()
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

// restart restarts phoned or the appliance, at once or when nothing is there that it has to wait for.
func (s *system) restart(ctx context.Context, req initapi.Restart, waitFor func([]panel.Call) string) {
	if req.When == initapi.Idle {
		if !s.untilIdle(ctx, waitFor, func(why string) { s.waits(req.Service, why) }) {
			return
		}
	}
	s.log.Info("restart was asked for", "what", req.Service, "when", req.When)
	if req.Service == initapi.Phoned {
		s.phoned.Restart()
		return
	}
	s.askEnd(unix.LINUX_REBOOT_CMD_RESTART)
}

// waits notes what the restart of a service waits for, "" for nothing.
func (s *system) waits(service, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.waiting, service); why != "" {
		s.waiting[service] = why
	}
}

// untilIdle waits until phoned has no calls that waitFor names.
func (s *system) untilIdle(ctx context.Context, waitFor func([]panel.Call) string, tell func(why string)) bool {
	return untilIdle(ctx, func(ctx context.Context) (string, error) { return s.callsThat(ctx, waitFor) }, tell)
}

// untilIdle waits until busy names nothing, or the phone is silent for so long that there is nothing. It tells each time what
// it waits for, "" in the end; false if ctx ended.
func untilIdle(ctx context.Context, busy func(context.Context) (string, error), tell func(why string)) bool {
	defer tell("")
	caution := update.NewCaution(busy)
	look := time.NewTicker(idleLook)
	defer look.Stop()
	for {
		why := caution.Ask(ctx)
		if why == "" {
			return ctx.Err() == nil
		}
		tell(why)
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
}

// askEnd ends the appliance in good order.
func (s *system) askEnd(command int) {
	select {
	case s.ending <- command:
	default:
	}
}

// status collects everything.
func (s *system) status() initapi.Status {
	s.mu.Lock()
	st := initapi.Status{Version: s.version, Board: s.board, Slot: s.boot.Slot.String(), Trial: s.boot.Trial && !s.confirmed, Data: s.store.state(), Waiting: maps.Clone(s.waiting)}
	s.mu.Unlock()
	st.Clock = s.clock.status()
	st.Uptime = time.Since(s.started)
	for _, p := range []*supervise.Service{s.phoned, s.ssh} {
		if p != nil {
			r := p.Report()
			st.Services = append(st.Services, initapi.Service{Name: p.Name(), State: r.State.String(), PID: r.PID, Since: r.Since, Restarts: max(0, r.Starts-1),
				LastExit: r.LastExit, ExitAt: r.ExitAt, LastGap: r.LastGap, Answering: r.Answering})
		}
	}
	st.Network = s.network.state()
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
