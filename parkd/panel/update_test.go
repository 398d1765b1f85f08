package panel

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A bundle is handed on as it is, one at a time; a form of another page is not, and nothing is where nobody updates.
func TestUpdate(t *testing.T) {
	cfg := Default()
	s := New(cfg, newFakePhone(), slog.New(slog.DiscardHandler))
	ask := func(method, kind, body string, heads ...string) (int, string) {
		r := httptest.NewRequest(method, "http://127.0.0.1/api/update?now=1", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		for i := 0; i < len(heads); i += 2 {
			r.Header.Set(heads[i], heads[i+1])
		}
		w := httptest.NewRecorder()
		guard(cfg.Hosts, s.routes()).ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if code, text := ask("GET", "", ""); code != 204 || text != "" { // not 404, which a browser shows as an error of the page
		t.Errorf("without an updater: %d %s", code, text)
	}
	if code, text := ask("POST", bundleType, "bundle"); code != 404 || !strings.Contains(text, "not started from an image") {
		t.Errorf("without an updater: %d %s", code, text)
	}
	took := make(chan string)
	s.UpdateBy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == "slow" {
			took <- r.URL.RawQuery
			<-took
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(r.Method + string(body)))
	}))
	for _, x := range []struct {
		method, kind, body string
		heads              []string
		code               int
		text               string
	}{
		{"GET", "", "", nil, 202, "GET"},
		{"POST", bundleType, "bundle", nil, 202, "POSTbundle"},
		{"POST", "text/plain", "bundle", nil, 415, bundleType},
		{"POST", bundleType, "bundle", []string{"Origin", "http://evil.example"}, 403, ""},
		{"POST", bundleType, "bundle", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
	} {
		if code, text := ask(x.method, x.kind, x.body, x.heads...); code != x.code || !strings.Contains(text, x.text) {
			t.Errorf("%s %s %v: %d %s; want %d %s", x.method, x.kind, x.heads, code, text, x.code, x.text)
		}
	}
	done := make(chan int)
	go func() {
		code, _ := ask("POST", bundleType, "slow")
		done <- code
	}()
	if query := <-took; query != "now=1" {
		t.Errorf("query %q", query)
	}
	if code, text := ask("POST", bundleType, "second"); code != 503 || !strings.Contains(text, "already") {
		t.Errorf("a second one: %d %s", code, text)
	}
	took <- ""
	if code := <-done; code != 202 {
		t.Errorf("the first one: %d", code)
	}
}

// senderTimes records until when a handler waits for its sender.
type senderTimes struct {
	*httptest.ResponseRecorder
	read []time.Duration
}

func (d *senderTimes) SetReadDeadline(at time.Time) error {
	d.read = append(d.read, time.Until(at))
	return nil
}

// Who uploads and stalls has the place of the one upload for seconds, not for the quarter of an hour that a slow line may take.
func TestUpdateStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Default(), newFakePhone(), slog.New(slog.DiscardHandler))
		s.UpdateBy(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			piece := make([]byte, 3)
			for n, err := r.Body.Read(piece); n > 0 && err == nil; n, err = r.Body.Read(piece) {
				time.Sleep(uploadFor - time.Second)
			}
		}))
		r := httptest.NewRequest("POST", "/api/update", strings.NewReader("bundle"))
		r.Header.Set("Content-Type", bundleType)
		d := &senderTimes{ResponseRecorder: httptest.NewRecorder()}
		s.update(d, r)
		if len(d.read) < 2 || d.read[0] != uploadStall || d.read[1] != time.Second {
			t.Errorf("waits for %v", d.read)
		}
	})
}

// A card that takes minutes for what was sent does not end the update.
func TestUpdateTakesItsTime(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		b.server.UpdateBy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			_, _ = r.Body.Read(make([]byte, 1)) // as a reverse proxy, which makes sure that this is the end
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Minute):
			}
			if err == nil && r.Context().Err() == nil {
				w.WriteHeader(http.StatusAccepted)
			}
		}))
		res, err := b.Post("http://127.0.0.1/api/update", bundleType, strings.NewReader("bundle"))
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != http.StatusAccepted {
			t.Errorf("the answer is %s", res.Status)
		}
	})
}
