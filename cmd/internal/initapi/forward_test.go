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
	ask := func(body string) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "http://panel.example:8080/api/update?now=1", strings.NewReader(body))
		Forward(socket, "/update").ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if code, text := ask("x"); code != 404 || !strings.Contains(text, "image") {
		t.Errorf("without a first process: %d %s", code, text)
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
	if code, text := ask("bundle"); code != 202 || text != "/update?now=1 BUNDLE" {
		t.Errorf("%d %s", code, text)
	}
	s.Close()
	<-ended
}
