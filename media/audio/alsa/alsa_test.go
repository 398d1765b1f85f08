package alsa

import (
	"errors"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The numbers of requests as the kernel's header makes them, seen with gcc for amd64 and arm.
func TestRequestNumbers(t *testing.T) {
	want := [4]uint{0xc2604111, 0x40184150, 0xc4c85513, 0x80084121}
	if unsafe.Sizeof(long(0)) == 4 {
		want = [4]uint{0xc25c4111, 0x400c4150, 0xc2c85513, 0x80044121}
	}
	if got := [4]uint{pcmSetHw, pcmWriteFrames, ctlElemWrite, pcmDelay}; got != want {
		t.Errorf("requests %#x, want %#x", got, want)
	}
	for _, o := range []struct {
		what          string
		got, n64, n32 uintptr
	}{
		{"swParams.availMin", unsafe.Offsetof(swParams{}.availMin), 16, 12},
		{"swParams.boundary", unsafe.Offsetof(swParams{}.boundary), 64, 36},
		{"elemList.ids", unsafe.Offsetof(elemList{}.ids), 16, 16},
		{"pcmInfo.subdevicesFree", unsafe.Offsetof(pcmInfo{}.subdevicesFree), 204, 204},
		{"hwParams.fifoSize", unsafe.Offsetof(hwParams{}.fifoSize), 536, 536},
	} {
		want := o.n64
		if unsafe.Sizeof(long(0)) == 4 {
			want = o.n32
		}
		if o.got != want {
			t.Errorf("%s at %d, want %d", o.what, o.got, want)
		}
	}
}

func TestNoSuchCard(t *testing.T) {
	_, err := Open("nobody has this", 0, Capture, Params{Rate: 8000, Channels: 1, Period: 40, Buffer: 80})
	if !errors.Is(err, ErrNoCard) || !strings.Contains(err.Error(), `"nobody has this"`) {
		t.Errorf("PCM: %v", err)
	}
	if _, err := OpenMixer("nobody has this"); !errors.Is(err, ErrNoCard) {
		t.Errorf("mixer: %v", err)
	}
}

func TestControlValues(t *testing.T) {
	volume := Control{Name: "Volume", Kind: Integer, Min: -50, Max: 100}
	mux := Control{Name: "Mux", Index: 2, Kind: Enumerated, Items: []string{"Mic", "Line, left"}}
	sw := Control{Name: "Switch", Kind: Boolean}
	for _, tc := range []struct {
		c     *Control
		value string
		want  int
		ok    bool
	}{
		{&volume, "7", 7, true}, {&volume, "-50", -50, true}, {&volume, "101", 0, false}, {&volume, "0%", -50, true},
		{&volume, "50%", 25, true}, {&volume, "101%", 0, false}, {&volume, "loud", 0, false}, {&volume, "NaN%", 0, false},
		{&mux, "Line, left", 1, true}, {&mux, "1", 0, false}, {&sw, "on", 1, true}, {&sw, "off", 0, true}, {&sw, "yes", 0, false},
	} {
		if got, ok := tc.c.number(tc.value); ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s = %s: %d %v", tc.c.Label(), tc.value, got, ok)
		}
	}
	if mux.Label() != "Mux,2" || mux.allowed() != "Mic, Line, left" {
		t.Errorf("%s takes %s", mux.Label(), mux.allowed())
	}
}

func TestEnumeratedValuesAre32Bits(t *testing.T) {
	var v elemValue
	v.set(Enumerated, 1, 5)
	v.set(Integer, 3, -7)
	if v.get(Enumerated, 1) != 5 || v.get(Integer, 3) != -7 {
		t.Errorf("%v", v.value[:4])
	}
	if *(*uint32)(unsafe.Add(unsafe.Pointer(&v), 76)) != 5 {
		t.Error("the second choice is not at byte 76")
	}
}

func TestErrorsNameEverything(t *testing.T) {
	err := error(&Error{Card: "Codec", Param: "playback rate", Value: "16000", Allowed: "48000", Err: ErrParam})
	if got, want := err.Error(), `sound card "Codec", playback rate = 16000: the sound card does not allow that; allowed is 48000`; got != want {
		t.Errorf("%s", got)
	}
	for errno, want := range map[error]error{unix.EPIPE: ErrXrun, unix.ESTRPIPE: ErrSuspended, unix.ENODEV: ErrGone, unix.EBADFD: ErrNotRunning} {
		if got := (&PCM{}).fail("read", errno); !errors.Is(got, want) {
			t.Errorf("%v is %v", errno, got)
		}
	}
}
