package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parklamp/cmd/internal/initapi"
	"parklamp/parkd/panel"
)

// phoned runs the program until it ends by itself, and returns its status and what it said.
func phoned(t *testing.T, config string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "phoned"), "-config", config)
	cmd.Stderr = &said
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("phoned goes on:\n%s", said.String())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), said.String()
}

func TestBadConfigurationHasItsOwnStatus(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dock.toml")
	if err := os.WriteFile(file, []byte("[lot]\ntimeout = \"1ms\"\norbit = [\"701\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	status, said := phoned(t, file)
	if status != initapi.BadConfig {
		t.Errorf("status %d, want %d", status, initapi.BadConfig)
	}
	for _, want := range []string{initapi.BadConfigWords + "\n" + file, file + `:3:1: lot.orbit: unknown key; did you mean "orbits"?`} {
		if !strings.Contains(said, want) {
			t.Errorf("it said:\n%swant: %s", said, want)
		}
	}
}

// A busy port names the address, who holds it and the key to change.
func TestBusyPort(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	text, err := os.ReadFile(p.dock1().Config)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "dock.toml") // the same but for its journal, which has a word of its own for this
	journal := filepath.Join(filepath.Dir(p.dock1().Config), "journal")
	if err := os.WriteFile(own, bytes.ReplaceAll(text, []byte(journal), []byte(own+".journal")), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, said := phoned(t, p.dock1().Config); status != 1 || !strings.Contains(said, "journal.path") || !strings.Contains(said, journal) {
		t.Errorf("with the journal of a running one: status %d, it said:\n%s", status, said)
	}
	status, said := phoned(t, own)
	if status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	for _, want := range []string{p.sip(1).String(), "phoned", "sip.listen"} {
		if !strings.Contains(said, want) {
			t.Errorf("it said:\n%swithout %q", said, want)
		}
	}
	// The one that holds the port goes on.
	o := p.call(p.dock1(), "201", 11, "caller")
	p.answer(p.dock1())
	p.conversation(p.dock1(), o)
	p.hook(p.dock1(), false)
	o.ended()
}

// A peer that is not there is a health condition, and everything else goes on working.
func TestAbsentPeer(t *testing.T) {
	t.Parallel()
	p := newPlace(t, dies)
	p.cut(p.office())
	absent := func(st panel.Status) bool {
		return slices.ContainsFunc(st.Health, func(c panel.Condition) bool { return strings.Contains(c.Text, "office") && c.Hint != "" })
	}
	p.await(p.dock1(), "health condition that names office and says what to do", absent)
	o := p.call(p.dock1(), "201", 11, "caller")
	p.answer(p.dock1())
	p.press(p.dock1(), "park")
	for _, a := range p.Appliances[:2] {
		p.await(a, "orbit 701", func(st panel.Status) bool { return taken(st)["701"] != "" })
	}
	p.fetch(p.dock2(), "701")
	p.conversation(p.dock2(), o)
	p.hook(p.dock2(), false)
	o.ended()
	if err := p.office().Start(); err != nil {
		t.Fatal(err)
	}
	p.await(p.dock1(), "no health condition", func(st panel.Status) bool { return !absent(st) })
}
