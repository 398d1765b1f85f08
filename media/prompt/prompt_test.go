package prompt

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"parklamp/media"
)

func TestPhrasesSayWhatTheyWrite(t *testing.T) {
	cases := []struct {
		phrase Phrase
		want   string
	}{
		{ParkedOn("701"), "call parked on seven zero one"},
		{CallOn("703"), "call on seven zero three"},
		{Taken("710"), "orbit seven one zero is taken, your call is still here"},
		{Lost("701"), "the call on seven zero one was taken by somebody else"},
		{Full(), "the lot is full, your call is still here"},
		{Empty("706"), "nobody is parked on seven zero six"},
		{NoneParked(), "no calls are parked"},
		{NoSuchOrbit("*9"), "there is no orbit star nine"},
		{Unreachable("702"), "orbit seven zero two cannot be reached"},
		{Failed(), "that did not work, your call is still here"},
		{List(nil), "no calls are parked"},
		{List([]Waiting{{"701", 61 * time.Second}}),
			"one call is parked, seven zero one waiting one minute, press park again to fetch it"},
		{List([]Waiting{{"702", 2*time.Hour + time.Minute}, {"701", 59 * time.Second}}),
			"two calls are parked, seven zero two waiting two hours, seven zero one waiting fifty nine seconds, " +
				"press park again for the oldest"},
		{List(make([]Waiting, 7)), "seven calls are parked, " + strings.Repeat("waiting zero seconds, ", 5) +
			"two more, press park again for the oldest"},
		{SelfTest(), "self test, press hold to skip, hang up to end"},
		{PressKey("5", ""), "press five"},
		{PressKey("volume-up", ""), "press volume up"},
		{PressKey("*", ""), "press star"},
		{PressKey("orbit-701", "701"), "press orbit seven zero one"},
		{BesideLamp("green"), "press the key beside the lamp that is green, press star if none is"},
		{IsLamp("fault", "red"), "is the fault lamp red, press pound for yes, star for no"},
		{IsContact("ringer"), "is the ringer switched on, press pound for yes, star for no"},
		{IsContact("lot"), "is the relay switched on, press pound for yes, star for no"},
		{AreLamps("dark"), "are all lamps dark, press pound for yes, star for no"},
		{HearTone("loudspeaker"), "do you hear a tone in the loudspeaker, press pound for yes, star for no"},
		{TestFailed([]string{"lamps", "disk"}), "self test failed, lamps, storage"},
		{TestPassed(nil), "self test passed"},
		{TestPassed([]string{"network", "disk"}), "self test passed, attention, network, storage"},
		{Attention(NoNetwork), "attention, there is no network"},
		{Attention(99), "attention, something needs a technician"},
	}
	for _, c := range cases {
		if got := strings.ReplaceAll(c.phrase.Text(), "  ", " "); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
		for _, u := range c.phrase.units {
			if u.text != "" && len(words()[u.text]) == 0 {
				t.Errorf("%q cannot be spoken in %q", u.text, c.want)
			}
		}
	}
}

func TestEveryWordSounds(t *testing.T) {
	list, err := os.ReadFile("words.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(list)) {
		text, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if text == "" || strings.HasPrefix(text, "//") {
			continue
		}
		n++
		if len(words()[text]) == 0 {
			t.Errorf("%q has no sound: run go generate ./media/prompt", text)
			continue
		}
		var power, samples float64
		peak := 0.0
		var f media.Frame
		for s := say(text).Source(); s.Next(&f); {
			for _, v := range f {
				power += float64(v) * float64(v)
				peak = max(peak, math.Abs(float64(v)))
				samples++
			}
		}
		if dbfs := 10 * math.Log10(power/samples/(32768*32768)); dbfs < -30 || dbfs > -17 || peak > 0.75*32768 {
			t.Errorf("%q has %.1f dBFS, peak %v", text, dbfs, peak)
		}
	}
	if n != len(words()) {
		t.Errorf("%d words are listed and %d recorded: run go generate ./media/prompt", n, len(words()))
	}
	for i := range 60 {
		if len(words()[number(i)]) == 0 {
			t.Errorf("number %d cannot be spoken", i)
		}
	}
	if len(sound) > 1_500_000 {
		t.Errorf("the recordings have %d bytes", len(sound))
	}
}

// length is how long a phrase takes to say.
func length(t *testing.T, p Phrase) (d time.Duration) {
	s := p.Source()
	var f media.Frame
	for s.Next(&f) {
		d += media.FrameDuration
	}
	if s.Next(&f) {
		t.Errorf("%q goes on after its end", p.Text())
	}
	return d
}

func TestSourceEnds(t *testing.T) {
	p := ParkedOn("701")
	if d := length(t, p); d < 2*time.Second || d > 5*time.Second {
		t.Errorf("%q takes %v", p.Text(), d)
	}
	if (Phrase{}).Text() != "" || length(t, Phrase{}) > 100*time.Millisecond {
		t.Error("the zero phrase says something")
	}
}

// A name that has no sound is still written, and the rest is spoken.
func TestWordWithoutSound(t *testing.T) {
	if p := Empty("dock"); p.Text() != "nobody is parked on dock" || length(t, p) < time.Second {
		t.Errorf("%q takes %v", p.Text(), length(t, p))
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	s := List(make([]Waiting, 5)).Source()
	var f media.Frame
	if n := testing.AllocsPerRun(200, func() { s.Next(&f) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func FuzzSay(f *testing.F) {
	f.Add("701", "call parked on,")
	f.Add("", ",")
	f.Add("*#", "second")
	f.Fuzz(func(t *testing.T, a, b string) {
		p := say(a, b)
		p.Text()
		length(t, p)
	})
}
