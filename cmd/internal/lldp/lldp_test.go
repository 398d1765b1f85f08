package lldp

import (
	"errors"
	"testing"
	"time"
)

// fromSwitch is a frame of a switch with voice in VLAN 100, priority 5, DSCP 46. ANSI/TIA-1057 §10.2.3.
func fromSwitch(policy ...byte) []byte {
	b := append([]byte{}, group[:]...)
	b = append(b, 2, 0, 0, 0, 0, 9, 0x88, 0xcc)
	b = append(b, 0x02, 7, 4, 2, 0, 0, 0, 0, 9) // chassis
	b = append(b, 0x04, 2, 7, 'x')              // port
	b = append(b, 0x06, 2, 0, 120)              // time to live
	b = append(b, 0xfe, 7, 0x00, 0x12, 0xbb, 1, 0, 3, medClassSwitch)
	if policy != nil {
		b = append(b, 0xfe, 8, 0x00, 0x12, 0xbb, 2, medVoice)
		b = append(b, policy...)
	}
	return append(b, 0, 0)
}

var voice100 = []byte{0x40 | 100>>7, 100<<1&0xff | 5>>2, 5&3<<6 | 46}

func TestParse(t *testing.T) {
	n, err := Parse(fromSwitch(voice100...))
	if err != nil || n.TTL != 120 || !n.Switch || n.Voice == nil || *n.Voice != (Policy{true, 100, 5, 46}) {
		t.Errorf("%+v %+v %v", n, n.Voice, err)
	}
	if n, err = Parse(fromSwitch(0x80, 0, 0)); err != nil || n.Voice != nil {
		t.Errorf("unknown policy: %+v %v", n, err)
	}
	// 4095 is reserved (IEEE 802.1Q table 9-2): the kernel makes no such link, and the phone would be without any.
	if n, err = Parse(fromSwitch(0x40|0x1f, 0xff, 0)); err != nil || n.Voice != nil {
		t.Errorf("VLAN 4095: %+v %v", n.Voice, err)
	}
	whole := fromSwitch(voice100...)
	for i := range len(whole) - 1 {
		if _, err := Parse(whole[:i]); !errors.Is(err, ErrFrame) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	whole[headerSize] = 0x04 // the port first
	if _, err := Parse(whole); !errors.Is(err, ErrFrame) {
		t.Error(err)
	}
}

func TestAnnounce(t *testing.T) {
	n, err := Parse(Announce([6]byte{2, 0, 0, 0, 0, 1}, "dock-1", 120))
	if err != nil || n.Name != "dock-1" || n.TTL != 120 || n.Switch || n.Voice != nil {
		t.Errorf("%+v %v", n, err)
	}
}

func TestHearing(t *testing.T) {
	now := time.Unix(1000, 0)
	p := &Policy{true, 100, 5, 46}
	var h Hearing
	sw := Neighbour{Chassis: "s", TTL: 120, Voice: p}
	if !h.IsNew(sw) || !h.Heard(now, sw) || h.IsNew(sw) || h.Heard(now, sw) {
		t.Error("first and second frame")
	}
	if h.Heard(now, Neighbour{Chassis: "pc", TTL: 120}) || h.Policy() == nil {
		t.Error("a computer takes the policy away")
	}
	if !h.Heard(now.Add(time.Second), Neighbour{Chassis: "s", TTL: 120, Voice: &Policy{VLAN: 0}}) {
		t.Error("another policy is none")
	}
	if h.Forget(now.Add(120*time.Second)) || !h.Forget(now.Add(121*time.Second)) || h.Policy() != nil {
		t.Error("time to live")
	}
	h.Heard(now, sw)
	if h.Heard(now, Neighbour{Chassis: "x"}) || !h.Heard(now, Neighbour{Chassis: "s"}) || h.Policy() != nil {
		t.Error("goodbye")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fromSwitch(voice100...))
	f.Add(Announce([6]byte{2}, "x", 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Parse(b)
		if err == nil && n.Voice != nil && (n.Voice.VLAN < 0 || n.Voice.VLAN > 4095 || n.Voice.Priority > 7 || n.Voice.DSCP > 63) {
			t.Fatalf("%+v", n.Voice)
		}
	})
}
