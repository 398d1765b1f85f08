package wire

import (
	"testing"

	"parklamp/parkd/panel"
	"parklamp/sip/reg"
)

// The first process of an image confirms a new system that has registered: the panel's word for it is that of package reg.
func TestRegisteredIsThePanelsWord(t *testing.T) {
	if got := reg.Registered.String(); got != panel.AccountRegistered {
		t.Errorf("%q, want %q", got, panel.AccountRegistered)
	}
}
