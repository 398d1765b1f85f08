//go:build guest

package alsa

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// These run on the kernel of `make image-test`, whose cards are snd-aloop ("Loopback") and snd-dummy ("Dummy").

const loop = "Loopback"

func open(t *testing.T, card string, device int, dir Direction, want Params) *PCM {
	t.Helper()
	p, err := Open(card, device, dir, want)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestCardsByIDAndName(t *testing.T) {
	cards, err := Cards()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("cards: %+v", cards)
	c, err := find(loop)
	if err != nil {
		t.Fatal(err)
	}
	if by, err := find(c.Name); err != nil || by.ID != loop {
		t.Errorf("by name: %+v, %v", by, err)
	}
	if _, err = find("Missing"); !errors.Is(err, ErrNoCard) || !strings.Contains(err.Error(), loop) {
		t.Errorf("missing: %v", err)
	}
}

func TestShapes(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		for _, channels := range []int{1, 2} {
			for _, ms := range []int{4, 5, 10} {
				want := Params{Rate: rate, Channels: channels, Period: rate * ms / 1000, Buffer: 8 * rate * ms / 1000}
				p := open(t, loop, 0, Playback, want)
				if p.Params() != want {
					t.Errorf("asked for %+v, got %+v", want, p.Params())
				}
				p.Close()
			}
		}
	}
	_, err := Open(loop, 0, Playback, Params{Rate: 4000, Channels: 1, Period: 80, Buffer: 160})
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrParam) || e.Param != "playback rate" || e.Value != "4000" || !strings.Contains(e.Allowed, "8000") {
		t.Errorf("4 kHz: %v", err)
	}
	t.Log(err)
	if p, err := Open(loop, 0, Playback, Params{Rate: 8000, Channels: 1, Period: 8, Buffer: 16}); err != nil || p.Params().Period > 40 || p.Params().Buffer < 2*p.Params().Period {
		t.Errorf("a period of 1 ms: %v", err)
	} else {
		t.Logf("a period of 1 ms is %+v", p.Params())
		p.Close()
	}
	_, err = Open(loop, 0, Playback, Params{Rate: 8000, Channels: 99, Period: 80, Buffer: 160})
	if !errors.Is(err, ErrParam) {
		t.Errorf("99 channels: %v", err)
	}
	t.Log(err)
	if _, err = Open(loop, 17, Playback, Params{Rate: 8000, Channels: 1, Period: 80, Buffer: 160}); err == nil {
		t.Error("device 17 opened")
	}
	t.Log(err)
}

