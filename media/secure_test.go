package media_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parklamp/media"
	"parklamp/media/codec"
	"parklamp/media/mediatest"
	"parklamp/media/srtp"
)

// keys are those of one call: ours and the far end's.
type keys struct{ ours, theirs srtp.Key }

func newKeys(suite srtp.Suite) keys {
	return keys{srtp.GenerateKey(suite), srtp.GenerateKey(suite)}
}

// in puts the keys into what was agreed.
func (k keys) in(p media.Params) media.Params {
	p.Secure, p.SendKey, p.ReceiveKey = true, k.ours, k.theirs
	return p
}

// line makes far ends speak SRTP: what they send is sealed on its way, and what they get is opened.
type line struct {
	t       *testing.T
	mu      sync.Mutex
	seal    map[netip.AddrPort]*srtp.Sealer
	open    map[netip.AddrPort]*srtp.Opener
	bad     int // packets for a far end that it cannot open
	reports int // RTCP packets for a far end
	also    func(*mediatest.Datagram)
}

func (b *bench) line() *line {
	l := &line{t: b.t, seal: map[netip.AddrPort]*srtp.Sealer{}, open: map[netip.AddrPort]*srtp.Opener{}}
	b.net.Hook(l.pass)
	return l
}

// give gives a far end the keys of its call, its own (theirs) and ours, or one of them.
func (l *line) give(at netip.AddrPort, k keys) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var err, err2 error
	if k.theirs.Suite() != srtp.None {
		l.seal[at], err = srtp.NewSealer(k.theirs, 0)
	}
	if k.ours.Suite() != srtp.None {
		l.open[at], err2 = srtp.NewOpener(k.ours, false)
	}
	if err = errors.Join(err, err2); err != nil {
		l.t.Fatal(err)
	}
}

// wraps lets a far end go on under its key with another rollover counter.
func (l *line) wraps(at netip.AddrPort, k keys, roc uint32) {
	l.t.Helper()
	seal, err := srtp.NewSealer(k.theirs, roc)
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seal[at] = seal
}

func (l *line) pass(d *mediatest.Datagram) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if s := l.seal[d.From]; s != nil {
		room := append(make([]byte, 0, len(d.Data)+srtp.Overhead), d.Data...)
		if d.Data, err = s.RTP(room); err != nil {
			l.t.Error(err)
		}
	}
	if l.also != nil {
		l.also(d)
	}
	if o := l.open[netip.AddrPortFrom(d.To.Addr(), d.To.Port()-1)]; o != nil { // RTCP
		if _, err := o.RTCP(append([]byte(nil), d.Data...)); err != nil {
			l.t.Errorf("a report that the far end cannot open: %v", err)
		}
		l.reports++
	}
	if o := l.open[d.To]; o != nil && !d.Drop {
		if d.Data, err = o.RTP(append([]byte(nil), d.Data...)); err != nil {
			l.bad++
			d.Drop = true
		}
	}
}

// watch sets what sees each packet as it is on the line.
func (l *line) watch(f func(*mediatest.Datagram)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.also = f
}

// unreadable is how many packets a far end could not open.
func (l *line) unreadable() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bad
}

func TestEncryptedAudioBothWays(t *testing.T) {
	for _, suite := range []srtp.Suite{srtp.AES128CM80, srtp.AES128CM32, srtp.AES256CM80, srtp.AEADAES128GCM, srtp.AEADAES256GCM} {
		t.Run(suite.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				l, s, p, k := b.line(), b.session(), b.peer(farHost), newKeys(suite)
				l.give(p.Addr(), k)
				b.configure(s, k.in(both(p.Addr(), codec.PCMU)))
				ours, theirs := mediatest.Voice(1, 2*time.Second), mediatest.Voice(2, 2*time.Second)
				ear := mediatest.NewRecorder()
				s.Play(mediatest.NewOnce(ours))
				s.Listen(ear)
				b.talk(p, s, codec.PCMU, theirs)
				time.Sleep(12 * time.Second)
				b.hears("the far end", mediatest.Audio(p.Packets()), ours)
				b.hears("the near end", ear.Samples(), theirs)
				l.mu.Lock()
				if l.reports == 0 {
					t.Error("no RTCP report was sent")
				}
				l.mu.Unlock()
				if st := s.Stats(); st.Bad > 0 || st.SendErrors > 0 || l.unreadable() > 0 {
					t.Errorf("%d bad packets, %d not sent, %d that the far end cannot open", st.Bad, st.SendErrors, l.unreadable())
				}
			})
		})
	}
}

