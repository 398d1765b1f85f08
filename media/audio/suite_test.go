package audio_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"

	"parklamp/media"
	"parklamp/media/audio"
	"parklamp/media/audio/audiotest"
)

// hum is a mouth for the simulated device.
type hum struct {
	hz float64
	at int
}

func (h *hum) Next(f *media.Frame) bool {
	for i := range f {
		f[i] = int16(8000 * math.Sin(2*math.Pi*h.hz*float64(h.at)/8000))
		h.at++
	}
	return true
}

func TestSimPasses(t *testing.T) {
	audiotest.Run(t, synctest.Test, func(t *testing.T) audiotest.Bench {
		s := audio.NewSim()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		// A pacer and a device of one clock wake at the same moment; in a test that moment has no order.
		heard, err := s.Listen(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			for range heard {
			}
		})
		return audiotest.Bench{Device: s, Say: func(hz float64) { s.Speak(&hum{hz: hz}) }, Heard: func() (x []int16) {
			for len(heard) > 0 {
				x = append(x, <-heard...)
			}
			return x
		}}
	})
}

func TestCardPasses(t *testing.T) {
	for _, rate := range []int{8000, 16000, 48000} {
		for _, ppm := range [][2]float64{{0, 0}, {250, -180}} {
			t.Run(fmt.Sprintf("%d Hz %+.0f %+.0f ppm", rate, ppm[0], ppm[1]), func(t *testing.T) {
				audiotest.Run(t, synctest.Test, func(t *testing.T) audiotest.Bench {
					d, say, heard := audio.FakeCard(t, rate, ppm[0], ppm[1])
					return audiotest.Bench{Device: d, Say: say, Heard: heard, Wide: rate > 8000}
				})
			})
		}
	}
}
