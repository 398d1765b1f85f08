package timeline

import (
	"testing"
	"time"
)

func TestRival(t *testing.T) {
	const at = time.Minute
	for _, tc := range []struct {
		name  string
		begin func(r *Rival)
		wins  int // after so many packets in a row
	}{
		{"the first that there is", func(*Rival) {}, Together},
		{"after one that was interrupted", func(r *Rival) { r.Hear(7, 100, at-Frame); r.Quiet(at - Frame) }, Together},
		{"after one out of line", func(r *Rival) { r.Hear(7, 50, at-Frame) }, Together},
		{"another than the stream before", func(r *Rival) { r.Leave(8, at-Frame) }, Together},
		{"the stream before, which goes on", func(r *Rival) { r.Quiet(at - Frame); r.Leave(7, at-Frame) }, Anew},
		{"the stream before, which goes on alone", func(r *Rival) { r.Quiet(at - beside); r.Leave(7, at-Frame) }, Together},
		{"the stream before, heard beside the present one", func(r *Rival) {
			r.Leave(7, at-time.Hour)
			r.Hear(7, 0, at-beside/2)
			r.Quiet(at - Frame)
		}, Anew},
		{"the stream before, after a while", func(r *Rival) { r.Leave(7, at-beside) }, Together},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r Rival
			tc.begin(&r)
			for n := 1; n <= Anew; n++ {
				if got := r.Hear(7, uint16(65534+n), at+time.Duration(n)*Frame); got != n {
					t.Fatalf("packet %d is number %d in a row", n, got)
				}
				if r.Wins() != (n >= tc.wins) {
					t.Errorf("after %d packets: wins %t", n, r.Wins())
				}
			}
		})
	}
}
