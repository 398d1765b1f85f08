package supervise

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The life of a program as times (since the start), inputs, and what follows.
func TestMachine(t *testing.T) {
	for name, script := range map[string]string{
		"dies once: starts again at once": `
			0s start -> running spawn
			1s answered -> running
			2s exited -> running spawn`,
		"dies again and again: waits longer, up to a limit": `
			0s start -> running spawn
			1ms exited -> running spawn
			2ms exited -> waiting +200ms
			202ms tick -> running spawn
			203ms exited -> waiting +400ms
			603ms tick -> running spawn
			604ms exited -> waiting +800ms
			1404ms tick -> running spawn
			1405ms exited -> waiting +1.6s
			3005ms tick -> running spawn
			3006ms exited -> waiting +3.2s
			6206ms tick -> running spawn
			6207ms exited -> waiting +6.4s
			12607ms tick -> running spawn
			12608ms exited -> waiting +10s
			22608ms tick -> running spawn
			22609ms exited -> waiting +10s`,
		"a good run ends the series": `
			0s start -> running spawn
			1s exited -> running spawn
			1500ms exited -> waiting +200ms
			1700ms tick -> running spawn
			1800ms answered -> running
			31800ms exited -> running spawn`,
		"hangs: killed after Hang, started again": `
			0s start -> running spawn
			1s answered -> running
			15900ms tick -> running
			16s tick -> killing kill
			16100ms exited -> running spawn`,
		"never answers: killed after Grace": `
			0s start -> running spawn
			29s tick -> running
			30s tick -> killing kill
			30s exited -> running spawn`,
		"cannot be killed: stuck until it ends": `
			0s start -> running spawn
			30s tick -> killing kill
			40s tick -> killing stuck
			90s exited -> running spawn`,
		"stop: TERM, then KILL": `
			0s start -> running spawn
			1s stop -> ending terminate
			2s stop -> ending
			16s tick -> killing kill
			16100ms exited -> stopped`,
		"stop while waiting": `
			0s start -> running spawn
			0s exited -> running spawn
			0s exited -> waiting +200ms
			0s stop -> stopped
			1s tick -> stopped`,
		"restart is at once and no death": `
			0s start -> running spawn
			1s restart -> ending terminate
			2s exited -> running spawn
			3s exited -> running spawn`,
		"restart cuts the wait short": `
			0s start -> running spawn
			0s exited -> running spawn
			0s exited -> waiting +200ms
			0s restart -> running spawn`,
		"restart that does not end by TERM": `
			0s start -> running spawn
			1s restart -> ending terminate
			16s tick -> killing kill
			17s exited -> running spawn`,
		"stop while it ends to run anew: told so, and has its time from then on": `
			0s start -> running spawn
			1s restart -> ending terminate
			2s stop -> ending terminate
			3s stop -> ending
			16s tick -> ending
			17s tick -> killing kill
			18s exited -> stopped`,
		"wanted again while it ends": `
			0s start -> running spawn
			1s stop -> ending terminate
			2s start -> ending
			3s exited -> running spawn`,
		"late inputs mean nothing": `
			0s answered -> stopped
			0s tick -> stopped
			0s restart -> stopped
			0s stop -> stopped
			0s exited -> stopped`,
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Unix(1000, 0)
			m := NewMachine(DefaultPolicy())
			inputs := map[string]Input{"start": Start, "stop": Stop, "restart": Restart, "exited": Exited, "answered": Answered, "tick": Tick}
			for line := range strings.Lines(strings.TrimSpace(script)) {
				event, want, _ := strings.Cut(strings.TrimSpace(line), " -> ")
				f := strings.Fields(event)
				at, err := time.ParseDuration(f[0])
				if err != nil {
					t.Fatal(err)
				}
				effects := m.Step(begin.Add(at), inputs[f[1]])
				got := m.State().String()
				for _, e := range effects {
					got += " " + e.String()
				}
				if m.State() == Waiting {
					got += fmt.Sprintf(" +%v", m.Due().Sub(begin.Add(at)))
				}
				if m.Stuck() {
					got += " stuck"
				}
				if got != want {
					t.Fatalf("%s: %s, want %s", event, got, want)
				}
			}
		})
	}
}

func TestWithoutProbeNobodyHangs(t *testing.T) {
	p := DefaultPolicy()
	p.Grace = 0
	m := NewMachine(p)
	m.Step(time.Unix(0, 0), Start)
	if !m.Due().IsZero() || !m.Answering() {
		t.Errorf("due %v, answering %v", m.Due(), m.Answering())
	}
}