// Each leg of a relay has its own keys, or none.
func TestRelayOfEncryptedLegs(t *testing.T) {
	for _, tc := range []struct {
		name string
		a, b bool
		id   codec.ID
	}{{"SRTP and SRTP", true, true, codec.PCMU}, {"SRTP and RTP", true, false, codec.PCMU}, {"RTP and SRTP", false, true, codec.PCMA}} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				l := b.line()
				s1, p1 := b.session(), b.peer(farHost)
				s2, p2 := b.session(), b.peer(otherHost)
				ka, kb := newKeys(srtp.AES128CM80), newKeys(srtp.AEADAES128GCM)
				pa, pb := both(p1.Addr(), codec.PCMU), both(p2.Addr(), tc.id)
				if tc.a {
					l.give(p1.Addr(), ka)
					pa = ka.in(pa)
				}
				if tc.b {
					l.give(p2.Addr(), kb)
					pb = kb.in(pb)
				}
				b.configure(s1, pa)
				b.configure(s2, pb)
				if _, err := media.Join(s1, s2); err != nil {
					t.Fatal(err)
				}
				v1, v2 := mediatest.Voice(1, 2*time.Second), mediatest.Voice(2, 2*time.Second)
				b.talk(p1, s1, codec.PCMU, v1)
				b.talk(p2, s2, tc.id, v2)
				time.Sleep(3 * time.Second)
				b.hears("the second", mediatest.Audio(p2.Packets()), v1)
				b.hears("the first", mediatest.Audio(p1.Packets()), v2)
				b.oneStream(p1.Packets())
				b.oneStream(p2.Packets())
				if n := l.unreadable(); n > 0 {
					t.Errorf("%d packets that a far end cannot open", n)
				}
			})
		})
	}
}

// RFC 3711 §3.3.1: the rollover counter outlives hold, resume, a change from music to a relay and back.
func TestRolloverSurvivesReINVITE(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		l, p, k := b.line(), b.peer(farHost), newKeys(srtp.AES128CM80)
		l.give(p.Addr(), k)
		agreed := k.in(both(p.Addr(), codec.PCMU))
		first := b.session()
		st := first.State()
		first.Close()
		st.Seq, st.Params = 65430, agreed // two seconds before the wrap
		s, err := b.engine.Restore(st)
		if err != nil {
			t.Fatal(err)
		}
		b.configure(s, agreed)
		melody := mediatest.Melody(1, time.Second)
		s.Play(mediatest.NewLoop(melody))
		time.Sleep(time.Second)
		other, p2 := b.leg()
		for range 3 {
			held := agreed
			held.Receive = false
			b.configure(s, held)
			time.Sleep(500 * time.Millisecond)
			b.configure(s, agreed)
			rel, err := media.Join(s, other)
			if err != nil {
				t.Fatal(err)
			}
			p2.Talk(t.Context(), other.LocalAddr(), codec.PCMU, mediatest.Voice(1, 500*time.Millisecond))
			rel.Close()
			time.Sleep(500 * time.Millisecond)
		}
		b.oneStream(p.Packets())
		packets := p.Packets()
		last := packets[len(packets)-1].Header.SequenceNumber
		if n := l.unreadable(); n > 0 || last > 1000 || s.State().ROC != 1 {
			t.Errorf("%d packets that the far end cannot open, last number %d, rollover counter %d", n, last, s.State().ROC)
		}
	})
}

// A re-INVITE brings new keys: what was sent under the old one still comes in, until the new one has been used.
func TestNewKeysInTheMiddle(t *testing.T) {
	for _, suite := range []srtp.Suite{srtp.AES128CM80, srtp.AEADAES128GCM} {
		inBubble(t, func(t *testing.T, b *bench) {
			l, s, p, k := b.line(), b.session(), b.peer(farHost), newKeys(suite)
			l.give(p.Addr(), k)
			b.configure(s, k.in(both(p.Addr(), codec.PCMU)))
			ear := mediatest.NewRecorder()
			voice := mediatest.Voice(2, 4*time.Second)
			melody := mediatest.Melody(1, time.Second)
			s.Listen(ear)
			s.Play(mediatest.NewLoop(melody))
			b.talk(p, s, codec.PCMU, voice)
			time.Sleep(time.Second + 5*time.Millisecond) // between two packets
			fresh := newKeys(suite)
			l.give(p.Addr(), keys{ours: fresh.ours})
			b.configure(s, fresh.in(both(p.Addr(), codec.PCMU)))
			time.Sleep(time.Second)
			l.give(p.Addr(), keys{theirs: fresh.theirs}) // a second later it uses its new key
			time.Sleep(3 * time.Second)
			b.hears("the near end", ear.Samples(), voice)
			b.oneStream(p.Packets())
			if st := s.Stats(); st.Bad > 0 || st.Received != 200 || l.unreadable() > 0 {
				t.Errorf("%d bad, %d received, %d unreadable", st.Bad, st.Received, l.unreadable())
			}
			l.give(p.Addr(), keys{theirs: k.theirs}) // the old key has had its day
			p.Send(s.LocalAddr(), 0, false, make([]byte, 160), 160)
			time.Sleep(time.Second)
			if st := s.Stats(); st.Unauthentic != 1 {
				t.Errorf("%d unauthentic", st.Unauthentic)
			}
		})
	}
}

