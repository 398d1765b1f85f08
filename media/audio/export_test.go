package audio

import "testing"

// FakeCard gives the suite, which cannot be imported from inside this package, a Card on a fake.
func FakeCard(t *testing.T, rate int, playPPM, recordPPM float64) (d Device, say func(float64), heard func() []int16) {
	f := newFakeCard()
	f.play, f.record = playPPM, recordPPM
	c, _ := runCard(t, testCard(rate), f)
	t.Cleanup(func() { t.Logf("%+v", c.Stats()) })
	return c, f.hum, f.heard
}
