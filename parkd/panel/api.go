package panel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxBody   = 4 << 10 // bytes of a POST
	maxKeyID  = 64      // bytes of a key's name
	maxDigits = 64      // digits of one POST /api/dial
)

// routes returns the API and the page without the guard of TCP.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/status", func(w http.ResponseWriter, r *http.Request) {
		answer(w, s.backend.Status().complete())
	})
	mux.HandleFunc("GET /api/orbits", func(w http.ResponseWriter, r *http.Request) {
		answer(w, s.backend.Status().complete().Orbits)
	})
	mux.HandleFunc("GET /api/calls", func(w http.ResponseWriter, r *http.Request) {
		st := s.backend.Status()
		answer(w, present(slices.Concat(st.Calls, st.Ended)))
	})
	mux.HandleFunc("GET /api/events", s.events)
	mux.HandleFunc("GET /api/listen", s.listen)
	mux.HandleFunc("POST /api/press", s.press)
	mux.HandleFunc("POST /api/hook", s.hook)
	mux.HandleFunc("POST /api/dial", s.dial)
	s.testRoutes(mux)
	mux.HandleFunc("/api/update", s.update)
	mux.HandleFunc("/api/update/check", s.update)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "no such resource: "+strconv.Quote(r.URL.Path))
	})
	servePage(mux)
	return mux
}

func (s *Server) press(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Key    string `json:"key"`
		Action Action `json:"action"`
	}
	if !decode(w, r, &req) {
		return
	}
	if req.Key == "" || len(req.Key) > maxKeyID {
		fail(w, http.StatusBadRequest, fmt.Sprintf("key: want the name of a key, 1 to %d bytes", maxKeyID))
		return
	}
	switch req.Action {
	case Down, Up, Tap, Long:
	case "":
		req.Action = Tap
	default:
		fail(w, http.StatusBadRequest, fmt.Sprintf("action %q: want down, up, tap or long", req.Action))
		return
	}
	done(w, s.hand.do(r.Context(), req.Key, req.Action))
}

func (s *Server) hook(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Up *bool `json:"up"`
	}
	if !decode(w, r, &req) {
		return
	}
	if req.Up == nil {
		fail(w, http.StatusBadRequest, "up: want true (lift the handset) or false (replace it)")
		return
	}
	done(w, s.backend.Hook(*req.Up))
}

func (s *Server) dial(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Digits string `json:"digits"`
	}
	if !decode(w, r, &req) {
		return
	}
	if n := len(req.Digits); n == 0 || n > maxDigits {
		fail(w, http.StatusBadRequest, fmt.Sprintf("digits: want 1 to %d", maxDigits))
		return
	}
	if bad := strings.Trim(req.Digits, "0123456789*#ABCD"); bad != "" {
		fail(w, http.StatusBadRequest, fmt.Sprintf("digits %q: want 0-9, *, # and A-D alone", req.Digits))
		return
	}
	done(w, s.backend.Dial(req.Digits))
}

// events streams each Status as HTML §9.2 has it: an id and one line of data.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if !enter(w, s.streams, "readers of events") {
		return
	}
	defer func() { <-s.streams }()
	out := http.NewResponseController(w)
	events, leave := s.hub.join()
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			// A reader that does not take an event in time is cut off; browsers
			// come back by themselves.
			if out.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "event: status\nid: %d\ndata: %s\n\n", e.id, e.data); err != nil {
				return
			}
			if out.Flush() != nil {
				return
			}
		}
	}
}

// enter takes a place in room or answers 503.
func enter(w http.ResponseWriter, room chan struct{}, what string) bool {
	select {
	case room <- struct{}{}:
		return true
	default:
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("%d %s already, no more are allowed", cap(room), what))
		return false
	}
}

// decode reads the JSON body into req, or answers and returns false. The
// content type must be JSON, which a form of another site cannot send.
func decode(w http.ResponseWriter, r *http.Request, req any) bool {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		fail(w, http.StatusUnsupportedMediaType, "want Content-Type: application/json")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(req)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return true
		}
		err = errors.New("more than one JSON value")
	}
	code := http.StatusBadRequest
	if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
		code = http.StatusRequestEntityTooLarge
	}
	fail(w, code, "request body: "+err.Error())
	return false
}

// done answers 204, or the error of the backend with its code.
func done(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
		return
	case errors.Is(err, ErrNoSuchKey), errors.Is(err, ErrNoPhone), errors.Is(err, ErrNoSuchReport):
		code = http.StatusNotFound
	case errors.Is(err, ErrNotNow):
		code = http.StatusConflict
	case errors.Is(err, ErrInvalid):
		code = http.StatusBadRequest
	case errors.Is(err, errStopping):
		code = http.StatusServiceUnavailable
	}
	fail(w, code, err.Error())
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// The head is out: an error here is a connection that is gone.
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
	}{text}) // as in answer
}
