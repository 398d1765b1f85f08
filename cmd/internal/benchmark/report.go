package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// row is one figure.
type row struct{ what, unit, n, ours, theirs string }

// report is the table, and what is to be known about it.
type report struct {
	rows   []row
	notes  []string
	stages []stageCost
}

// stageCost is what the machine did during a stage.
type stageCost struct {
	name         string
	took         time.Duration
	all, itself  float64 // % of a core: everything on the machine, and this program
	failed       error
	loadAtTheEnd string
}

func (r *report) add(what, unit, n, ours, theirs string) {
	r.rows = append(r.rows, row{what, unit, n, ours, theirs})
}

// times adds a set of measured times, in ms.
func (r *report) times(what string, s *sample, theirs string) {
	r.add(what, "ms", fmt.Sprint(s.count()), s.String(), theirs)
}

// note adds a remark, once.
func (r *report) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, n := range r.notes {
		if n == text {
			return
		}
	}
	r.notes = append(r.notes, text)
}

// print writes the tables as Markdown, in columns that can be read as they are.
func (r *report) print(w io.Writer) {
	table := [][]string{{"Figure", "unit", "n", "Parklamp", "for scale"}}
	for _, f := range r.rows {
		theirs := f.theirs
		if theirs == "" {
			theirs = "-"
		}
		table = append(table, []string{f.what, f.unit, f.n, f.ours, theirs})
	}
	printTable(w, table)
	fmt.Fprintln(w)
	table = [][]string{{"Stage", "took", "machine, % of a core", "of it this program", "load average at its end", ""}}
	for _, s := range r.stages {
		end := "done"
		if s.failed != nil {
			end = "FAILED: " + strings.ReplaceAll(s.failed.Error(), "\n", " ")
		}
		table = append(table, []string{s.name, fmt.Sprintf("%.0f s", s.took.Seconds()), fmt.Sprintf("%.0f", s.all),
			fmt.Sprintf("%.0f", s.itself), s.loadAtTheEnd, end})
	}
	printTable(w, table)
	fmt.Fprintln(w)
	for _, n := range r.notes {
		fmt.Fprintln(w, "- "+n)
	}
}

// printTable writes rows of cells; the first row is the head.
func printTable(w io.Writer, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for i, r := range rows {
		for j, cell := range r {
			fmt.Fprintf(w, "| %-*s ", width[j], cell)
		}
		fmt.Fprintln(w, "|")
		if i == 0 {
			for _, n := range width {
				fmt.Fprintf(w, "|%s", strings.Repeat("-", n+2))
			}
			fmt.Fprintln(w, "|")
		}
	}
}
