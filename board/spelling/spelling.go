// Package spelling finds the name that a person probably meant, and refuses one that is too long to be meant. It starts no goroutine.
package spelling

import (
	"fmt"
	"strings"
)

const (
	longestPath = 255 // bytes of a key with the tables that it is in; ours have 60
	shownPath   = 30  // characters of one that is too long
)

// TooLong says why no file may have a key of this path, "" if it may. Who reads a file keeps each path whole: those of a key of many
// parts, or of many keys in a table of a long name, would take the square of the file, which the first process of an appliance reads
// too.
func TooLong(path string) string {
	if len(path) <= longestPath {
		return ""
	}
	return fmt.Sprintf("the key that begins with %.*q is too long: at most %d bytes are allowed, with the tables and lists that it is in", shownPath, path, longestPath)
}

// Near is the name that was probably meant: the nearest that is at most two letters off, else the only one that begins so. "" if
// there is none.
func Near(names []string, typed string) string {
	best, least := "", 3
	for _, n := range names {
		if d := distance(n, typed); d < least && d < len(typed)-1 { // of three letters two in common at least
			best, least = n, d
		}
	}
	if best != "" || len(typed) < 3 {
		return best
	}
	for _, n := range names {
		switch {
		case !strings.HasPrefix(n, typed):
		case best != "":
			return ""
		default:
			best = n
		}
	}
	return best
}

// distance is the Levenshtein distance between two names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
