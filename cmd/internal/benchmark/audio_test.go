package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/zaf/g711"

	"parklamp/media/codec"
	"parklamp/media/moh"
)

// rtpOf puts a payload behind a header.
func rtpOf(payload []byte) []byte {
	return append([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4}, payload...)
}

func TestMusicIsRecognisedFromItsFirstFrameOn(t *testing.T) {
	source := moh.BuiltIn().Source()
	for n := range uint32(100) {
		var f [samples]byte
		source.NextEncoded(codec.PCMU, f[:])
		p, ok := classify(rtpOf(f[:]), 7)
		if !ok || p.kind != music || p.mark != n || p.at != 7 {
			t.Fatalf("frame %d: %+v, %v", n, p, ok)
		}
	}
}

func TestWhatIsNotMusic(t *testing.T) {
	quiet := make([]byte, samples)
	for i := range quiet {
		quiet[i] = 0xff
	}
	if p, ok := classify(rtpOf(quiet), 0); !ok || p.kind != other {
		t.Errorf("silence: %+v, %v", p, ok)
	}
	for name, data := range map[string][]byte{
		"short":      rtpOf(quiet[1:]),
		"A-law":      append([]byte{0x80, 8}, rtpOf(quiet)[2:]...),
		"no version": append([]byte{0}, rtpOf(quiet)[1:]...),
		"empty":      nil,
	} {
		if p, ok := classify(data, 0); ok {
			t.Errorf("%s: taken as %+v", name, p)
		}
	}
}

func TestProbeComesBack(t *testing.T) {
	hear, err := newEar(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer hear.close()
	m := newMouth(hear.sock, hear.sock.addr)
	before := now()
	m.say()
	p, err := hear.await(t.Context(), before, from(m))
	if err != nil {
		t.Fatal(err)
	}
	if p.mark != m.id || p.sent < before || p.at < p.sent {
		t.Errorf("started %d, sent %d, came %d as %d", before, p.sent, p.at, p.mark)
	}
	if n := unstamped.Load(); n > 0 {
		t.Errorf("the kernel stamped all but %d packets", n)
	}
	if _, there := hear.first(now(), from(m)); there {
		t.Error("a packet is found after its time")
	}
}

func TestLongestGap(t *testing.T) {
	e := &ear{}
	for i := range stamp(600) { // more than the ring holds
		at := i * stamp(frame)
		if i >= 590 {
			at += stamp(70 * time.Millisecond)
		}
		e.log[e.next%len(e.log)] = packet{at: at}
		e.next++
	}
	if got, want := e.longestGap(580*stamp(frame)), 90*time.Millisecond; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := e.longestGap(595 * stamp(frame)); got != frame {
		t.Errorf("after the gap: %v", got)
	}
	if got := (&ear{}).longestGap(0); got != 0 {
		t.Errorf("nothing heard: %v", got)
	}
}

func TestToneIsHeardAndOthersAreNot(t *testing.T) {
	decode := func(f []byte) []int16 {
		pcm := make([]int16, len(f))
		for i, b := range f {
			pcm[i] = g711.DecodeUlawFrame(b)
		}
		return pcm
	}
	m := newMouth(nil, netip.AddrPort{})
	if !hasTone(decode(m.buf[rtpHeader:])) {
		t.Error("the frame of a mouth is not heard as its tone")
	}
	if hasTone(moh.BuiltIn().Samples()[:samples]) || hasTone(make([]int16, samples)) || hasTone(nil) {
		t.Error("something else is heard as the tone")
	}
}

func TestHallCountsIntervals(t *testing.T) {
	h := &hall{last: map[netip.AddrPort]stamp{}}
	a, b := netip.MustParseAddrPort("127.0.0.1:1000"), netip.MustParseAddrPort("127.0.0.1:1002")
	packet := rtpOf(make([]byte, samples))
	h.take(packet, a, 1) // before it begins
	h.begin(10)
	at := stamp(time.Second)
	for i, late := range []time.Duration{0, 0, 6 * time.Millisecond, 0} { // one late packet is two intervals that are off
		h.take(packet, a, at+stamp(time.Duration(i)*frame+late))
		h.take(packet, b, at+stamp(time.Duration(i)*frame))
	}
	h.take([]byte{1, 2, 3}, a, at)
	got := h.end()
	h.take(packet, a, at) // after its end
	if got.calls != 2 || len(got.gaps) != 6 || above(got.off, offBy) != 2 {
		t.Errorf("%d calls, %d intervals, %d off; want 2, 6, 2", got.calls, len(got.gaps), got.off)
	}
	if got.gaps[0] != 14*time.Millisecond || got.gaps[5] != 26*time.Millisecond {
		t.Errorf("intervals %v", got.gaps)
	}
}