// What is not made with the key is no media: it is not heard, keeps nobody alive and moves nothing.
func TestForgedAndReplayedPackets(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		l, s, p, k := b.line(), b.session(), b.peer(farHost), newKeys(srtp.AES128CM80)
		l.give(p.Addr(), k)
		agreed := k.in(both(p.Addr(), codec.PCMU))
		b.configure(s, agreed)
		ear := mediatest.NewRecorder()
		s.Listen(ear)
		s.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
		var timeouts atomic.Int32
		s.OnTimeout(2*time.Second, func() { timeouts.Add(1) })

		// In the clear and under another key, from the far end's host and its very address, before and after it speaks.
		stranger, liar := b.peer(farHost), b.peer(farHost)
		l.give(liar.Addr(), newKeys(srtp.AES128CM80))
		attack := func() {
			noise := mediatest.Voice(7, 3*time.Second)
			b.talk(stranger, s, codec.PCMU, noise)
			b.talk(liar, s, codec.PCMU, noise)
			time.Sleep(3500 * time.Millisecond)
		}
		attack()
		if st := s.Stats(); st.Received > 0 || st.Latched > 0 || st.Remote != p.Addr() || st.Unauthentic != 300 || st.Bad != 300 || timeouts.Load() != 1 {
			t.Errorf("received %d, latched %d to %s, unauthentic %d, %d timeouts", st.Received, st.Latched, st.Remote, st.Unauthentic, timeouts.Load())
		}
		voice := mediatest.Voice(2, 2*time.Second)
		l.watch(func(d *mediatest.Datagram) {
			if d.From == p.Addr() {
				d.Copies = 1 // each packet twice
			}
		})
		b.talk(p, s, codec.PCMU, voice)
		time.Sleep(2500 * time.Millisecond)
		b.hears("the near end", ear.Samples(), voice)
		if st := s.Stats(); st.Received != 100 || st.Replayed != 100 {
			t.Errorf("received %d, replayed %d, want 100 and 100", st.Received, st.Replayed)
		}
		attack()
		b.hearsNot("the near end", ear.Samples(), mediatest.Voice(7, 3*time.Second))
		if st := s.Stats(); st.Received != 100 || st.Latched > 0 || st.Unauthentic != 600 || len(stranger.Packets())+len(liar.Packets()) > 0 {
			t.Errorf("received %d, latched %d, unauthentic %d", st.Received, st.Latched, st.Unauthentic)
		}
		// The real far end may move behind its NAT: its packets prove it.
		moved := b.peer(farHost)
		l.mu.Lock()
		l.seal[moved.Addr()], l.open[moved.Addr()] = l.seal[p.Addr()], l.open[p.Addr()]
		l.mu.Unlock()
		l.watch(func(d *mediatest.Datagram) {
			if d.From == p.Addr() {
				d.From = moved.Addr()
			}
		})
		b.talk(p, s, codec.PCMU, voice)
		time.Sleep(2500 * time.Millisecond)
		if st := s.Stats(); st.Latched != 1 || st.Remote != moved.Addr() {
			t.Errorf("latched %d, to %s, want %s", st.Latched, st.Remote, moved.Addr())
		}
	})
}

// A new key's rollover counter is looked for, which is dear where a packet is forged: strangers' are not tried at all, and of
// those from the far end's host so many that it is heard all the same.
func TestSearchForTheRolloverCounterIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		l, s, p := b.line(), b.session(), b.peer(farHost)
		agreed := both(p.Addr(), codec.PCMU)
		agreed.SignalledFrom = farHost
		b.configure(s, newKeys(srtp.AEADAES256GCM).in(agreed))
		k := newKeys(srtp.AEADAES256GCM)
		b.configure(s, k.in(agreed))
		ear := mediatest.NewRecorder()
		s.Listen(ear)
		flood := func(from *mediatest.Peer, n int) {
			l.give(from.Addr(), newKeys(srtp.AEADAES256GCM))
			for range n {
				if err := from.Send(s.LocalAddr(), 0, false, make([]byte, 160), 160); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		}
		liar := b.peer(farHost)
		flood(b.peer(otherHost), 1000)
		flood(liar, 1000)
		if st := s.Stats(); st.Strangers != 1000 || st.Unauthentic > 110 || st.Unauthentic+st.Overruns != 1000 {
			t.Errorf("%d strangers' packets, %d tried, %d not", st.Strangers, st.Unauthentic, st.Overruns)
		}
		l.wraps(p.Addr(), k, 3)
		voice := mediatest.Voice(2, 4*time.Second)
		b.talk(p, s, codec.PCMU, voice)
		flood(liar, 2500)
		b.hears("the near end", ear.Samples(), voice)
	})
}

