package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/media"
	"parklamp/sip"
)

// What the first process has found is a condition of the phone as long as it says so, also after it was away.
func TestFirstProcess(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "init.sock")
	t.Setenv(initapi.SocketEnv, socket)
	cfg := sip.Default()
	cfg.Listen = []string{"udp:127.0.0.1:0"}
	endpoint, err := sip.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{}, 16)
	a := &Appliance{now: time.Now, endpoint: endpoint, engine: media.NewEngine(media.Default(), nil)}
	a.cfg.Media, a.cfg.SIP = media.Default(), cfg
	a.health = health.New(func() { changed <- struct{}{} })
	told := make(chan initapi.Told) // to the listener; an empty one hangs up
	serve := func() *http.Server {
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for one := range told {
				_ = json.NewEncoder(w).Encode(one)
				_ = http.NewResponseController(w).Flush()
				if one.Conditions == nil {
					return
				}
			}
		})}
		go func() { _ = s.Serve(l) }()
		return s
	}
	s := serve()
	defer func() { _ = s.Close() }()
	ended := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- a.watchFirmware(ctx) }()
	expect := func(want string) {
		t.Helper()
		for limit := time.After(2 * time.Minute); ; {
			got := ""
			for _, c := range a.health.All() {
				got += c.Code + " " + c.Severity.String() + ";"
			}
			if got == want {
				return
			}
			select {
			case <-changed:
			case <-limit:
				t.Fatalf("%q, want %q", got, want)
			}
		}
	}
	since := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC) // before this program began
	clock := health.Condition{Code: "clock", Since: since, Text: "no time"}
	told <- initapi.Told{Conditions: []health.Condition{{Code: "data", Severity: health.Error, Text: "no card"}, clock}}
	expect("system.data error;system.clock warning;")
	told <- initapi.Told{Conditions: []health.Condition{clock}}
	expect("system.clock warning;")
	told <- initapi.Told{}
	expect("")
	told <- initapi.Told{Conditions: []health.Condition{clock}} // a second later, on another connection
	expect("system.clock warning;")
	if got := a.health.All()[0].Since; !got.Equal(since) {
		t.Errorf("since %v, want %v", got, since)
	}
	close(told)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The switch's wish counts where nobody has configured another mark.
func TestMarks(t *testing.T) {
	wish := &initapi.Voice{DSCP: 34, Signalling: 26}
	for _, c := range []struct {
		audio, signalling int
		v                 *initapi.Voice
		want              string
	}{
		{46, 24, nil, "46 24"},
		{46, 24, wish, "34 26"},
		{40, 24, wish, "40 26"},
		{46, 0, wish, "34 0"},
	} {
		cfg := config.Config{Media: media.Default(), SIP: sip.Default()}
		cfg.Media.DSCP, cfg.SIP.DSCP = c.audio, c.signalling
		audio, signalling := marks(cfg, c.v)
		if got := fmt.Sprint(audio, " ", signalling); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
