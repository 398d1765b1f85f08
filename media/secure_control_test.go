package media

import (
	"bytes"
	"net/netip"
	"testing"

	"parklamp/media/srtp"
)

// tappedConn collects what leaves a session's sockets.
type tappedConn struct {
	deadConn
	sent [][]byte
}

func (c *tappedConn) WriteToAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	c.sent = append(c.sent, bytes.Clone(b))
	return len(b), nil
}

// RTCP of an encrypted session is encrypted too (RFC 3711 §3.4), and taken only if it is authentic.
func TestEncryptedControl(t *testing.T) {
	r := newRig(t)
	s := r.session(t)
	p := s.wiring.Load().params
	p.Secure, p.SendKey, p.ReceiveKey = true, srtp.GenerateKey(srtp.AES128CM80), srtp.GenerateKey(srtp.AES128CM80)
	if err := s.Configure(p); err != nil {
		t.Fatal(err)
	}
	report := append([]byte{0x80, 201, 0, 1, 0, 0, 0, 7}, make([]byte, 0, guardRoom)...)
	out := &tappedConn{}
	s.pair.Load().RTCP = out
	if err := s.emitControl(append(make([]byte, 0, len(report)+guardRoom), report...), rigRemote, false); err != nil || len(out.sent) != 1 {
		t.Fatalf("%d sent, %v", len(out.sent), err)
	}
	open, err := srtp.NewOpener(p.SendKey, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open.RTCP(out.sent[0]); err != nil || !bytes.Equal(got, report) {
		t.Errorf("the far end reads %x, %v", got, err)
	}
	far, err := srtp.NewSealer(p.ReceiveKey, 0)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := far.RTCP(append(make([]byte, 0, len(report)+guardRoom), report...))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{report, bytes.Clone(sealed), sealed, append(sealed[:len(sealed)-1:len(sealed)-1], 0)} {
		s.receiveControl(bytes.Clone(b), rigRemote, 0, false)
	}
	if n := len(s.engine.controlQueue); n != 1 {
		t.Fatalf("%d taken", n)
	}
	if c := <-s.engine.controlQueue; !bytes.Equal(c.data[:c.n], report) {
		t.Errorf("taken %x", c.data[:c.n])
	}
	if st := s.Stats(); st.Bad != 3 || st.Replayed == 0 || st.Unauthentic == 0 {
		t.Errorf("bad %d, replayed %d, unauthentic %d", st.Bad, st.Replayed, st.Unauthentic)
	}
}

// farKey is one key of a far end, which seals its packets under it.
type farKey struct {
	key  srtp.Key
	seal *srtp.Sealer
}

func newFarKey(t *testing.T, suite srtp.Suite) *farKey {
	t.Helper()
	k := &farKey{key: srtp.GenerateKey(suite)}
	var err error
	if k.seal, err = srtp.NewSealer(k.key, 0); err != nil {
		t.Fatal(err)
	}
	return k
}

// RFC 3264 §6.1, RFC 3711 §3.3.1: from the moment on that a new key is agreed, packets under it are taken, also before the rest of
// what was agreed is known, and those under the old one for a while more, whatever overtakes what.
func TestKeysOverlap(t *testing.T) {
	for _, suite := range []srtp.Suite{srtp.AES128CM80, srtp.AEADAES256GCM} {
		t.Run(suite.String(), func(t *testing.T) {
			r := newRig(t)
			s := r.session(t)
			first, second := newFarKey(t, suite), newFarKey(t, suite)
			p := s.wiring.Load().params
			p.Secure, p.SendKey, p.ReceiveKey = true, srtp.GenerateKey(suite), first.key
			configure := func() {
				t.Helper()
				if err := s.Configure(p); err != nil {
					t.Fatal(err)
				}
			}
			audio := func(k *farKey) []byte {
				t.Helper()
				r.next()
				packet, err := k.seal.RTP(append(make([]byte, 0, readSize), r.packet...))
				if err != nil {
					t.Fatal(err)
				}
				return packet
			}
			hears := func(packets ...[]byte) {
				for _, b := range packets {
					s.receive(b, rigRemote, r.clock.now)
				}
			}
			reports := func(k *farKey) {
				t.Helper()
				report, err := k.seal.RTCP(append(make([]byte, 0, readSize), 0x80, 201, 0, 1, 0, 0, 0, 7))
				if err != nil {
					t.Fatal(err)
				}
				s.receiveControl(report, rigRemote, r.clock.now, false)
			}
			none := func(when string) {
				t.Helper()
				if st := s.Stats(); st.Bad > 0 {
					t.Errorf("%s: unauthentic %d, replayed %d", when, st.Unauthentic, st.Replayed)
				}
			}
			configure()
			for range 80 { // more than the window of a replay, so that a count from the beginning on looks like one
				hears(audio(first))
				reports(first)
			}
			none("the first key")
			late := audio(first)
			seal := s.wiring.Load().guard.seal
			if err := s.ExpectKey(second.key); err != nil {
				t.Fatal(err)
			}
			if s.wiring.Load().guard.seal != seal {
				t.Error("our key has changed")
			}
			reports(second)
			none("a report under the second key before it is configured")
			hears(audio(second), late)
			none("a packet that was overtaken")
			p.ReceiveKey = second.key
			configure()
			reports(first)
			hears(audio(first), audio(second))
			none("both keys")
			for range keyOverlap {
				hears(audio(second))
			}
			none("the second key")
			hears(audio(first))
			if st := s.Stats(); st.Unauthentic != 1 {
				t.Errorf("unauthentic %d when the first key has had its day", st.Unauthentic)
			}
		})
	}
}
