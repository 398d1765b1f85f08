package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"

	"parklamp/cmd/internal/client"
	"parklamp/cmd/internal/selftest"
	"parklamp/parkd/panel"
)

// testFlags are those of the self test.
type testFlags struct {
	steps string // separated by commas
	force bool
	out   string // file for the report
	ca    string // of the site
}

// errTest: the self test has found something; it has been printed.
var errTest = errors.New("self test")

// selfTest leads somebody through a self test at the phone.
func (t *tool) selfTest(ctx context.Context, _ []string) error {
	r := panel.SelfTestRequest{Force: t.test.force}
	if slices.Contains(t.given, "steps") {
		for name := range strings.SplitSeq(t.test.steps, ",") {
			r.Steps = append(r.Steps, strings.TrimSpace(name))
		}
	}
	if _, err := selftest.Choose(r.Steps); err != nil {
		return usagef("--steps: %v", err)
	}
	var end *selftest.Result
	begun := false
	if err := t.canKeep(); err != nil {
		return err
	}
	err := t.appliance().SelfTest(ctx, r, func(text []byte) error {
		var e selftest.Event
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("an event of the self test: %w", err)
		}
		if e.End != nil {
			end = e.End
		}
		if t.json {
			return t.raw(text)
		}
		if !begun {
			begun = true
			fmt.Fprintln(t.out, "Self test. You answer at the phone, with its keys. Hold skips a question, Hold held down the step;\n"+
				"hanging up the handset, or Ctrl-C here, ends the test.")
		}
		t.testEvent(e)
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; the self test has ended")
	case err != nil:
		return err
	case end == nil:
		return errors.New("the appliance stopped in the middle of the self test")
	}
	if err := t.keepReport(end); err != nil {
		return err
	}
	if !t.json {
		if err := t.summary(end); err != nil {
			return err
		}
	}
	if end.Outcome == selftest.Failed || end.Outcome == selftest.Aborted {
		return fmt.Errorf("%w: %s", errTest, end.Outcome)
	}
	return nil
}

var testShades = map[selftest.Outcome]string{selftest.Passed: green, selftest.Warned: yellow, selftest.Failed: red, selftest.Skipped: yellow,
	selftest.Aborted: red}

// testEvent prints a question, or what came of it.
func (t *tool) testEvent(e selftest.Event) {
	switch {
	case e.Ask != nil && e.Ask.Again:
		fmt.Fprintf(t.out, "         %s %s\n", t.shaded(cell{"Not that one. Once more:", yellow}), clean(e.Ask.Text))
	case e.Ask != nil:
		wait := ""
		if e.Ask.Seconds > 0 {
			wait = t.shaded(cell{fmt.Sprintf("  (%d s)", e.Ask.Seconds), faint})
		}
		number := cell{fmt.Sprintf("%3d/%-3d", e.Ask.Number, e.Ask.Of), faint}
		fmt.Fprintf(t.out, "\n%s  %s%s\n", t.shaded(number), t.shaded(cell{clean(e.Ask.Text), bold}), wait)
	case e.Finding != nil:
		mark := fmt.Sprintf("%-8s", selftest.Mark(e.Finding.Outcome))
		fmt.Fprintf(t.out, "         %s %s\n", t.shaded(cell{mark, testShades[e.Finding.Outcome]}), clean(e.Finding.Line()))
	}
}

// summary prints what was not well, and where the report is.
func (t *tool) summary(end *selftest.Result) error {
	r, err := selftest.Decode([]byte(end.Report))
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out)
	for _, f := range r.Findings {
		if f.Outcome != selftest.Passed && f.Outcome != selftest.Absent {
			fmt.Fprintf(t.out, "%s %-10s  %s\n", t.shaded(cell{fmt.Sprintf("%-8s", selftest.Mark(f.Outcome)), testShades[f.Outcome]}), clean(string(f.Step)), clean(f.Line()))
		}
	}
	text := strings.ToUpper(string(end.Outcome))
	if end.Reason != "" {
		text += ": " + clean(end.Reason)
	}
	fmt.Fprintf(t.out, "Self test of %s: %s\n", clean(r.Appliance), t.shaded(cell{text, testShades[end.Outcome]}))
	if end.Path != "" {
		fmt.Fprintf(t.out, "The appliance keeps the report: parkctl selftest reports %s\n", clean(end.Path[strings.LastIndexByte(end.Path, '/')+1:]))
	}
	if end.Trouble != "" {
		fmt.Fprintln(t.out, t.shaded(cell{"The report " + clean(end.Trouble), yellow}))
	}
	return nil
}

