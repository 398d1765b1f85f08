package depot

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const mac = "B8:27:eb:01:02:03"

func TestResolve(t *testing.T) {
	for name, c := range map[string]struct{ url, want string }{
		"folder":            {"http://depot.example/phones/", "http://depot.example/phones/b8-27-eb-01-02-03.tar"},
		"folder, no slash":  {"https://depot.example/phones", "https://depot.example/phones/b8-27-eb-01-02-03.tar"},
		"host only":         {"http://192.0.2.9:8000", "http://192.0.2.9:8000/b8-27-eb-01-02-03.tar"},
		"one archive":       {"http://depot.example/dock-7.tar", "http://depot.example/dock-7.tar"},
		"archive and query": {"http://depot.example/dock-7.tar?v=1#x", "http://depot.example/dock-7.tar?v=1"},
		"query":             {"http://depot.example/set?phone=", "http://depot.example/set?phone=b8-27-eb-01-02-03.tar"},
		"climbs":            {"http://depot.example/a/../b/", "http://depot.example/b/b8-27-eb-01-02-03.tar"},
		"tftp":              {"tftp://depot.example/", ""},
		"no host":           {"http:///x.tar", ""},
		"malformed":         {"http://user:secret@[::1/", ""},
	} {
		u, err := resolve(c.url, mac)
		if c.want == "" {
			if !errors.Is(err, errURL) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v, %v", name, u, err)
			}
		} else if err != nil || u.String() != c.want {
			t.Errorf("%s: %v, %v", name, u, err)
		}
	}
	if _, err := resolve("http://depot.example/", ""); !errors.Is(err, errURL) {
		t.Error("a folder without an Ethernet address:", err)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("http://depot.example/phones/", mac)
	f.Add("https://a:b@[2001:db8::1]:8443/x.tar?y=z", "")
	f.Fuzz(func(t *testing.T, text, mac string) {
		u, err := resolve(text, mac)
		if err != nil {
			return
		}
		// What it makes is a URL that it takes.
		if again, err := resolve(u.String(), mac); err != nil || again.Host != u.Host || again.Scheme != u.Scheme {
			t.Errorf("%q: %v, %v", u, again, err)
		}
	})
}

func TestFetch(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/phones/b8-27-eb-01-02-03.tar", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "depot" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte("the set"))
	})
	mux.HandleFunc("/large.tar", func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for r.Context().Err() == nil { // without an end
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/short.tar", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("half of the"))
	})
	mux.HandleFunc("/broken.tar", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	mux.HandleFunc("/round.tar", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round.tar", http.StatusFound) })
	mux.HandleFunc("/hangs.tar", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	defer server.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	with := strings.Replace(server.URL, "http://", "http://depot:secret@", 1)
	for name, c := range map[string]struct {
		url, want string
		err       error
	}{
		"there":         {url: with + "/phones/"},
		"wrong secret":  {url: server.URL + "/phones/?x=", want: "answers 404"},
		"no secret":     {url: server.URL + "/phones/", want: "answers 401"},
		"nothing there": {url: with + "/other/", want: "answers 404", err: errNothing},
		"too large":     {url: with + "/large.tar", err: errSize, want: "more than"},
		"cut off":       {url: with + "/short.tar", want: "unexpected EOF"},
		"ill":           {url: with + "/broken.tar?token=secret", want: "answers 502"},
		"in a circle":   {url: with + "/round.tar?token=secret", want: "redirects"},
		"nobody":        {url: strings.Replace(gone.URL, "http://", "http://depot:secret@", 1) + "/?token=secret", want: "refused"},
	} {
		var got bytes.Buffer
		err := Fetch(t.Context(), Request{URL: c.url, MAC: mac}, &got)
		if c.want == "" {
			if err != nil || got.String() != "the set" {
				t.Errorf("%s: %q, %v", name, got.String(), err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
		if got.Len() > MaxArchive+1 {
			t.Errorf("%s: %d bytes", name, got.Len())
		}
	}
	// Who stops asking is not held up by a server that hangs.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Fetch(ctx, Request{URL: with + "/hangs.tar"}, &bytes.Buffer{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// An https server proves itself to the authorities that were named; it sends nobody on to http.
func TestFetchTLS(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("forged")) }))
	defer plain.Close()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away.tar" {
			http.Redirect(w, r, plain.URL+"/x.tar", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("the set"))
	}))
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	folder := t.TempDir()
	site, empty := filepath.Join(folder, "site.crt"), filepath.Join(folder, "empty.crt")
	if err := os.WriteFile(site, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path, authority, want string
	}{
		"proven":        {"/dock-7.tar", site, ""},
		"not proven":    {"/dock-7.tar", filepath.Join(folder, "none.crt"), "unknown authority"},
		"no authority":  {"/dock-7.tar", empty, "holds no certificate"},
		"away to plain": {"/away.tar", site, "redirect from https to http"},
	} {
		var got bytes.Buffer
		err := Fetch(t.Context(), Request{URL: server.URL + c.path, Authorities: []string{c.authority}}, &got)
		if c.want == "" && (err != nil || got.String() != "the set") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %q, %v", name, got.String(), err)
		}
	}
}

func TestPatience(t *testing.T) {
	var p Patience
	var got []time.Duration
	for range 9 {
		got = append(got, p.Next(0.5).Round(time.Second))
	}
	want := []time.Duration{5, 10, 20, 40, 80, 160, 300, 300, 300}
	for i := range want {
		if got[i] != want[i]*time.Second {
			t.Fatalf("%v", got)
		}
	}
	p.Renew()
	if low, high := p.Next(0), new(Patience).Next(1); low != 3750*time.Millisecond || high != 6250*time.Millisecond {
		t.Error(low, high)
	}
}
