package update

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// uploadFor bounds an upload: a bundle of 20 MB through a bad mobile line.
const uploadFor = 15 * time.Minute

// headFor bounds the head of a bundle, which says whether it is genuine: until then it is anybody's.
const headFor = 10 * time.Second

// drainFor bounds the rest of a refused upload.
const drainFor = 20 * time.Second

// drainMost is how much of a refused upload is read: bytes.
const drainMost = 64 << 20

var _ http.Handler = (*Updater)(nil)

// CheckPath follows the path of updates where only the head of a bundle is sent, at most HeadSize bytes of it: the answer is
// that which the bundle would get, but for what is found out later.
const CheckPath = "/check"

// ServeHTTP answers GET with the Status, and takes a bundle by POST (?now=1: do not wait for calls): 202 and the Status when
// it is on trial, 200 if the appliance runs it already, else {"error"} and a code that tells the kind. Below CheckPath it takes the
// head of one, and its Status warns of an update that will hardly be kept, so that nobody sends megabytes for nothing: a browser shows the answer to an upload only when all of it is sent.
func (u *Updater) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		answer(w, http.StatusOK, u.Status())
		return
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, POST")
		refuse(w, http.StatusMethodNotAllowed, errors.New("want GET or POST"))
		return
	}
	// A server without such deadlines does not mind.
	limits := http.NewResponseController(w)
	_ = limits.SetReadDeadline(time.Now().Add(headFor))
	_ = limits.SetWriteDeadline(time.Now().Add(uploadFor))
	var err error
	check, warning := strings.HasSuffix(r.URL.Path, CheckPath), ""
	if check {
		if _, err = u.judge(r.Body); err == nil {
			warning = u.unlikely(r.Context())
		}
	} else {
		err = u.take(r.Context(), r.Body, r.URL.Query().Get("now") == "1", func() { _ = limits.SetReadDeadline(time.Now().Add(uploadFor)) })
	}
	_ = limits.SetReadDeadline(time.Now().Add(drainFor))
	// Who sends a bundle that is refused shall see the answer and not a broken connection.
	_, _ = io.CopyN(io.Discard, r.Body, drainMost)
	pause := (*PauseError)(nil)
	switch {
	case err == nil:
		s := u.Status()
		if check { // that of an update which waits is not this one's
			s.Warning = warning
		}
		answer(w, http.StatusAccepted, s)
	case errors.Is(err, ErrSame):
		answer(w, http.StatusOK, u.Status())
	case errors.As(err, &pause):
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(pause.Wait.Seconds()))))
		refuse(w, http.StatusTooManyRequests, err)
	case errors.Is(err, ErrBusy), errors.Is(err, ErrOnTrial):
		refuse(w, http.StatusConflict, err)
	case errors.Is(err, ErrCard), errors.Is(err, ErrNoSlots):
		refuse(w, http.StatusInternalServerError, err)
	case errors.Is(err, ErrSignature):
		refuse(w, http.StatusForbidden, err)
	default:
		refuse(w, http.StatusBadRequest, err)
	}
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the head is out: an error is a connection that is gone
}

func refuse(w http.ResponseWriter, code int, err error) {
	answer(w, code, struct {
		Error string `json:"error"`
	}{err.Error()})
}
