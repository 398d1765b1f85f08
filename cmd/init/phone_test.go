package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"parklamp/cmd/internal/client"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/update"
	"parklamp/parkd/panel"
)

// phoneThatSays is the phone behind a panel: it shows what a test has stored.
type phoneThatSays struct {
	panel.Backend // nil: nobody presses a key
	status        atomic.Pointer[panel.Status]
}

func (p *phoneThatSays) Status() panel.Status    { return *p.status.Load() }
func (p *phoneThatSays) Subscribe(func()) func() { return func() {} }

// withPanel is a system that asks a panel, as phoned serves it, and the phone behind that.
func withPanel(t *testing.T) (*system, *phoneThatSays) {
	t.Helper()
	p := &phoneThatSays{}
	p.status.Store(&panel.Status{})
	cfg := panel.Default()
	cfg.Listen, cfg.Socket = netip.AddrPort{}, filepath.Join(t.TempDir(), "phoned.sock")
	server := panel.New(cfg, p, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-server.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	s := newSystem()
	s.phone.asks = client.Socket(cfg.Socket)
	return s, p
}

// What a system on trial is confirmed by is what phoned's panel says.
func TestVerdictOfATrial(t *testing.T) {
	s, phone := withPanel(t)
	account := func(state string) panel.Account { return panel.Account{AOR: "sip:dock-1@example.net", State: state} }
	peer := func(state string) panel.Peer { return panel.Peer{Name: "dock-2", State: state} }
	ails := func(code, severity, text string) panel.Status {
		return panel.Status{Health: []panel.Condition{{Code: code, Severity: severity, Text: text}}}
	}
	for name, c := range map[string]struct {
		status panel.Status
		want   string
	}{
		"alone":           {panel.Status{}, ""},
		"registered":      {panel.Status{Accounts: []panel.Account{account("failed"), account(panel.AccountRegistered)}, Peers: []panel.Peer{peer(panel.PeerDead)}}, ""},
		"a peer is alive": {panel.Status{Peers: []panel.Peer{peer(panel.PeerDead), peer(panel.PeerAlive)}}, ""},
		"out of touch": {panel.Status{Accounts: []panel.Account{account("trying")}, Peers: []panel.Peer{peer(panel.PeerUnknown), peer(panel.PeerDead)}},
			"neither registered nor in touch with a peer"},
		"hears nothing":             {ails(panel.CodeListener+".udp:eth0:5060", panel.SeverityError, "deaf"), "deaf"},
		"a lamp is broken":          {ails("board.lamps", panel.SeverityError, "dark"), ""},
		"the journal was lost":      {ails(panel.CodeJournal, panel.SeverityError, "no calls"), "no calls"},
		"the journal is not stored": {ails(panel.CodeJournal, panel.SeverityWarning, "no access"), "no access"},
		"callers were lost before":  {ails(panel.CodeJournal+".lost", panel.SeverityWarning, "ring them back"), ""},
	} {
		phone.status.Store(&c.status)
		if ok, why := s.updates.verdict(t.Context()); why != c.want || ok != (c.want == "") {
			t.Errorf("%s: %t %s", name, ok, why)
		}
	}
	// A card that is full or worn out is so for the system before as well, which can be updated all the same.
	full := ails(panel.CodeJournal, panel.SeverityWarning, "no space left on device")
	phone.status.Store(&full)
	for _, code := range []string{spaceCode, initapi.CodeData} {
		s.raise(health.Condition{Code: code, Severity: health.Error})
		if ok, why := s.updates.verdict(t.Context()); !ok {
			t.Errorf("%s: %s", code, why)
		}
		s.clear(code)
	}
}

// A phone that runs without what makes it the site's has nothing to miss, and is none the better for it: such a system is not
// confirmed.
func TestTrialThatLacksTheAppliance(t *testing.T) {
	s, phone := withPanel(t)
	phone.status.Store(&panel.Status{}) // neither accounts nor peers
	const well = ""                     // also before phoned was asked for the first time by who watches it
	whole := initapi.Data{Device: "/dev/vda4"}
	for name, c := range map[string]struct {
		data     initapi.Data
		nameless string
		refused  int
		want     string
	}{
		"new, or whole":          {whole, "", 0, well},
		"data is lost":           {initapi.Data{Fault: "mount: invalid argument"}, "", 0, "the data partition is not in use: mount: invalid argument"},
		"the set is not taken":   {whole, "the identity of this appliance cannot be used: x", 0, "the identity of this appliance cannot be used: x"},
		"phoned refuses its own": {whole, "", 1, "the phone refuses its configuration"},
	} {
		s.store.data, s.identity.nameless, s.phone.refused = c.data, c.nameless, c.refused
		if ok, why := s.updates.healthy(t.Context()); ok != (c.want == well) || why != c.want {
			t.Errorf("%s: %t %q, want %q", name, ok, why, c.want)
		}
	}
	s.store.data, s.identity.nameless, s.phone.refused = whole, "", 1
	s.raise(health.Condition{Code: "data.space", Severity: health.Error, Text: "another fault"})
	fault := "the phone runs without its configuration: phoned.toml:1:1: foo: unknown key"
	s.raise(health.Condition{Code: initapi.CodeConfiguration, Severity: health.Error, Text: fault})
	if ok, why := s.updates.healthy(t.Context()); ok || why != fault {
		t.Errorf("%t %q, want the fault %q", ok, why, fault)
	}
}

// Who is parked waits on over a restart, and holds it up only where he would not, or where somebody is about to have
// him.
func TestWhomARestartWaitsFor(t *testing.T) {
	s, phone := withPanel(t)
	call := func(state string, kept bool) panel.Call { return panel.Call{State: state, Kept: kept} }
	parked := func(orbit string, kept, movable bool) panel.Call {
		return panel.Call{State: panel.CallParked, Orbit: orbit, Kept: kept, Movable: movable}
	}
	for name, c := range map[string]struct {
		calls                       []panel.Call
		phoned, appliance, newcomer string
	}{
		"nobody":           {nil, "", "", ""},
		"parked, and kept": {[]panel.Call{parked("701", true, true), parked("702", true, true)}, "", "", "2 calls"},
		"parked, and not moved": {[]panel.Call{parked("703", true, false), parked("702", true, true), parked("701", true, false)},
			"", "2 parked callers (on 701, 703) whom no other appliance would take over", "3 calls"},
		"a talk":                {[]panel.Call{parked("", true, true), call(panel.CallTalking, false)}, "1 call", "1 call", "2 calls"},
		"who is recalled again": {[]panel.Call{parked("", true, true), call(panel.CallRinging, true)}, "", "", "2 calls"},
		"everything": {[]panel.Call{parked("", false, true), call(panel.CallRinging, false), call(panel.CallHeld, false), parked("701", true, false)},
			"2 calls, 1 parked caller being recalled or fetched, or not in the journal",
			"2 calls, 1 parked caller being recalled or fetched, or not in the journal, 1 parked caller (on 701) whom no other appliance would take over", "4 calls"},
	} {
		phone.status.Store(&panel.Status{Calls: c.calls, Ended: []panel.Call{{State: panel.CallEnded}}})
		check := func(who, got, want string, err error) {
			if got != want || err != nil {
				t.Errorf("%s: %s waits for %q, %v, want %q", name, who, got, err, want)
			}
		}
		got, err := s.phone.callsThat(t.Context(), inRestart)
		check("phoned", got, c.phoned, err)
		got, err = s.phone.busy(t.Context())
		check("the appliance", got, c.appliance, err)
		got, err = s.phone.callsThat(t.Context(), anybody)
		check("a newcomer", got, c.newcomer, err)
	}
}

// A phone whose status cannot be read is not one without calls as long as it answers anything, and everybody learns of it.
func TestPhoneThatSaysTooMuch(t *testing.T) {
	s, phone := withPanel(t)
	phone.status.Store(&panel.Status{Calls: []panel.Call{{State: panel.CallParked, Remote: panel.Party{Name: strings.Repeat("x", 9<<20)}}}})
	if why, err := s.phone.busy(t.Context()); why != "" || !errors.Is(err, update.ErrUncounted) {
		t.Errorf("waits for %q, %v", why, err)
	}
	faults := s.health.All()
	if len(faults) != 1 || faults[0].Code != uncountedCode || !strings.Contains(faults[0].Text, "unexpected end of JSON") || !strings.Contains(faults[0].Hint, "--now") {
		t.Errorf("faults %+v", faults)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if why, err := s.phone.busy(ended); why != "" || err == nil {
		t.Errorf("waits for %q, %v although nobody asks any more", why, err)
	}
	phone.status.Store(&panel.Status{})
	if why, err := s.phone.busy(t.Context()); why != "" || err != nil || len(s.health.All()) > 0 {
		t.Errorf("waits for %q, %v, faults %+v of one that says it again", why, err, s.health.All())
	}
}

// What one who waited has found ends when the phone says its calls again, although nobody waits any more; another one's does not
// end with the one who gives up.
func TestPhoneIsCountedAgain(t *testing.T) {
	s, phone := withPanel(t)
	many := panel.Status{Calls: []panel.Call{{State: panel.CallParked, Remote: panel.Party{Name: strings.Repeat("x", 9<<20)}}}}
	phone.status.Store(&many)
	waiting, giveUp := context.WithCancel(t.Context())
	if s.phone.untilIdle(waiting, inRestart, func(string) { giveUp() }) || len(s.health.All()) != 1 {
		t.Fatalf("faults %+v while another one waits", s.health.All())
	}
	changed := func() {}
	known := s.health.All()[0]
	s.health = health.New(func() { changed() })
	s.health.Put(known)
	if s.phone.countAgain(t.Context()); len(s.health.All()) != 1 {
		t.Errorf("faults %+v of one that still does not say it", s.health.All())
	}
	phone.status.Store(&panel.Status{})
	ctx, end := context.WithCancel(t.Context())
	changed = end
	s.updates.watch(ctx, update.New(update.Config{}))
	if len(s.health.All()) > 0 {
		t.Errorf("faults %+v of one that says it again", s.health.All())
	}
}

// A phoned that is not there is neither alive nor free of calls.
func TestSilentPhone(t *testing.T) {
	s, _ := withPanel(t)
	if err := s.phone.alive(t.Context()); err != nil {
		t.Errorf("one that answers: %v", err)
	}
	gone := filepath.Join(t.TempDir(), "phoned.sock")
	s.phone.asks = client.Socket(gone)
	if err := s.phone.alive(t.Context()); err == nil {
		t.Error("alive without a socket")
	}
	want := "no appliance on " + gone + ": the socket does not exist; is phoned running?"
	if why, err := s.phone.busy(t.Context()); why != "" || err == nil || err.Error() != want {
		t.Errorf("waits for %q, %v, want %s", why, err, want)
	}
	if ok, why := s.updates.verdict(t.Context()); ok || why != "phoned does not answer: "+want {
		t.Errorf("%t %s", ok, why)
	}
}
