package spelling

import "testing"

func TestNear(t *testing.T) {
	names := []string{"column", "conference", "row", "rpi-3", "rpi-4", "rpi-zero-w", "volume-down", "volume-up"}
	for typed, want := range map[string]string{"col": "column", "confernce": "conference", "rpi4": "rpi-4", "rpi-zero": "rpi-zero-w", "clumn": "column",
		"rpi": "", "co": "", "xyz": "", "": ""} {
		if got := Near(names, typed); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}
