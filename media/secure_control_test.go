package media

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

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

// keyRig is an encrypted session of which the far end changes its keys.
type keyRig struct {
	*rig
	s *Session
	p Params
}

func newKeyRig(t *testing.T, first *farKey) *keyRig {
	t.Helper()
	r := newRig(t)
	k := &keyRig{rig: r, s: r.session(t)}
	k.p = k.s.wiring.Load().params
	k.p.Secure, k.p.SendKey = true, srtp.GenerateKey(first.key.Suite())
	k.agree(t, first)
	return k
}

// agree configures the session with a key of the far end's.
func (k *keyRig) agree(t *testing.T, f *farKey) {
	t.Helper()
	k.p.ReceiveKey = f.key
	if err := k.s.Configure(k.p); err != nil {
		t.Fatal(err)
	}
}

func (k *keyRig) expect(t *testing.T, f *farKey) {
	t.Helper()
	if err := k.s.ExpectKey(f.key); err != nil {
		t.Fatal(err)
	}
}

func (k *keyRig) audio(t *testing.T, f *farKey) []byte {
	t.Helper()
	k.next()
	packet, err := f.seal.RTP(append(make([]byte, 0, readSize), k.packet...))
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// hears gives packets to the session, which overwrites them.
func (k *keyRig) hears(packets ...[]byte) {
	for _, b := range packets {
		k.s.receive(b, rigRemote, k.clock.now)
	}
}

func (k *keyRig) reports(t *testing.T, f *farKey) {
	t.Helper()
	report, err := f.seal.RTCP(append(make([]byte, 0, readSize), 0x80, 201, 0, 1, 0, 0, 0, 7))
	if err != nil {
		t.Fatal(err)
	}
	k.s.receiveControl(report, rigRemote, k.clock.now, false)
}

// refused checks how many packets were not taken, and why.
func (k *keyRig) refused(t *testing.T, when string, unauthentic, replayed uint64) {
	t.Helper()
	if st := k.s.Stats(); st.Unauthentic != unauthentic || st.Replayed != replayed || st.Bad != unauthentic+replayed {
		t.Errorf("%s: unauthentic %d, replayed %d, bad %d", when, st.Unauthentic, st.Replayed, st.Bad)
	}
}

// RFC 3264 §6.1, RFC 3711 §3.3.1: from the moment on that a new key is agreed, packets under it are taken, also before the rest of
// what was agreed is known, and those under the old one for a while more, whatever overtakes what.
func TestKeysOverlap(t *testing.T) {
	for _, suite := range []srtp.Suite{srtp.AES128CM80, srtp.AEADAES256GCM} {
		t.Run(suite.String(), func(t *testing.T) {
			first, second := newFarKey(t, suite), newFarKey(t, suite)
			k := newKeyRig(t, first)
			for range 80 { // more than the window of a replay, so that a count from the beginning on looks like one
				k.hears(k.audio(t, first))
				k.reports(t, first)
			}
			k.refused(t, "the first key", 0, 0)
			late := k.audio(t, first)
			seal := k.s.wiring.Load().guard.seal
			k.expect(t, second)
			if k.s.wiring.Load().guard.seal != seal {
				t.Error("our key has changed")
			}
			k.reports(t, second)
			k.refused(t, "a report under the second key before it is configured", 0, 0)
			k.hears(k.audio(t, second), late)
			k.refused(t, "a packet that was overtaken", 0, 0)
			k.agree(t, second)
			k.reports(t, first)
			k.hears(k.audio(t, first), k.audio(t, second))
			k.refused(t, "both keys", 0, 0)
			for range keyOverlap {
				k.hears(k.audio(t, second))
			}
			k.refused(t, "the second key", 0, 0)
			k.hears(k.audio(t, first))
			k.refused(t, "when the first key has had its day", 1, 0)
		})
	}
}

// Two changes in a row: the far end may still use the key before them. An agreement that comes late, with a
// key that was replaced meanwhile, lets nothing come twice.
func TestKeysInARow(t *testing.T) {
	suite := srtp.AES128CM80
	first, second, third := newFarKey(t, suite), newFarKey(t, suite), newFarKey(t, suite)
	k := newKeyRig(t, first)
	again := k.audio(t, first)
	k.hears(slices.Clone(again))
	k.expect(t, second)
	k.agree(t, first) // was on its way when the second was agreed
	k.hears(again)
	k.refused(t, "a packet that comes again", 0, 1)
	k.hears(k.audio(t, second), k.audio(t, first))
	k.refused(t, "both keys", 0, 1)

	k.expect(t, newFarKey(t, suite))
	k.expect(t, third)
	k.hears(k.audio(t, first), k.audio(t, third), k.audio(t, first))
	k.refused(t, "the key that is in use, and the one after the next", 0, 1)
}

// A far end whose streams take turns, as behind a server: a key that comes back brings neither what came under it before nor
// a rollover counter that is forgotten, and is heard also when its stream has gone on meanwhile.
func TestKeyThatComesBack(t *testing.T) {
	for _, suite := range []srtp.Suite{srtp.AES128CM80, srtp.AEADAES256GCM} {
		first, second, third := newFarKey(t, suite), newFarKey(t, suite), newFarKey(t, suite)
		k := newKeyRig(t, first)
		var old [][]byte
		for range 20 {
			b := k.audio(t, first)
			old = append(old, slices.Clone(b))
			k.hears(b)
		}
		for _, f := range []*farKey{second, third} {
			k.agree(t, f)
			for range keyOverlap + 1 {
				k.hears(k.audio(t, f))
			}
		}
		for range 3 << 15 { // the first stream goes on, and we do not hear it
			k.audio(t, first)
		}
		k.refused(t, "three keys", 0, 0)
		k.agree(t, first)
		for _, b := range old {
			k.clock.now += time.Second
			k.hears(slices.Clone(b))
		}
		k.refused(t, "what came before", 0, 20)
		k.hears(k.audio(t, first))
		if st := k.s.Stats(); st.Received != 20+2*(keyOverlap+1)+1 {
			t.Errorf("%s: %d packets received", suite, st.Received)
		}
	}
}

// The same for a far end with audio and events under SSRCs of their own, of which an event comes first.
func TestKeyThatComesBackToTwoStreams(t *testing.T) {
	first, second := newFarKey(t, srtp.AES128CM80), newFarKey(t, srtp.AES128CM80)
	k := newKeyRig(t, first)
	events, err := srtp.NewSealer(first.key, 0)
	if err != nil {
		t.Fatal(err)
	}
	event := func(seq byte) []byte {
		packet, err := events.RTP(append(make([]byte, 0, readSize), 0x80, 101, 0, seq, 0, 0, 0, 0, 0xee, 0, 0, 0xee, 5, 10, 0, 160))
		if err != nil {
			t.Fatal(err)
		}
		return packet
	}
	k.hears(k.audio(t, first), event(1))
	k.agree(t, second)
	for range keyOverlap + 1 {
		k.hears(k.audio(t, second))
	}
	for range 3 << 15 {
		k.audio(t, first)
	}
	k.agree(t, first)
	k.hears(event(2), k.audio(t, first), k.audio(t, first))
	k.refused(t, "an event and audio", 0, 0)
}

// While the rollover counters of two keys are looked for, a packet counts once.
func TestSearchUnderTwoKeysCountsOnce(t *testing.T) {
	suite := srtp.AES128CM80
	first, second, third, liar := newFarKey(t, suite), newFarKey(t, suite), newFarKey(t, suite), newFarKey(t, suite)
	k := newKeyRig(t, first)
	k.hears(k.audio(t, first))
	k.agree(t, second)
	k.s.wiring.Load().guard.open.opened.Store(1) // it may be in use
	k.agree(t, third)
	for range searchBurst + 1 {
		k.hears(k.audio(t, liar))
	}
	if st := k.s.Stats(); st.Unauthentic != searchBurst || st.Overruns != 1 {
		t.Errorf("%d packets were tried, %d not", st.Unauthentic, st.Overruns)
	}
}