// A tone goes through the loop at each rate without a fault.
func TestToneThroughTheLoop(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		period := rate / 100
		want := Params{Rate: rate, Channels: 1, Period: period, Buffer: 8 * period}
		out, in := open(t, loop, 0, Playback, want), open(t, loop, 1, Capture, want)
		tone := make([]int16, rate/2)
		for i := range tone {
			tone[i] = int16(12000 * math.Sin(2*math.Pi*440*float64(i)/float64(rate)))
		}
		if err := in.Start(); err != nil {
			t.Fatal(err)
		}
		for _, v := range [][]int16{tone[:period], tone[period : 2*period], tone[2*period : 3*period]} {
			if n, err := out.Write(v); n != period || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := out.Start(); err != nil {
			t.Fatal(err)
		}
		var heard []int16
		buf := make([]int16, period)
		for rest := tone[3*period:]; len(rest) >= period; {
			if ok, err := in.Wait(time.Second); !ok || err != nil {
				t.Fatalf("wait: %v %v", ok, err)
			}
			n, err := in.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			heard = append(heard, buf[:n]...)
			if n, err = out.Write(rest[:period]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		first := slices.IndexFunc(heard, func(v int16) bool { return v != 0 })
		if first < 0 {
			t.Fatalf("%d Hz: %d samples of silence", rate, len(heard))
		}
		same := 0
		for i, v := range heard[first:] {
			if v == tone[i+1] {
				same++
			}
		}
		t.Logf("%d Hz: %d of %d samples the same, first after %.1f ms", rate, same, len(heard)-first, float64(first)*1000/float64(rate))
		if same != len(heard)-first || same < rate/4 {
			t.Errorf("%d Hz: %d of %d samples the same", rate, same, len(heard)-first)
		}
		out.Close()
		in.Close()
	}
}

func TestXrunAndRecovery(t *testing.T) {
	want := Params{Rate: 8000, Channels: 1, Period: 80, Buffer: 320}
	out := open(t, loop, 0, Playback, want)
	x := make([]int16, 160)
	for round := range 2 {
		if n, err := out.Write(x); n != 160 || err != nil {
			t.Fatalf("round %d: %d %v", round, n, err)
		}
		if d, err := out.Delay(); d != 160 || err != nil {
			t.Fatalf("round %d: delay %d %v", round, d, err)
		}
		if err := out.Start(); err != nil {
			t.Fatal(err)
		}
		// Nothing more is written: it runs empty.
		deadline := time.Now().Add(2 * time.Second)
		var err error
		for err == nil && time.Now().Before(deadline) {
			if _, err = out.Wait(50 * time.Millisecond); err == nil {
				_, err = out.Delay()
			}
		}
		if !errors.Is(err, ErrXrun) {
			t.Fatalf("round %d: %v", round, err)
		}
		if _, err = out.Write(x); !errors.Is(err, ErrXrun) {
			t.Fatalf("round %d: write: %v", round, err)
		}
		if err = out.Recover(err); err != nil {
			t.Fatal(err)
		}
	}
	// One that is taken for dead because it did not move, and runs all the same.
	if _, err := out.Write(x); err != nil {
		t.Fatal(err)
	}
	if err := out.Start(); err != nil {
		t.Fatal(err)
	}
	if err := out.Recover(ErrXrun); err != nil {
		t.Errorf("a stream that runs: %v", err)
	}
}

func TestMixer(t *testing.T) {
	m, err := OpenMixer("Dummy")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, c := range m.Controls() {
		v, err := m.Get(c.Label())
		t.Logf("%s: kind %d, %d values %v, %s, %v", c.Label(), c.Kind, c.Count, v, c.allowed(), err)
	}
	if err := m.Set("Master Volume", "10,20"); err != nil {
		t.Fatal(err)
	}
	if v, err := m.Get("Master Volume"); !slices.Equal(v, []int{10, 20}) || err != nil {
		t.Errorf("Master Volume %v, %v", v, err)
	}
	if err := m.Set("Mic Capture Switch", "on,off"); err != nil {
		t.Fatal(err)
	}
	if v, err := m.Get("Mic Capture Switch"); !slices.Equal(v, []int{1, 0}) || err != nil {
		t.Errorf("Mic Capture Switch %v, %v", v, err)
	}
	for _, bad := range [][2]string{{"Master Volume", "1000"}, {"Master Volume", "1,2,3"}, {"Mic Capture Switch", "maybe"}, {"No Such Thing", "1"}} {
		err := m.Set(bad[0], bad[1])
		if err == nil {
			t.Errorf("%v accepted", bad)
		}
		t.Log(err)
	}
	l, err := OpenMixer(loop)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range l.Controls() {
		if c.Kind == Enumerated {
			t.Logf("%s: %s", c.Label(), c.allowed())
		}
	}
	if err := l.Set("PCM Rate Shift 100000@0.0", "100500"); err != nil {
		t.Error(err)
	}
	if err := l.Set("PCM Rate Shift 100000@0.0", "100000"); err != nil {
		t.Error(err)
	}
}

// driver switches the driver of the loop off or on: what pulling a USB card does.
func driver(t *testing.T, what string) {
	t.Helper()
	if err := os.WriteFile("/sys/bus/platform/drivers/snd_aloop/"+what, []byte("snd_aloop.0"), 0o200); err != nil {
		t.Fatal(err)
	}
}

func TestUnplug(t *testing.T) {
	want := Params{Rate: 8000, Channels: 1, Period: 80, Buffer: 320}
	in := open(t, loop, 1, Capture, want)
	idle := open(t, loop, 0, Capture, want)
	if err := in.Start(); err != nil {
		t.Fatal(err)
	}
	if err := idle.Alive(); err != nil {
		t.Fatal(err)
	}
	unbound := make(chan struct{})
	go func() { driver(t, "unbind"); close(unbound) }()
	var err error
	buf := make([]int16, 80)
	for deadline := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(deadline); {
		if _, err = in.Wait(100 * time.Millisecond); err == nil {
			_, err = in.Read(buf)
		}
	}
	if !errors.Is(err, ErrGone) {
		t.Errorf("a running stream: %v", err)
	}
	if err := idle.Alive(); !errors.Is(err, ErrGone) {
		t.Errorf("an idle stream: %v", err)
	}
	in.Close()
	idle.Close()
	<-unbound
	if _, err := find(loop); !errors.Is(err, ErrNoCard) {
		t.Errorf("unplugged and still there: %v", err)
	}
	driver(t, "bind")
	if _, err := find(loop); err != nil {
		t.Errorf("back: %v", err)
	}
}