// A far end that changes its SSRC is heard at once.
func TestEncryptedSSRCChange(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		l, s, p, k := b.line(), b.session(), b.peer(farHost), newKeys(srtp.AES128CM80)
		l.give(p.Addr(), k)
		b.configure(s, k.in(both(p.Addr(), codec.PCMU)))
		ear := mediatest.NewRecorder()
		s.Listen(ear)
		for n := range uint64(3) {
			voice := mediatest.Voice(n+1, 2*time.Second)
			p.Talk(t.Context(), s.LocalAddr(), codec.PCMU, voice)
			time.Sleep(300 * time.Millisecond)
			b.hears("the near end", ear.Samples(), voice)
			p.Jump()
		}
		if st := s.Stats(); st.Restarts != 2 || st.Bad > 0 {
			t.Errorf("%d restarts, %d bad", st.Restarts, st.Bad)
		}
	})
}

// The process dies, and the keys with it: nothing is sent in the clear and nothing taken until there are new ones.
func TestRestoredEncryptedSession(t *testing.T) {
	for _, tc := range []struct {
		name  string
		seq   uint16
		roc   uint32
		after time.Duration
		same  bool // the stream goes on
	}{
		{"goes on", 1000, 0, time.Second, true},
		{"has wrapped", 1000, 1, time.Second, false},
		{"wrapped meanwhile", 65500, 0, time.Second, false},
		{"wrapped while it was away for a day", 1000, 0, 24 * time.Hour, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				l, s, p, k := b.line(), b.session(), b.peer(farHost), newKeys(srtp.AES128CM80)
				b.configure(s, k.in(both(p.Addr(), codec.PCMU)))
				text, err := json.Marshal(s.State())
				s.Close()
				if err != nil || strings.Contains(string(text), "Key") {
					t.Fatalf("%s, %v", text, err)
				}
				var st media.State
				if err := json.Unmarshal(text, &st); err != nil {
					t.Fatal(err)
				}
				st.Seq, st.ROC = tc.seq, tc.roc
				st.At = st.At.Add(-tc.after)
				r, err := b.engine.Restore(st)
				if err != nil {
					t.Fatal(err)
				}
				r.Play(mediatest.NewLoop(mediatest.Melody(1, time.Second)))
				var sent atomic.Int32
				l.watch(func(d *mediatest.Datagram) {
					if d.From == r.LocalAddr() {
						sent.Add(1)
					}
				})
				b.configure(r, st.Params)
				p.Send(r.LocalAddr(), 0, false, make([]byte, 160), 160)
				time.Sleep(time.Second)
				if st := r.Stats(); sent.Load() > 0 || st.Received > 0 || st.SendErrors > 0 {
					t.Fatalf("%d packets without a key, %d received, %d errors", sent.Load(), st.Received, st.SendErrors)
				}
				// The answer: our key is new, theirs is what it was, with a counter that we do not know any more.
				fresh := newKeys(srtp.AES128CM80)
				fresh.theirs = k.theirs
				l.give(p.Addr(), fresh)
				l.wraps(p.Addr(), k, 3)
				b.configure(r, fresh.in(st.Params))
				ear := mediatest.NewRecorder()
				r.Listen(ear)
				voice := mediatest.Voice(2, 2*time.Second)
				b.talk(p, r, codec.PCMU, voice)
				time.Sleep(2500 * time.Millisecond)
				b.hears("the near end", ear.Samples(), voice)
				b.oneStream(p.Packets())
				first := p.Packets()[0].Header
				if same := first.SSRC == st.SSRC; same != tc.same || l.unreadable() > 0 {
					t.Errorf("same stream: %v, want %v; %d unreadable", same, tc.same, l.unreadable())
				}
				if !tc.same && first.SequenceNumber > 1<<15+200 {
					t.Errorf("a new stream begins at %d", first.SequenceNumber)
				}
			})
		})
	}
}