// keepReport writes the report, and its signature beside it, where --out says.
func (t *tool) keepReport(end *selftest.Result) error {
	if t.test.out == "" {
		return nil
	}
	return t.writeReport([]byte(end.Report), []byte(end.Signature))
}

// canKeep says before the walk, which takes minutes, that its report could not be written.
func (t *tool) canKeep() error {
	if t.test.out == "" {
		return nil
	}
	_, err := os.Stat(t.test.out)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(t.test.out, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if fresh {
		err = os.Remove(t.test.out)
	}
	return errors.Join(err, f.Close())
}

// signedBy is what an appliance needs that signs its reports.
const signedBy = "an appliance signs with selftest.key or sip.tls_key"

func (t *tool) writeReport(report, signature []byte) error {
	if err := os.WriteFile(t.test.out, report, 0o644); err != nil {
		return err
	}
	if len(signature) == 0 {
		fmt.Fprintf(t.err, "%s is not signed, and nobody can verify it: %s\n", t.test.out, signedBy)
		return nil
	}
	return os.WriteFile(selftest.SignaturePath(t.test.out), signature, 0o644)
}

// testReports lists the reports that the appliance keeps, or prints one.
func (t *tool) testReports(ctx context.Context, args []string) error {
	c := t.appliance()
	if len(args) == 0 && t.test.out != "" {
		return usagef("--out: which report? want: parkctl selftest reports NAME --out FILE")
	}
	if len(args) == 0 {
		text, err := c.Get(ctx, "selftest/reports")
		if err != nil || t.json {
			return errors.Join(err, t.printed(text, err))
		}
		var names []string
		if err := json.Unmarshal(text, &names); err != nil {
			return fmt.Errorf("the list of reports: %w", err)
		}
		for _, n := range names {
			fmt.Fprintln(t.out, clean(n))
		}
		if len(names) == 0 {
			fmt.Fprintln(t.out, "No self test has been made yet.")
		}
		return nil
	}
	name := args[0]
	if strings.ContainsAny(name, "/?#%") {
		return usagef("selftest reports %s: want a name that 'parkctl selftest reports' lists", name)
	}
	text, err := c.Get(ctx, "selftest/reports/"+name)
	if err != nil {
		return err
	}
	if t.test.out != "" {
		signature, err := c.Get(ctx, "selftest/reports/"+selftest.SignaturePath(name))
		if refused := (*client.Refusal)(nil); errors.As(err, &refused) && refused.Code == http.StatusNotFound {
			err = nil // not signed
		}
		if err != nil {
			return err
		}
		return t.writeReport(text, signature)
	}
	if t.json {
		return t.raw(text)
	}
	r, err := selftest.Decode(text)
	if err != nil {
		return err
	}
	r.Print(t.out)
	return nil
}

// printed prints JSON as it came, unless there was an error.
func (t *tool) printed(text []byte, err error) error {
	if err != nil {
		return nil
	}
	return t.indented(text)
}

// testVerify checks a report against the site's CA, and prints it.
func (t *tool) testVerify(_ context.Context, args []string) error {
	if t.test.ca == "" {
		return usagef("want: parkctl selftest verify FILE --ca ca.crt")
	}
	report, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	signature, err := os.ReadFile(selftest.SignaturePath(args[0]))
	if err != nil {
		return fmt.Errorf("the signature of %s: %w; 'parkctl selftest reports NAME --out %[1]s' brings both, and so does the panel, if the report was signed: %[3]s", args[0], err, signedBy)
	}
	text, err := os.ReadFile(t.test.ca)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate; --ca wants ca.crt of the site's folder", t.test.ca)
	}
	cert, err := selftest.Verify(report, string(signature), pool)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if t.json {
		return t.raw(report)
	}
	r, err := selftest.Decode(report)
	if err != nil {
		return err
	}
	r.Print(t.out)
	fmt.Fprintf(t.out, "%s by %s, whose certificate is of %s\n", t.shaded(cell{"Signed", green}), clean(cert.Subject.String()), clean(cert.Issuer.String()))
	return nil
}
