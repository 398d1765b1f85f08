package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"parklamp/parkd/panel"
)

// From the desk an appliance is asked by its panel as its own socket is: the same words, the same keys.
func TestAt(t *testing.T) {
	a := &appliance{s: dock1(), changed: func() {}, test: []string{
		event("finding", `{"step":"keys","item":"5","outcome":"passed"}`), event("end", fmt.Sprintf(`{"outcome":"passed","report":%q}`, report))}}
	cfg := panel.Default()
	cfg.Listen, cfg.Socket = netip.MustParseAddrPort("127.0.0.1:0"), filepath.Join(t.TempDir(), "phoned.sock")
	srv := panel.New(cfg, a, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-srv.Ready()
	at := srv.Addr().String()
	for _, args := range []string{"status", "status --counters", "orbits", "calls", "lamps", "status --json", "orbits --json", "press nokey", "selftest reports", "selftest reports selftest-1.json", "selftest --steps keys"} {
		wantCode, want, wantErr := parkctl(cfg.Socket, strings.Fields(args)...)
		code, out, errs := parkctl("", append([]string{"--at", at}, strings.Fields(args)...)...)
		if code != wantCode || out != want || errs != wantErr || out+errs == "" {
			t.Errorf("%s: exit %d, printed %q %q; at its socket %d, %q %q", args, code, out, errs, wantCode, want, wantErr)
		}
	}
	a.done = nil
	for _, args := range []string{"press park", "hook up", "dial 5"} {
		if code, _, errs := parkctl("", append(strings.Fields(args), "--at", "http://"+at)...); code != 0 {
			t.Errorf("%s: %s", args, errs)
		}
	}
	if got := strings.Join(a.done, ", "); got != "down park, up park, hook true, dial 5" {
		t.Errorf("did %s", got)
	}
}

// What cannot be asked from afar is told, and a terminal does not obey what answers at an address.
func TestAtRefuses(t *testing.T) {
	hostile := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"error":"no\u001b[2J"}`))
	}))
	defer hostile.Close()
	for args, c := range map[string]struct {
		code int
		want string
	}{
		"restart --at 192.0.2.7":              {exitUsage, "--at: no panel restarts anything for whoever reaches it: run parkctl restart on the appliance"},
		"site list hall --at 192.0.2.7":       {exitUsage, "--at: site list does not ask an appliance"},
		"status --at 192.0.2.7 --socket /x":   {exitUsage, "--at and --socket name two appliances"},
		"status --at ftp://192.0.2.7":         {exitUsage, `--at "ftp://192.0.2.7": want the panel's address, such as 192.0.2.7 or 192.0.2.7:8080`},
		"status --at :8080":                   {exitUsage, `--at ":8080": want`},
		"status --at 127.0.0.1:1":             {exitError, "no appliance on http://127.0.0.1:1: nobody listens there; panel.listen of its configuration opens the panel to others"},
		"status --at localhost:99999":         {exitUsage, `--at "localhost:99999": port 99999: want 1 to 65535`},
		"update status --at 127.0.0.1:1":      {exitError, "no appliance on 127.0.0.1:1: nobody listens there; panel.listen of its configuration opens the panel to others"},
		"status --at " + hostile.URL:          {exitError, "parkctl: no"},
		"--at " + hostile.URL + " press park": {exitError, "parkctl: no"},
	} {
		code, out, errs := parkctl("", strings.Fields(args)...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(out+errs, "\x1b") {
			t.Errorf("%s: exit %d, %q %q; want %d, %q", args, code, out, errs, c.code, c.want)
		}
	}
}

// JSON is for programs, and yet somebody may look at it: a terminal does not obey it, and a program reads the same.
func TestAtShowsControlCharacters(t *testing.T) {
	for name, x := range map[string]struct {
		answer, want string
	}{
		"as it is":   {"{\"name\":\"Jürgen 電話\\u001b\"}\r\n", "Jürgen 電話\x1b"},
		"delete":     {"{\"name\":\"a\x7fb\"}", "a\x7fb"},
		"C1":         {"{\"name\":\"\u009b2J\u0085\"}", "\u009b2J\u0085"},
		"a byte":     {"{\"name\":\"\x9b2J\"}", "\ufffd2J"},
		"turned":     {"{\"name\":\"\u202egnp\"}", "\u202egnp"},
		"two units":  {"{\"name\":\"\U000e0001\"}", "\U000e0001"},
		"white":      {"{\"name\":\r\"x\"}", "x"},
		"no JSON":    {"\x1b[2J\u009b", ""},
		"JSON, more": {"{}\x1b[2J", ""},
	} {
		hostile := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/selftest") {
				fmt.Fprintln(w, strings.TrimSpace(x.answer))
				return
			}
			_, _ = w.Write([]byte(x.answer))
		}))
		for _, args := range []string{"status", "orbits", "selftest reports", "selftest reports selftest-1.json", "selftest"} {
			_, out, errs := parkctl("", append(strings.Fields(args), "--json", "--at", hostile.URL)...)
			if obeyed := strings.IndexFunc(out+errs, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); obeyed >= 0 {
				t.Errorf("%s, %s: printed %q", name, args, out+errs)
			}
			var got struct{ Name string }
			if err := json.Unmarshal([]byte(out), &got); (err == nil) != (x.want != "") || got.Name != x.want {
				t.Errorf("%s, %s: printed %q, which is %q, %v; want %q (%s)", name, args, out, got.Name, err, x.want, errs)
			}
		}
		hostile.Close()
	}
}

// An update goes straight to its appliance as all else does, whatever proxy the environment names.
func TestUpdateAtUsesNoProxy(t *testing.T) {
	way, ok := (&tool{at: "http://192.0.2.7:8080"}).place().http.Transport.(*http.Transport)
	if !ok || way.Proxy != nil {
		t.Errorf("%T %+v", way, way)
	}
}

// A panel is at the port of its default unless told otherwise.
func TestPanelAt(t *testing.T) {
	for text, want := range map[string]string{"192.0.2.7": "http://192.0.2.7:8080", "192.0.2.7:80": "http://192.0.2.7:80", "2001:db8::7": "http://[2001:db8::7]:8080",
		"[2001:db8::7]": "http://[2001:db8::7]:8080", "[2001:db8::7]:81": "http://[2001:db8::7]:81", "dock-7": "http://dock-7:8080", "fe80::7%eth0": "http://[fe80::7%25eth0]:8080", "[fe80::7%eth0]:81": "http://[fe80::7%25eth0]:81", "https://proxy.example/x": "https://proxy.example"} {
		if got, err := panelAt(text); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}
