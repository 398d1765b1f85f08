package panel

import (
	"io"
	"net/http"
	"time"
)

// uploadFor bounds the upload of a bundle and its writing to the card.
const uploadFor = 15 * time.Minute

// uploadStall is how long a sender may send nothing.
const uploadStall = 20 * time.Second

// bundleType is the content type of a bundle, which a form of another site cannot send.
const bundleType = "application/octet-stream"

// update hands on what is about the system's update. Whoever reaches the panel may bring a bundle: its signature decides.
func (s *Server) update(w http.ResponseWriter, r *http.Request) {
	if s.updater == nil && r.Method == http.MethodGet {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if s.updater == nil {
		fail(w, http.StatusNotFound, "this machine was not started from an image that can be updated")
		return
	}
	if r.Method == http.MethodPost {
		if r.Header.Get("Content-Type") != bundleType {
			fail(w, http.StatusUnsupportedMediaType, "want Content-Type: "+bundleType)
			return
		}
		if !enter(w, s.updates, "upload of an update") {
			return
		}
		defer func() { <-s.updates }()
		// Longer than what the server allows for other requests. A writer without deadlines (a test's) has none.
		limits := http.NewResponseController(w)
		end := time.Now().Add(uploadFor)
		_ = limits.SetWriteDeadline(end)
		r.Body = &upload{r.Body, limits, end}
	}
	s.updater.ServeHTTP(w, r)
}

// upload ends a body whose sender stalls, so that the place of the one upload is free again. Whoever has sent everything waits
// for the card: net/http would take a deadline that passes then for a client who has gone, and end the update.
type upload struct {
	io.ReadCloser
	limits *http.ResponseController
	end    time.Time
}

func (u *upload) Read(p []byte) (int, error) {
	at := time.Now().Add(uploadStall)
	if at.After(u.end) {
		at = u.end
	}
	_ = u.limits.SetReadDeadline(at)
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		_ = u.limits.SetReadDeadline(u.end)
	}
	return n, err
}
