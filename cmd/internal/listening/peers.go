package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// heading is that of the table that is read.
const heading = "## R by trace"

// readPeers reads the table of R by trace and buffer from a Markdown file.
func readPeers(path string) (map[string]map[string]float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	_, table, found := strings.Cut(string(b), heading)
	if !found {
		return nil, fmt.Errorf("%s has no %q", path, heading)
	}
	rows := map[string]map[string]float64{}
	var columns []string
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			break
		}
		if line == "" {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if columns == nil {
			columns = cells
			continue
		}
		row := map[string]float64{}
		for i, cell := range cells[1:] {
			if v, err := strconv.ParseFloat(cell, 64); err == nil && i+1 < len(columns) {
				row[columns[i+1]] = v
			}
		}
		rows[cells[0]] = row
	}
	return rows, nil
}
