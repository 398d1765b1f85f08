package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parklamp/cmd/internal/selftest"
	"parklamp/parkd/panel"
)

var _ panel.SelfTester = (*appliance)(nil)

// SelfTest tells the events of the test case.
func (a *appliance) SelfTest(_ context.Context, r panel.SelfTestRequest) (<-chan []byte, error) {
	if err := a.note(fmt.Sprint("selftest ", r.Steps, r.Force)); err != nil {
		return nil, err
	}
	events := make(chan []byte, len(a.test))
	for _, e := range a.test {
		events <- []byte(e)
	}
	close(events)
	return events, nil
}

func (a *appliance) Reports() ([]string, error) {
	return []string{"selftest-2.json", "selftest-1.json"}, nil
}

func (a *appliance) Report(name string) ([]byte, error) {
	switch name {
	case "selftest-1.json":
		return []byte(report), nil
	case "selftest-1.json.jws":
		return []byte("a..b\n"), nil
	}
	return nil, panel.ErrNoSuchReport
}

const report = `{"format":1,"appliance":"dock-1","number":"201","version":"v1","board":"desk","by":"parkctl","started":"2026-11-22T04:00:00Z",` +
	`"ended":"2026-11-22T04:05:00Z","outcome":"failed","steps":["keys"],"findings":[{"step":"keys","item":"5","outcome":"failed","text":"is stuck"},` +
	`{"step":"keys","item":"6","outcome":"passed"}]}` + "\n"

func event(kind, text string) string { return fmt.Sprintf(`{%q:%s}`, kind, text) }

func TestSelfTestWalk(t *testing.T) {
	a, socket := serve(t, dock1())
	out := filepath.Join(t.TempDir(), "report.json")
	walk := []string{
		event("ask", `{"step":"keys","item":"5","number":1,"of":2,"text":"Press 5.","seconds":20}`),
		event("ask", `{"step":"keys","item":"5","number":1,"of":2,"text":"Press 5.","seconds":20,"again":true}`),
		event("finding", `{"step":"keys","item":"5","outcome":"failed","text":"is stuck"}`),
		event("ask", `{"step":"disk","item":"disk","number":2,"of":2,"text":"Writing.","seconds":0}`),
		event("finding", `{"step":"disk","item":"commit","outcome":"passed","figures":[{"name":"p50","value":0.9,"unit":"ms"}]}`),
	}
	end := func(outcome selftest.Outcome) string {
		return event("end", fmt.Sprintf(`{"outcome":%q,"report":%q,"signature":"a..b","path":"/data/reports/selftest-1.json"}`, outcome, report))
	}
	a.test = append(walk, end(selftest.Failed))
	code, stdout, stderr := parkctl(socket, "selftest", "--steps", "keys,disk", "--force", "--out", out)
	if code != exitError || !strings.Contains(stderr, "failed") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	golden(t, "selftest.txt", stdout)
	if got := a.done; len(got) != 1 || got[0] != "selftest [keys disk] true" {
		t.Errorf("asked %q", got)
	}
	for path, want := range map[string]string{out: report, out + ".jws": "a..b"} {
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s: %q %v", path, b, err)
		}
	}
	a.test = append(walk, end(selftest.Warned))
	if code, stdout, _ := parkctl(socket, "--json", "selftest"); code != exitDone || stdout != strings.Join(a.test, "\n")+"\n" {
		t.Errorf("exit %d, %s", code, stdout)
	}
	unsigned := filepath.Join(t.TempDir(), "report.json")
	a.test = append(walk, event("end", fmt.Sprintf(`{"outcome":"passed","report":%q,"trouble":"is not signed"}`, report)))
	if code, _, stderr := parkctl(socket, "selftest", "--out", unsigned); code != exitDone || !strings.Contains(stderr, unsigned+" is not signed, and nobody can verify it: an appliance signs with selftest.key or sip.tls_key") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if code, _, stderr := parkctl(socket, "selftest", "verify", unsigned, "--ca", "ca.crt"); code != exitError || !strings.Contains(stderr, "if the report was signed: an appliance signs with selftest.key or sip.tls_key") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if code, _, stderr := parkctl(socket, "selftest", "--out", filepath.Join(out, "no", "folder")); code != exitError || len(a.done) != 3 || !strings.Contains(stderr, "not a directory") {
		t.Errorf("exit %d, %q, asked %q", code, stderr, a.done)
	}
	a.test = walk // and then it died
	if code, _, stderr := parkctl(socket, "selftest"); code != exitError || !strings.Contains(stderr, "stopped in the middle") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	a.refuse = panel.ErrNotNow
	if code, _, stderr := parkctl(socket, "selftest"); code != exitError || !strings.Contains(stderr, "not possible now") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestSelfTestReports(t *testing.T) {
	_, socket := serve(t, dock1())
	out := filepath.Join(t.TempDir(), "r.json")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"selftest", "reports"}, exitDone, "selftest-2.json\nselftest-1.json\n"},
		{[]string{"--json", "selftest", "reports"}, exitDone, `"selftest-2.json",`},
		{[]string{"selftest", "reports", "selftest-1.json"}, exitDone, "FAILED   keys        5: is stuck"},
		{[]string{"selftest", "reports", "selftest-1.json", "--out", out}, exitDone, ""},
		{[]string{"selftest", "reports", "selftest-3.json"}, exitError, "no such report"},
		{[]string{"selftest", "reports", "--out", out}, exitUsage, "which report?"},
		{[]string{"selftest", "reports", "../x"}, exitUsage, "want a name"},
		{[]string{"selftest", "verify", out}, exitUsage, "--ca"},
		{[]string{"selftest", "verify", out, "--ca", out}, exitError, "holds no certificate"},
		{[]string{"selftest", "--steps", ""}, exitUsage, `"" is no step; there are lamps, keys`},
		{[]string{"selftest", "--steps", "eyes"}, exitUsage, `"eyes" is no step; there are lamps, keys`},
		{[]string{"selftest", "--ca", "x"}, exitUsage, "belong"},
		{[]string{"status", "--steps", "keys"}, exitUsage, "belong"},
	} {
		code, stdout, stderr := parkctl(socket, c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%v: exit %d, %q %q, want %d and %q", c.args, code, stdout, stderr, c.code, c.says)
		}
	}
	if b, err := os.ReadFile(selftest.SignaturePath(out)); err != nil || string(b) != "a..b\n" {
		t.Errorf("signature %q %v", b, err)
	}
}
