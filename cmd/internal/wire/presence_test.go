package wire

import (
	"errors"
	"fmt"
	"testing"

	"parklamp/parkd/federation"
)

// A fault of a peer is told with what to do; an error that is none is told whole, whatever its punctuation.
func TestWordsOfFaults(t *testing.T) {
	for _, c := range []struct {
		err        error
		text, hint string
	}{
		{federation.ErrSilent, "peer does not answer", "is it powered, connected, and is this its address?"},
		{fmt.Errorf("%w (%s)", federation.ErrStranger, "404 Not Found: no such presentity"), "another appliance answers",
			"do name and address of this peer belong together? (404 Not Found: no such presentity)"},
		{errors.New("pidf: tuple 3: orbit: missing"), "pidf: tuple 3: orbit: missing", "see that both appliances run the same version"},
	} {
		if text, hint := textAndHint(c.err); text != c.text || hint != c.hint {
			t.Errorf("%v: %q, %q", c.err, text, hint)
		}
	}
}
