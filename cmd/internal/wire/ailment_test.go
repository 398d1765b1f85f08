package wire

import (
	"testing"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/media/prompt"
)

func TestAilments(t *testing.T) {
	raised := func(code string, s health.Severity) health.Condition {
		return health.Condition{Code: code, Severity: s}
	}
	cases := []struct {
		name       string
		conditions []health.Condition
		want       prompt.Ailment
		ails       bool
	}{
		{"healthy", nil, 0, false},
		{"a peer is away", []health.Condition{raised("peer.office", health.Warning)}, 0, false},
		{"the disk is full", []health.Condition{raised(journalCode, health.Warning)}, prompt.NoStorage, true},
		{"the disk is almost full", []health.Condition{raised(storageCode, health.Warning)}, 0, false},
		{"a lamp cannot be written", []health.Condition{raised("lamps", health.Error)}, prompt.OtherFault, true},
		{"the worst first", []health.Condition{raised("lamps", health.Error), raised("system.clock", health.Error), raised("address.192.0.2.1", health.Error),
			raised("registration.sip:a@b", health.Error)}, prompt.NoNetwork, true},
		{"no clock", []health.Condition{raised(clockCode, health.Error)}, prompt.NoClock, true},
		{"a clock that the first process has only guessed", []health.Condition{raised("system.clock", health.Warning)}, prompt.NoClock, true},
		{"no data partition", []health.Condition{raised("system.data", health.Error)}, prompt.NoStorage, true},
		{"an update that failed", []health.Condition{raised("system.update", health.Warning)}, 0, false},
		{"no identity, and none in the network", []health.Condition{raised("system.provision.fetch", health.Warning), raised("system.identity", health.Error),
			raised("system.network", health.Error)}, prompt.NotSetUp, true},
		{"a new identity is refused, the old one stays", []health.Condition{raised("system.provision", health.Error)}, prompt.OtherFault, true},
		{"no address", []health.Condition{raised("system.network", health.Error)}, prompt.NoNetwork, true},
		{"DHCP in place of network.toml", []health.Condition{raised("system.network.toml", health.Error)}, prompt.OtherFault, true},
		{"SIP does not listen", []health.Condition{raised("sip.listener.udp:eth0:5060", health.Error)}, prompt.NoNetwork, true},
		{"the data partition is full", []health.Condition{raised("system.data.space", health.Error)}, prompt.NoStorage, true},
		{"callers of before are lost, and the disk is well", []health.Condition{raised("journal.lost", health.Warning)}, 0, false},
	}
	for _, c := range cases {
		if got, ails := ailmentOf(c.conditions); got != c.want || ails != c.ails {
			t.Errorf("%s: %v %v, want %v %v", c.name, got, ails, c.want, c.ails)
		}
	}
}

// A worker is told once, again when it is something else, and again after a while; what was well meanwhile is news.
func TestComplaints(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var c complaint
	steps := []struct {
		after time.Duration
		a     prompt.Ailment
		ails  bool
		want  bool
	}{
		{0, prompt.NoClock, true, true}, {time.Minute, prompt.NoClock, true, false}, {time.Second, prompt.NoNetwork, true, true},
		{tellAgain, prompt.NoNetwork, true, true}, {time.Second, 0, false, false}, {time.Second, prompt.NoNetwork, true, true},
	}
	for i, s := range steps {
		now = now.Add(s.after)
		if got := c.due(s.a, s.ails, now); got != s.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

func TestJudgeStorage(t *testing.T) {
	cases := []struct {
		readOnly bool
		free     uint64
		severity health.Severity
		wrong    bool
	}{{false, 1 << 30, health.Warning, false}, {false, almostFull - 1, health.Warning, true}, {false, 0, health.Error, true}, {true, 1 << 30, health.Error, true}}
	for _, c := range cases {
		s, text, hint := judgeStorage(c.readOnly, c.free)
		if s != c.severity || (text != "") != c.wrong || (hint != "") != c.wrong {
			t.Errorf("%+v: %v %q %q", c, s, text, hint)
		}
	}
}

// A clock that nobody has set is an error until somebody does.
func TestClockThatIsNotSet(t *testing.T) {
	now := time.Unix(600, 0)
	s := surroundings{now: func() time.Time { return now }, health: health.New(func() {})}
	s.showClock()
	if all := s.health.All(); len(all) != 1 || all[0].Severity != health.Error || all[0].Hint == "" {
		t.Errorf("%+v", all)
	}
	if worst, ails := ailmentOf(s.health.All()); !ails || worst != prompt.NoClock {
		t.Errorf("told as %v %v", worst, ails)
	}
	now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	s.showClock()
	if all := s.health.All(); len(all) != 0 {
		t.Errorf("set, and %+v", all)
	}
}
