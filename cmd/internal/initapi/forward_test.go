package initapi

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

func TestForward(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "init.sock")
	ask := func(body, path string) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "http://panel.example:8080"+path, strings.NewReader(body))
		Forward(socket, "/api/update", "/update").ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if code, text := ask("x", "/api/update"); code != 404 || !strings.Contains(text, "image") {
		t.Errorf("without a first process: %d %s", code, text)
	}
	w := httptest.NewRecorder()
	Forward(socket, "/api/update", "/update").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://panel.example:8080/api/update", nil))
	if w.Code != http.StatusNoContent {
		t.Errorf("who asks there how far an update is: %d %s", w.Code, w.Body)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, r.URL.String()+" "+string(bytes.ToUpper(body)))
	})}
	ended := make(chan error)
	go func() { ended <- s.Serve(l) }()
	for path, want := range map[string]string{"/api/update?now=1": "/update?now=1 BUNDLE", "/api/update/check": "/update/check BUNDLE"} {
		if code, text := ask("bundle", path); code != 202 || text != want {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	s.Close()
	<-ended
}
