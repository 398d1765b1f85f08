package exam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parklamp/cmd/internal/probe"
	"parklamp/cmd/internal/selftest"
	"parklamp/parkd/panel"
)

// tellFor is how long the end of a test waits for its reader.
const tellFor = 3 * time.Second

// Reports are the names of the reports that are kept.
func (x *Examiner) Reports() ([]string, error) { return selftest.Reports(x.o.Config.Reports) }

// Report is one of them, or its signature. The error is panel.ErrNoSuchReport or one of the disk.
func (x *Examiner) Report(name string) ([]byte, error) {
	names, err := x.Reports()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(names, func(n string) bool { return n == name || selftest.SignaturePath(n) == name }) {
		return nil, fmt.Errorf("%w: %q", panel.ErrNoSuchReport, name)
	}
	b, err := os.ReadFile(filepath.Join(x.o.Config.Reports, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q", panel.ErrNoSuchReport, name)
	}
	return b, err
}

// newReport begins the report of a self test.
func (x *Examiner) newReport(by, board string, steps []selftest.Step) selftest.Report {
	return selftest.Report{Format: selftest.Format, Appliance: x.o.Name, Number: x.o.Number, Version: x.o.Version,
		Board: board, Machine: probe.Machine(), Hardware: probe.Hardware(), By: by, Started: time.Now().UTC(), Steps: steps}
}

// closeReport writes down how a self test ended.
func (x *Examiner) closeReport(r *selftest.Report, f selftest.End, findings []selftest.Finding) {
	r.Ended, r.Outcome, r.Reason, r.Findings = time.Now().UTC(), f.Outcome, f.Reason, findings
	for _, c := range x.o.Health.All() {
		r.Health = append(r.Health, c.Severity.String()+": "+c.Text)
	}
}

// publish signs and keeps a report and tells who waits for it; events is nil if nobody does. It runs on the worker.
func (x *Examiner) publish(ctx context.Context, r selftest.Report, events chan []byte) {
	trouble := func(err error) { x.o.Log.Warn("the self test's report", "err", err) }
	result := selftest.Result{Outcome: r.Outcome, Reason: r.Reason}
	var errs []error
	text, err := r.Encode()
	errs = append(errs, err)
	key, cert := x.o.Config.Key, x.o.Config.Certificate
	if key == "" {
		errs = append(errs, errors.New("is not signed: neither selftest.key nor sip.tls_key is set"))
	} else if id, err := selftest.OpenIdentity(cert, key); err != nil {
		errs = append(errs, fmt.Errorf("is not signed: %w", err))
	} else if result.Signature, err = id.Sign(text); err != nil {
		errs = append(errs, err)
	}
	result.Report = string(text)
	if result.Path, err = selftest.Store(x.o.Config.Reports, r.Started, text, result.Signature, x.o.Config.Keep); err != nil {
		errs = append(errs, fmt.Errorf("is not kept: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		trouble(err)
		result.Trouble = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if events == nil {
		return
	}
	defer close(events)
	if text, err = json.Marshal(selftest.Event{End: &result}); err != nil {
		trouble(err)
		return
	}
	select {
	case events <- text:
	case <-ctx.Done():
	case <-time.After(tellFor): // a reader that is so far behind is gone
	}
}
