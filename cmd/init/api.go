package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/supervise"
)

const (
	apiHeaders = 10 * time.Second // for the head of a request
	idleLook   = 2 * time.Second  // between two looks whether a call is there
	askFor     = 5 * time.Second  // for an answer of phoned
	deadAfter  = time.Minute      // a phoned that does not answer this long has no calls
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
		answer(w, http.StatusOK, initapi.Log{Lines: s.journal.Last(n)})
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
			waitFor := phoneCalls.inAbsence
			if req.Service == initapi.Phoned {
				waitFor = phoneCalls.inRestart
			}
			s.restart(ctx, req, waitFor)
		}()
		answer(w, http.StatusAccepted, struct{}{})
	})
	mux.HandleFunc("/update", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		u := s.updater
		s.mu.Unlock()
		if u == nil {
			answer(w, http.StatusServiceUnavailable, refusal{"updates are not taken yet"})
			return
		}
		u.ServeHTTP(w, r)
	})
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
func (s *system) restart(ctx context.Context, req initapi.Restart, waitFor func(phoneCalls) string) {
	if req.When == initapi.Idle && !untilIdle(ctx, func(ctx context.Context) (string, error) { return callsThat(ctx, waitFor) }) {
		return
	}
	s.log.Info("restart was asked for", "what", req.Service, "when", req.When)
	if req.Service == initapi.Phoned {
		s.phoned.Restart()
		return
	}
	s.askEnd(unix.LINUX_REBOOT_CMD_RESTART)
}

// untilIdle waits until busy names nothing; false if ctx ended. A phoned that does not answer may have died and be taking its
// parked callers back from the journal, and would hang up on them if it were ended now: only one that is silent for a
// minute has nobody to lose.
func untilIdle(ctx context.Context, busy func(context.Context) (string, error)) bool {
	answered := time.Now()
	look := time.NewTicker(idleLook)
	defer look.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, askFor)
		why, err := busy(asking)
		cancel()
		if err == nil {
			answered = time.Now()
		}
		if err == nil && why == "" || err != nil && time.Since(answered) >= deadAfter {
			return ctx.Err() == nil
		}
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

// busy says what an absence of the appliance would disturb, "" for nothing.
func busy(ctx context.Context) (string, error) { return callsThat(ctx, phoneCalls.inAbsence) }

func callsThat(ctx context.Context, disturb func(phoneCalls) string) (string, error) {
	var st phoneCalls
	if err := ask(ctx, "/api/status", &st); err != nil {
		return "", err
	}
	return disturb(st), nil
}

// phoneCalls is what counts of phoned's status.
type phoneCalls struct {
	Calls []struct {
		State   string `json:"state"`
		Kept    bool   `json:"kept"`
		Movable bool   `json:"movable"`
	} `json:"calls"`
}

// inRestart counts whom a restart of phoned alone would disturb: those who talk or ring. Who is parked waits on, unless phoned
// says that it could not go on with him or that somebody is about to have him.
func (st phoneCalls) inRestart() string {
	live, parked, _ := st.count()
	return listed(live, parked, "being recalled or fetched, or not in the journal")
}

// inAbsence counts whom a restart of the whole appliance would disturb: also the parked callers whom no other appliance takes
// over, as they would hear nothing until this one is back.
func (st phoneCalls) inAbsence() string {
	live, parked, staying := st.count()
	return listed(live, parked+staying, "whom no other appliance would take over")
}

func (st phoneCalls) count() (live, parked, staying int) {
	for _, c := range st.Calls {
		switch {
		case c.Kept && c.State == "parked" && !c.Movable:
			staying++
		case c.Kept:
		case c.State == "parked":
			parked++
		default:
			live++
		}
	}
	return live, parked, staying
}

func listed(live, parked int, which string) string {
	var all []string
	if live > 0 {
		all = append(all, counted(live, "call"))
	}
	if parked > 0 {
		all = append(all, counted(parked, "parked caller")+" "+which)
	}
	return strings.Join(all, ", ")
}

// any counts everybody: the journal of an appliance without an identity is not that of the one that it becomes.
func (st phoneCalls) any() string {
	if n := len(st.Calls); n > 0 {
		return counted(n, "call")
	}
	return ""
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// status collects everything.
func (s *system) status() initapi.Status {
	s.mu.Lock()
	st := initapi.Status{Version: s.version, Board: s.board, Slot: s.boot.slot, Trial: s.boot.trial && !s.confirmed, Data: s.data}
	s.mu.Unlock()
	st.Clock = s.clockStatus()
	st.Uptime = time.Since(s.started)
	for _, p := range []*supervise.Service{s.phoned, s.ssh} {
		if p != nil {
			r := p.Report()
			st.Services = append(st.Services, initapi.Service{Name: p.Name(), State: r.State.String(), PID: r.PID, Since: r.Since, Restarts: max(0, r.Starts-1),
				LastExit: r.LastExit, ExitAt: r.ExitAt, LastGap: r.LastGap, Answering: r.Answering})
		}
	}
	if s.network != nil {
		st.Network = s.network.State()
	}
	st.Watchdog, st.RSS, st.Orphans, st.Conditions = s.dog.String(), rss(), s.reaper.Orphans(), s.allConditions()
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
