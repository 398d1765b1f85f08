package media_test

import (
	"net/netip"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
	"parklamp/media/rtpio"
	"parklamp/media/srtp"
	"parklamp/media/timeline"
)

// A far end that counts its packets anew, on the same SSRC, as a server of announcements does with each prompt, is relayed on:
// within 100 ms, in numbers that never go back, whatever the relay does with the packets, and whether the clock begins anew or not.
func TestRelayFollowsAFarEndThatCountsAnew(t *testing.T) {
	for _, tc := range []struct {
		name    string
		in, out codec.ID
		secure  bool
		prompt  int // packets
		clock   bool
	}{
		{"forwarded, the clock goes on", codec.PCMU, codec.PCMU, false, 250, false},
		{"forwarded", codec.PCMU, codec.PCMU, false, 250, true},
		{"forwarded, after half a minute", codec.PCMU, codec.PCMU, false, 1500, true},
		{"forwarded, after a second", codec.PCMU, codec.PCMU, false, 60, true},
		{"forwarded, after a second, the clock goes on", codec.PCMU, codec.PCMU, false, 60, false},
		{"forwarded, after two seconds", codec.PCMU, codec.PCMU, false, 90, true},
		{"through the tables", codec.PCMU, codec.PCMA, false, 250, true},
		{"sealed, the clock goes on", codec.PCMU, codec.PCMU, true, 400, false},
		{"sealed", codec.PCMU, codec.PCMU, true, 400, true},
		{"sealed, after a second", codec.PCMU, codec.PCMU, true, 60, false},
		{"encoded anew", codec.G722, codec.PCMU, false, 400, true},
		{"encoded anew, the clock goes on", codec.G722, codec.PCMU, false, 400, false},
		{"encoded anew, after a second", codec.G722, codec.PCMU, false, 60, true},
		{"encoded anew, wideband", codec.PCMU, codec.G722, false, 400, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s1, s2, p2 := b.session(), b.session(), b.peer(otherHost)
				server, err := b.net.Listen(netip.AddrPortFrom(farHost, 0), rtpio.Socket{})
				if err != nil {
					t.Fatal(err)
				}
				defer server.Close()
				b.configure(s1, both(server.LocalAddr(), tc.in))
				params := both(p2.Addr(), tc.out)
				if tc.secure {
					l, k := b.line(), newKeys(srtp.AES128CM80)
					l.give(p2.Addr(), k)
					params = k.in(params)
				}
				b.configure(s2, params)
				if _, err := media.Join(s1, s2); err != nil {
					t.Fatal(err)
				}
				const prompts = 3
				for n := range prompts * tc.prompt {
					h := [12]byte{0x80, tc.in.PayloadType(), byte(n % tc.prompt >> 8), byte(n % tc.prompt), 11: 7}
					ts := n * media.FrameSamples
					if tc.clock {
						ts = n % tc.prompt * media.FrameSamples
					}
					h[4], h[5], h[6], h[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
					if _, err := server.WriteToAddrPort(append(h[:], make([]byte, media.FrameSamples)...), s1.LocalAddr()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(media.FrameDuration)
				}
				got := p2.Packets()
				seams := mediatest.Inspect(got)
				lost := timeline.Anew - 1 // at each restart, of one that goes back little
				if tc.prompt > 100 {
					lost = timeline.Together - 1
				}
				if want := prompts*tc.prompt - (prompts-1)*lost; len(got) < want || seams.Backwards+seams.ClockBroken+seams.Lost > 0 ||
					seams.MaxGap > time.Duration(lost+1)*media.FrameDuration || seams.Markers != prompts || s2.Stats().SendErrors > 0 {
					t.Errorf("%s; %d send errors; want %d packets", seams, s2.Stats().SendErrors, want)
				}
			})
		})
	}
}

// A network that gives every packet twice: the relay sends each once.
func TestRelaySendsNoCopies(t *testing.T) {
	for _, late := range []time.Duration{0, 30 * time.Millisecond} {
		inBubble(t, func(t *testing.T, b *bench) {
			s1, p1 := b.leg()
			s2, p2 := b.leg()
			if _, err := media.Join(s1, s2); err != nil {
				t.Fatal(err)
			}
			there := map[string]bool{} // Inject comes by here, too
			b.net.Hook(func(d *mediatest.Datagram) {
				if again := *d; d.From == p1.Addr() && !there[string(d.Data)] {
					again.Data = append([]byte(nil), d.Data...)
					there[string(d.Data)] = true
					time.AfterFunc(late, func() { b.net.Inject(again) })
				}
			})
			p1.Talk(t.Context(), s1.LocalAddr(), codec.PCMU, mediatest.Voice(1, 2*time.Second))
			time.Sleep(time.Second)
			b.oneStream(p2.Packets())
			if n := len(p2.Packets()); n != 100 {
				t.Errorf("copies %s late: %d packets went on, want 100", late, n)
			}
		})
	}
}
