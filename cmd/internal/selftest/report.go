package selftest

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Format is the version of the report.
const Format = 1

// Report is what is signed and kept: one walk through one appliance.
type Report struct {
	Format    int       `json:"format"`
	Appliance string    `json:"appliance"` // its name
	Number    string    `json:"number"`
	Version   string    `json:"version"` // of the firmware
	Board     string    `json:"board"`   // its model
	Machine   string    `json:"machine,omitempty"`
	Hardware  []string  `json:"hardware,omitempty"` // MAC addresses of its links, which outlive its name
	By        string    `json:"by"`                 // what started it: "parkctl", "park at power-on"
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended"`
	Outcome   Outcome   `json:"outcome"`
	Reason    string    `json:"reason,omitempty"` // of an abort
	Steps     []Step    `json:"steps"`
	Findings  []Finding `json:"findings"`
	Health    []string  `json:"health,omitempty"` // what ailed the appliance at the end, as parkctl status shows it
}

// maxReport bounds a report that is read, in bytes.
const maxReport = 1 << 20

// Encode writes the report as it is signed.
func (r *Report) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// Decode reads a report.
func Decode(b []byte) (*Report, error) {
	if len(b) > maxReport {
		return nil, fmt.Errorf("self test report: %d bytes, allowed is %d", len(b), maxReport)
	}
	r := &Report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("self test report: %w", err)
	}
	if r.Format != Format {
		return nil, fmt.Errorf("self test report: format %d, this program reads %d", r.Format, Format)
	}
	return r, nil
}

// marks begin the lines of findings.
var marks = map[Outcome]string{Passed: "ok", Warned: "LOOK", Failed: "FAILED", Skipped: "skipped", Absent: "-"}

// Mark is a short word for an outcome, for a table.
func Mark(o Outcome) string { return marks[o] }

// Print writes the report for people. A run of findings that passed and have nothing to say is one line.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "Self test of %s (%s), %s, %s\n", plain(r.Appliance), plain(r.Number), plain(r.Version), plain(strings.TrimSpace(r.Board+" "+r.Machine)))
	fmt.Fprintf(w, "%s to %s, started by %s\n", r.Started.UTC().Format(time.DateTime), r.Ended.UTC().Format("15:04:05 MST"), plain(r.By))
	if len(r.Hardware) > 0 {
		fmt.Fprintf(w, "Hardware %s\n", plain(strings.Join(r.Hardware, ", ")))
	}
	fmt.Fprintln(w)
	for i := 0; i < len(r.Findings); {
		f := r.Findings[i]
		var quiet []string
		for i < len(r.Findings) && r.Findings[i].Step == f.Step && r.Findings[i].silent() {
			quiet = append(quiet, plain(r.Findings[i].Item))
			i++
		}
		if len(quiet) > 0 {
			printWrapped(w, fmt.Sprintf("%-8s %-11s ", Mark(Passed), plain(string(f.Step))), strings.Join(quiet, ", "))
			continue
		}
		fmt.Fprintf(w, "%-8s %-11s %s\n", Mark(f.Outcome), plain(string(f.Step)), f.Line())
		i++
	}
	for _, h := range r.Health {
		fmt.Fprintf(w, "%-8s %-11s %s\n", Mark(Warned), "health", plain(h))
	}
	fmt.Fprintf(w, "\nResult: %s", strings.ToUpper(plain(string(r.Outcome))))
	if r.Reason != "" {
		fmt.Fprintf(w, ": %s", plain(r.Reason))
	}
	fmt.Fprintln(w)
}

func (f *Finding) silent() bool { return f.Outcome == Passed && f.Text == "" && len(f.Figures) == 0 }

// Line is a finding in one line, without its step and outcome.
func (f *Finding) Line() string {
	s := plain(f.Item)
	if f.Text != "" {
		s += ": " + plain(f.Text)
	}
	var figures []string
	for _, g := range f.Figures {
		figures = append(figures, fmt.Sprintf("%s %s %s", plain(g.Name), short(g.Value), plain(g.Unit)))
	}
	if len(figures) > 0 {
		s += " (" + strings.Join(figures, ", ") + ")"
	}
	return s
}

// short writes a value with as many digits as people read.
func short(v float64) string {
	if v >= 100 || v <= -100 || v == float64(int(v)) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// printWrapped writes a list of items, the lines after the first under the place where it begins.
func printWrapped(w io.Writer, head, text string) {
	const width = 100
	line := head
	for i, word := range strings.SplitAfter(text, ", ") {
		if i > 0 && len(line)+len(word) > width {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = strings.Repeat(" ", len(head))
		}
		line += word
	}
	fmt.Fprintln(w, line)
}

// plain takes out what a terminal would obey.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// worst is the outcome of a test with these findings: one failure fails it, a warning or a gap is told.
func worst(findings []Finding) Outcome {
	o := Passed
	for _, f := range findings {
		switch {
		case f.Outcome == Failed:
			return Failed
		case f.Outcome == Warned, f.Outcome == Skipped && o == Passed:
			o = f.Outcome
		}
	}
	return o
}

// stepsThat names the steps with such a finding, in the order of the walk.
func stepsThat(o Outcome, findings []Finding) []string {
	var names []string
	for _, s := range Steps {
		if slices.ContainsFunc(findings, func(f Finding) bool { return f.Step == s && f.Outcome == o }) {
			names = append(names, string(s))
		}
	}
	return names
}
