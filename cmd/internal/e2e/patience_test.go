package e2e

import (
	"slices"
	"strings"
	"testing"
)

// patience is what every appliance of a test is configured with, by table, unless the test sets the key itself: the times
// that the program gives a worker, a caller or a peer, as long as they may be. On a machine that is slow or busy a test
// would lose a race against the shorter ones of a real site, and say nothing about the program. A test that is about one of
// these times sets that one, and does nothing that races against it.
var patience = []struct{ table, keys string }{
	{"lot", `timeout = "1h"
recall_ring = "10m"
undo_window = "1m"
claim_timeout = "1m"
fetch_timeout = "1m"`},
	{"federation", `dead_after = "5m"
take_over = "1m"
claim_wait = "2s"`},
	{"phone", `dial_tone = "5m"
failure_tone = "5m"
speaker_failure = "5m"
list = "1m"
transfer_timeout = "5m"
emergency_hang_up = "1m"`},
}

// dies is for the tests that kill an appliance, or cut it off, and wait until the others believe it.
const dies = "[federation]\ndead_after = \"5s\"\n"

// patient adds to the TOML of an appliance what it lacks of patience.
func patient(toml string) string {
	for _, p := range patience {
		header := "[" + p.table + "]\n"
		at := strings.Index("\n"+toml, "\n"+header)
		if at < 0 {
			at, toml = 0, header+"\n"+toml
		}
		at += len(header)
		own, _, _ := strings.Cut(toml[at:], "\n[")
		keys := slices.DeleteFunc(strings.Split(p.keys, "\n"), func(line string) bool {
			key, _, _ := strings.Cut(line, " ")
			return strings.Contains("\n"+own, "\n"+key+" = ")
		})
		toml = toml[:at] + strings.Join(append(keys, ""), "\n") + toml[at:]
	}
	return toml
}

func TestPatient(t *testing.T) {
	got := patient("[phone]\nmax_calls = 2\nlist = \"2s\"\n\n[audio]\nspeech = \"x\"\n[[lot.escalation]]\nto = \"203\"\n")
	for _, want := range []string{"[phone]\ndial_tone = \"5m\"\n", "max_calls = 2\nlist = \"2s\"\n", "[lot]\ntimeout = \"1h\"\n", "[federation]\ndead_after = \"5m\"\n"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%q is not once in\n%s", want, got)
		}
	}
	if strings.Contains(got, `list = "1m"`) || strings.Index(got, "[lot]") > strings.Index(got, "[[lot.") {
		t.Errorf("made\n%s", got)
	}
}
