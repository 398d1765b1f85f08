package e2e

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/halfband"
	"parklamp/media/mediatest"
	"parklamp/media/wav"
)

// What a wide caller and a worker at a wide microphone sound in addition to their words: nothing that G.711 carries.
const (
	callerTone = 5400.0 // Hz
	workerTone = 6100.0
	toneLevel  = -30.0 // dBFS
)

// widened is speech at 16 kHz with a tone in it.
func widened(narrow []int16, hz float64) []int16 {
	x := make([]int16, 2*len(narrow))
	var up halfband.Up
	up.Fill(x, narrow)
	amplitude := 32767 * math.Pow(10, toneLevel/20)
	for i, v := range x {
		x[i] = int16(max(-32768, min(32767, float64(v)+amplitude*math.Sin(2*math.Pi*hz*float64(i)/16000))))
	}
	return x
}

// narrow is what a softphone has heard so far, at 8 kHz.
func (s *softphone) narrow() []int16 {
	x := s.Heard()
	if s.wide {
		var down halfband.Down
		down.Fill(x, x)
		x = x[:len(x)/2]
	}
	return x
}

// hearsTone waits until the last half second of a wide softphone's recording has a tone, and what is new of it.
func (s *softphone) hearsTone(hz float64) ear {
	begin := len(s.Heard())
	return func(ctx context.Context) error {
		best := -120.0
		for {
			if x := s.Heard(); len(x) >= begin+8000 {
				best = max(best, mediatest.LevelWide(x[len(x)-8000:], hz))
			}
			if math.Abs(best-toneLevel) < 6 {
				return nil
			}
			select {
			case <-time.After(100 * time.Millisecond): // sound takes its time
			case <-ctx.Done():
				return fmt.Errorf("%s hears %.0f Hz at %.1f dBFS at most, want %.0f", s.uri, hz, best, toneLevel)
			}
		}
	}
}

// widePlace is a site whose workers have wide microphones.
func widePlace(t *testing.T) *place {
	t.Helper()
	p := &place{T: t, network: newNetwork(), dir: t.TempDir()}
	worker := filepath.Join(p.dir, "worker.wav")
	if err := wav.WriteFile(worker, widened(speech.Worker(), workerTone), 16000); err != nil {
		t.Fatal(err)
	}
	var members []site.Member
	for i, name := range []string{"dock-1", "dock-2", "office"} {
		members = append(members, site.Member{Name: name, Number: fmt.Sprint(201 + i), Addr: p.addr(i + 1),
			Extra: fmt.Sprintf("[audio]\nspeech = %q\n", worker), LogLevel: "debug"})
	}
	p.start(members)
	return p
}

// TestWideband calls in G.722 from baresip, whose codec is SpanDSP's: both ways at the phone, on hold, through a relay that
// forwards what it gets, and through one that has to decode, to a phone that knows A-law only.
func TestWideband(t *testing.T) {
	t.Parallel()
	p := widePlace(t)
	b := p.registeredSoftphone("caller", speech.Caller(), peer.BaresipOptions{Codecs: "G722/16000/1,PCMU", Wide: true})
	b.do("dial", uri("201", p.dock1()))
	p.answer(p.dock1())
	p.listen(handsetOf(p.dock1(), b.says), b.ear(speech.Worker()), b.hearsTone(workerTone))
	if out := string(b.Output()); !strings.Contains(out, "Set audio encoder: G722") || !strings.Contains(out, "Set audio decoder: G722") {
		t.Errorf("the call is not in G.722:\n%s", out)
	}

	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.hook(p.dock1(), false)
	b.hears(music())

	// The other appliance fetches in the caller's codec: the tone comes through its host.
	p.fetch(p.dock2(), "701")
	p.everywhere("701", "free")
	p.listen(handsetOf(p.dock2(), b.says), b.ear(speech.Worker()), b.hearsTone(workerTone))
	p.press(p.dock2(), "park")
	p.everywhere("701", "parked-elsewhere", "parked-here", "parked-elsewhere")
	p.hook(p.dock2(), false)

	fetcher := p.registeredSoftphone("clerk", clerk(), peer.BaresipOptions{Codecs: "PCMA"})
	fetcher.dials(uri("701", p.dock2()))
	p.everywhere("701", "free")
	p.listen(fetcher.ear(b.says), b.ear(fetcher.says))
	if out := string(fetcher.Output()); !strings.Contains(out, "Set audio encoder: PCMA") {
		t.Errorf("the fetcher does not speak A-law:\n%s", out)
	}
	b.do("hangup", "")
	fetcher.sees("CALL_CLOSED")
	p.idle(p.Appliances...)
}
