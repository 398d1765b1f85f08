package lldp

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
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
	if err != nil || n.TTL != 120 || !n.Switch || n.Voice == nil || *n.Voice != (Policy{true, 100, 5, 46, 46}) {
		t.Errorf("%+v %+v %v", n, n.Voice, err)
	}
	// Signalling has a policy of its own: its DSCP counts, in either order.
	both := fromSwitch(voice100...)
	both = append(both[:len(both)-2], 0xfe, 8, 0x00, 0x12, 0xbb, 2, medSignalling, 0x40, 0x03, 26, 0, 0)
	if n, err = Parse(both); err != nil || *n.Voice != (Policy{true, 100, 5, 46, 26}) {
		t.Errorf("%+v %v", n.Voice, err)
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
		if _, err := Parse(whole[:i]); !errors.Is(err, errFrame) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	whole[headerSize] = 0x04 // the port first
	if _, err := Parse(whole); !errors.Is(err, errFrame) {
		t.Error(err)
	}
}

func TestAnnounce(t *testing.T) {
	self := Self{Name: "dock-1", Port: "eth0", Manufacturer: "Parklamp", Model: strings.Repeat("m", 300), Firmware: "v1", Address: netip.MustParseAddr("192.0.2.7")}
	frame := frameOf([6]byte{2, 0, 0, 0, 0, 1}, self, phy{Supported: bitAuto, Advertised: 1<<3 | 1<<5, Speed: 100, Full: true, Negotiates: true}, 120)
	n, err := Parse(frame)
	if err != nil || n.Name != "dock-1" || n.TTL != 120 || n.Switch || n.Voice != nil {
		t.Errorf("%+v %v", n, err)
	}
	for what, part := range map[string][]byte{
		"speed and duplex": {0xfe, 9, 0x00, 0x12, 0x0f, 1, 3, 0x04, 0x01, 0, 16},
		"class":            {0xfe, 7, 0x00, 0x12, 0xbb, 1, 0, 0x23, 3},
		"question":         {0xfe, 8, 0x00, 0x12, 0xbb, 2, 1, 0x80, 0, 0},
		"firmware":         {0xfe, 6, 0x00, 0x12, 0xbb, 6, 'v', '1'},
		"cut model":        append([]byte{0xfe, 36, 0x00, 0x12, 0xbb, 10}, strings.Repeat("m", 32)...),
		"address":          {0x10, 12, 5, 1, 192, 0, 2, 7, 1},
	} {
		if !bytes.Contains(frame, part) {
			t.Errorf("%s: not in % x", what, frame)
		}
	}
	if neg := (phy{}).autonegotiation(); neg != [3]byte{0, 0x80, 0} || (phy{}).mau() != 0 {
		t.Errorf("nothing known: % x", neg)
	}
}

func TestHearing(t *testing.T) {
	now := time.Unix(1000, 0)
	p := &Policy{true, 100, 5, 46, 46}
	var h hearing
	if h.Heard(now, Neighbour{Chassis: "phone", TTL: 120, Voice: p}) || h.Policy() != nil {
		t.Error("another phone's policy is none of ours")
	}
	sw := Neighbour{Chassis: "s", TTL: 120, Switch: true, Voice: p}
	if !h.IsNew(sw) || !h.Heard(now, sw) || h.IsNew(sw) || h.Heard(now, sw) {
		t.Error("first and second frame")
	}
	if h.Heard(now, Neighbour{Chassis: "pc", TTL: 120}) || h.Policy() == nil {
		t.Error("a computer takes the policy away")
	}
	other := Neighbour{Chassis: "x", TTL: 120, Switch: true, Voice: &Policy{Tagged: true, VLAN: 7}}
	if h.IsNew(other) || h.Heard(now, other) || h.Policy().VLAN != 100 {
		t.Error("a second switch takes the first one's place")
	}
	if !h.Heard(now.Add(time.Second), Neighbour{Chassis: "s", TTL: 120, Switch: true, Voice: &Policy{VLAN: 0}}) {
		t.Error("another policy is none")
	}
	if h.Forget(now.Add(120*time.Second)) || !h.Forget(now.Add(121*time.Second)) || h.Policy() != nil {
		t.Error("time to live")
	}
	if !h.Heard(now, other) || h.Policy().VLAN != 7 {
		t.Error("the second switch does not follow the first")
	}
	h = hearing{}
	h.Heard(now, sw)
	if h.Heard(now, Neighbour{Chassis: "x"}) || !h.Heard(now, Neighbour{Chassis: "s"}) || h.Policy() != nil {
		t.Error("goodbye")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fromSwitch(voice100...))
	f.Add(frameOf([6]byte{2}, Self{Name: "x", Model: "y"}, phy{}, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Parse(b)
		if err == nil && n.Voice != nil && (n.Voice.VLAN < 0 || n.Voice.VLAN > 4095 || n.Voice.Priority > 7 || n.Voice.DSCP > 63) {
			t.Fatalf("%+v", n.Voice)
		}
	})
}

// The structure is the kernel's on machines of 32 and 64 bits, and no port is no fault.
func TestReadPHY(t *testing.T) {
	if size := unsafe.Sizeof(command{}); size != 44 {
		t.Errorf("struct ethtool_cmd has %d bytes here, 44 in the kernel", size)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, port := range []string{"lo", "no-such-port", "a-name-that-is-too-long"} {
		if p := readPHY(fd, port); p != (phy{}) {
			t.Errorf("%s: %+v", port, p)
		}
	}
}
