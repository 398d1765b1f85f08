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
