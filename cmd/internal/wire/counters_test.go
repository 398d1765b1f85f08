package wire

import (
	"log/slog"
	"slices"
	"testing"

	"parklamp/cmd/internal/config"
	"parklamp/parkd/panel"
)

// Every counter has a meaning, every name that is documented is counted, and a gateway has all but those of the keys.
func TestCountersHaveMeanings(t *testing.T) {
	cfg := config.Default()
	cfg.SIP.Listen = []string{"udp:127.0.0.1:5060"}
	cfg.Journal.Path = ""
	a, err := New(cfg, "test", true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var s panel.Status
	a.count(&s)
	for name := range s.Counters {
		if panel.CounterAbout(name) == "" {
			t.Errorf("%s has no meaning", name)
		}
	}
	var names []string
	for _, c := range panel.Counters {
		if _, ok := s.Counters[c.Name]; !ok {
			t.Errorf("nobody counts %s", c.Name)
		}
		names = append(names, c.Name)
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in order: %v", names)
	}
}
