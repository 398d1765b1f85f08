package panel

import (
	"context"
	"net/http"
	"time"
)

// The self test over the API:
//
//	POST /api/selftest               {"steps":["keys"],"force":false}: a stream of JSON objects, a line each
//	GET  /api/selftest/reports       the names of the reports that are kept, newest first
//	GET  /api/selftest/reports/NAME  one of them; NAME.jws is its signature
//
// The test ends when the reader goes.
const maxSteps = 32

// SelfTestRequest says what to test. No steps are all; Force tests although calls are parked here.
type SelfTestRequest struct {
	Steps []string `json:"steps,omitempty"`
	Force bool     `json:"force,omitempty"`
}

// SelfTester is a Backend that can test itself.
type SelfTester interface {
	// SelfTest begins a test and hands out what happens, a JSON object each; the channel is closed after the last. The test
	// ends when ctx does. ErrNotNow: there is a call, or a test under way. ErrInvalid: no such step.
	SelfTest(ctx context.Context, r SelfTestRequest) (<-chan []byte, error)
	// Reports lists the reports that are kept.
	Reports() ([]string, error)
	// Report returns a file of one: ErrNoSuchReport if there is none of that name.
	Report(name string) ([]byte, error)
}

// testRoutes adds the self test, if the backend has one.
func (s *Server) testRoutes(mux *http.ServeMux) {
	b, ok := s.backend.(SelfTester)
	if !ok {
		return
	}
	mux.HandleFunc("POST /api/selftest", func(w http.ResponseWriter, r *http.Request) { s.selfTest(w, r, b) })
	mux.HandleFunc("GET /api/selftest/reports", func(w http.ResponseWriter, r *http.Request) {
		names, err := b.Reports()
		if err != nil {
			done(w, err)
			return
		}
		answer(w, present(names))
	})
	mux.HandleFunc("GET /api/selftest/reports/{name}", func(w http.ResponseWriter, r *http.Request) {
		text, err := b.Report(r.PathValue("name"))
		if err != nil {
			done(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.Write(text)
	})
}

// selfTest streams a test, a line for each event.
func (s *Server) selfTest(w http.ResponseWriter, r *http.Request, b SelfTester) {
	var req SelfTestRequest
	if !decode(w, r, &req) {
		return
	}
	if len(req.Steps) > maxSteps {
		fail(w, http.StatusBadRequest, "steps: too many")
		return
	}
	if !enter(w, s.streams, "readers of events") {
		return
	}
	defer func() { <-s.streams }()
	out := http.NewResponseController(w)
	// The request has been read: a reader that goes is noticed by reading on, for which there is no limit of time.
	if err := out.SetReadDeadline(time.Time{}); err != nil {
		done(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events, err := b.SelfTest(ctx, req)
	if err != nil {
		done(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	for {
		var e []byte
		more := false
		select {
		case e, more = <-events:
		case <-ctx.Done():
		}
		if !more {
			return
		}
		if out.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
			return
		}
		if _, err := w.Write(append(e, '\n')); err != nil || out.Flush() != nil {
			return
		}
	}
}
