package wire

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"parklamp/cmd/internal/config"
	"parklamp/media"
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

// What is refused says so: the parts of media.bad are counted each, and each is told to be a part.
func TestPartsOfBadAreTold(t *testing.T) {
	var a mediaTotals
	a.add(media.Stats{Bad: 10, Malformed: 1, Looped: 2, Unauthentic: 3, Replayed: 4})
	if sum := a.Malformed + a.Looped + a.Unauthentic + a.Replayed; sum != a.Bad {
		t.Errorf("the parts are %d, the whole %d", sum, a.Bad)
	}
	for _, part := range []string{"malformed", "looped", "unauthentic", "replayed"} {
		if about := panel.CounterAbout("media." + part); !strings.Contains(about, "part of media.bad") {
			t.Errorf("media.%s is told as %q", part, about)
		}
		if about := panel.CounterAbout("media.bad"); !strings.Contains(about, part) {
			t.Errorf("media.bad is told as %q, without %s", about, part)
		}
	}
}
