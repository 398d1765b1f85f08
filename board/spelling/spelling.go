// Package spelling finds the name that a person probably meant. It starts no goroutine.
package spelling

import "strings"

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
