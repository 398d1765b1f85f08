package panel

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	passed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "passed") })
	g := guard([]string{"Dock-1.example.net"}, passed)
	for _, c := range []struct {
		name, method, host, path string
		heads                    map[string]string
		code                     int
	}{
		{"address", "GET", "192.0.2.1:8080", "/", nil, 200},
		{"IPv6 address", "GET", "[2001:db8::1]:8080", "/", nil, 200},
		{"IPv6 address without port", "GET", "[::1]", "/", nil, 200},
		{"localhost", "GET", "localhost:8080", "/", nil, 200},
		{"given name", "GET", "dock-1.example.net:8080", "/", nil, 200},
		{"given name with a dot", "GET", "DOCK-1.example.net.:8080", "/", nil, 200},
		{"rebound name", "GET", "evil.example", "/api/status", nil, 421},
		{"name that begins as an address", "GET", "127.0.0.1.evil.example:8080", "/", nil, 421},
		{"no name", "GET", "", "/", nil, 421},
		{"own page", "POST", "127.0.0.1:8080", "/api/press", map[string]string{"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}, 200},
		{"no browser", "POST", "127.0.0.1:8080", "/api/press", nil, 200},
		{"foreign page", "POST", "127.0.0.1:8080", "/api/press", map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}, 403},
		{"foreign page of an old browser", "POST", "127.0.0.1:8080", "/api/press", map[string]string{"Origin": "http://evil.example"}, 403},
		{"page of another port", "POST", "127.0.0.1:8080", "/api/press", map[string]string{"Origin": "http://127.0.0.1:9", "Sec-Fetch-Site": "same-site"}, 403},
		{"page without origin", "POST", "127.0.0.1:8080", "/api/press", map[string]string{"Origin": "null"}, 403},
		{"foreign listener", "GET", "127.0.0.1:8080", "/api/listen", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"link from elsewhere", "GET", "127.0.0.1:8080", "/", map[string]string{"Sec-Fetch-Site": "cross-site"}, 200},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader("{}"))
		r.Host = c.host
		for k, v := range c.heads {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != c.code || (w.Body.String() == "passed") != (c.code == 200) {
			t.Errorf("%s: %d %s, want %d", c.name, w.Code, w.Body, c.code)
		}
		if c.code == 200 && !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: no content policy", c.name)
		}
	}
}

// TestForms: what a form of a foreign page can send without asking is no JSON.
func TestForms(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
			if code, _ := b.ask("/api/press", `{"key":"5"}`, "Content-Type: "+kind); code != 415 {
				t.Errorf("POST of %q: %d, want 415", kind, code)
			}
		}
		if code, _ := b.ask("/api/press", `{"key":"5"}`, "Content-Type: application/json; charset=utf-8"); code != 204 {
			t.Errorf("POST of JSON with a charset: %d, want 204", code)
		}
		if did := b.did(); did != "down 5, up 5" {
			t.Errorf("the phone saw %q", did)
		}
	})
}

func TestPageCaching(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		res := b.open("/panel.css", "")
		res.Body.Close()
		if code, _ := b.ask("/panel.css", "", "If-None-Match: "+res.Header.Get("ETag")); code != 304 {
			t.Errorf("second request: %d, want 304", code)
		}
	})
}

// TestPageIsWhole: the page names nothing that is elsewhere.
func TestPageIsWhole(t *testing.T) {
	files, err := pageFiles.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := pageFiles.ReadFile("page/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		own := strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", "") // a name, not an address
		for _, bad := range []string{"http://", "https://", "@import", "url("} {
			if strings.Contains(own, bad) {
				t.Errorf("page/%s has %s", f.Name(), bad)
			}
		}
	}
}
