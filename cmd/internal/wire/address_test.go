package wire

import (
	"testing"
	"time"

	"parklamp/sip/call"
)

// The mark of an emergency service's call-back is believed for a while after an emergency call of ours, and from nobody else.
func TestCallBackIsBelievedAfterAnEmergencyCall(t *testing.T) {
	now := time.Now()
	a := &Appliance{now: func() time.Time { return now }}
	marked := call.Info{Header: func(string) string { return "PSAP-callback" }}
	plain := call.Info{Header: func(string) string { return "" }}
	if a.callsBack(marked) {
		t.Error("believed without an emergency call")
	}
	a.emergencyAt = now
	now = now.Add(callBackFor - time.Second)
	if !a.callsBack(marked) || a.callsBack(plain) {
		t.Errorf("after the emergency call: marked %v, plain %v", a.callsBack(marked), a.callsBack(plain))
	}
	now = now.Add(time.Second)
	if a.callsBack(marked) {
		t.Error("believed for ever")
	}
}
