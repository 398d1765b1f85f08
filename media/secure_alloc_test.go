//go:build !race

// The race detector makes sync.Pool, which pion/srtp uses, forget at random.

package media

import (
	"testing"

	"parklamp/media/srtp"
)

// encrypt makes a session secret; the rig's packets are sealed under the far end's key then.
func (r *rig) encrypt(tb testing.TB, s *Session, suite srtp.Suite) (arrive func()) {
	p := s.wiring.Load().params
	p.Secure, p.SendKey, p.ReceiveKey = true, srtp.GenerateKey(suite), srtp.GenerateKey(suite)
	if err := s.Configure(p); err != nil {
		tb.Fatal(err)
	}
	far, err := srtp.NewSealer(p.ReceiveKey, 0)
	if err != nil {
		tb.Fatal(err)
	}
	clear := r.packet
	room := make([]byte, 0, readSize)
	return func() {
		r.next()
		packet, err := far.RTP(append(room, clear...))
		if err != nil {
			tb.Fatal(err)
		}
		s.receive(packet, rigRemote, r.clock.now)
	}
}

func init() {
	for _, suite := range []srtp.Suite{srtp.AES128CM80, srtp.AEADAES256GCM} {
		framePaths = append(framePaths, []framePath{
			{"music encoded once, " + suite.String(), func(tb testing.TB, r *rig) func() {
				s := r.session(tb)
				r.encrypt(tb, s, suite)
				s.Play(&encodedHum{})
				return r.tick
			}},
			{"phone call, " + suite.String(), func(tb testing.TB, r *rig) func() {
				s := r.session(tb)
				arrive := r.encrypt(tb, s, suite)
				s.Play(&hum{})
				s.Listen(deafSink{})
				return func() { arrive(); r.tick() }
			}},
			{"relay to RTP, " + suite.String(), func(tb testing.TB, r *rig) func() {
				a, b := r.session(tb), r.session(tb)
				arrive := r.encrypt(tb, a, suite)
				if _, err := Join(a, b); err != nil {
					tb.Fatal(err)
				}
				return func() { arrive(); r.tick() }
			}},
			{"relay of two, " + suite.String(), func(tb testing.TB, r *rig) func() {
				a, b := r.session(tb), r.session(tb)
				arrive := r.encrypt(tb, a, suite)
				r.encrypt(tb, b, suite)
				if _, err := Join(a, b); err != nil {
					tb.Fatal(err)
				}
				return func() { arrive(); r.tick() }
			}},
		}...)
	}
}
