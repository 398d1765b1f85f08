package e2e

import (
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/zaf/g711"
	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/fleet"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/site"
)

// hall is a site's folder as parkctl site makes it, and beside it what each appliance has imported from it.
type hall struct {
	t    *testing.T
	dir  string // of the site
	home string // of what was imported
	srtp string // key srtp of each peer
}

// newHall makes a site of these appliances, from .1 on in a network.
func newHall(t *testing.T, n network, names ...string) *hall {
	t.Helper()
	h := &hall{t: t, dir: filepath.Join(t.TempDir(), "hall"), home: t.TempDir()}
	if err := fleet.New(h.dir, "hall", time.Now()); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if _, err := fleet.Add(h.dir, fleet.Appliance{ID: name, Name: name, Address: n.addr(i + 1)}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.open().Write(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		h.imports(name)
	}
	return h
}

func (h *hall) open() *fleet.Site {
	h.t.Helper()
	s, err := fleet.Open(h.dir, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// imports does what an appliance does with its card.
func (h *hall) imports(name string) {
	h.t.Helper()
	card := h.open().Folder(name)
	files, err := provision.ReadDir(card)
	if err != nil {
		h.t.Fatal(err)
	}
	if r, err := files.Import(card, filepath.Join(h.home, name), fleet.Checks()); err != nil || !r.Imported {
		h.t.Fatalf("import of %s: %+v, %v", name, r, err)
	}
}

// file is one of those that an appliance has imported.
func (h *hall) file(appliance, name string) string { return filepath.Join(h.home, appliance, name) }

func (h *hall) equip(m *site.Member) {
	m.TLSCert, m.TLSKey = h.file(m.Name, provision.CertificateFile), h.file(m.Name, provision.KeyFile)
	m.SiteCA, m.PeerSRTP = h.file(m.Name, provision.AuthorityFile), h.srtp
	m.Media = "nice = 0\ncodecs = [\"PCMU\", \"PCMA\"]\n" // what a tap would understand
}

// tap listens to the media that goes from one appliance to another, as somebody at a switch could.
type tap struct {
	from, to netip.Addr

	mu      sync.Mutex // guards everything below
	packets int
	pcm     []int16 // payloads, read as G.711 by the type that their headers say
}

// tapped begins to listen, until the test ends. It needs root.
func tapped(t *testing.T, from, to netip.Addr) *tap {
	t.Helper()
	const ip = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, ip)
	if err != nil {
		t.Fatalf("a packet socket (this test listens to loopback, which takes root): %v", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<22) // less loses some packets
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 1e5}); err != nil {
		t.Fatal(err)
	}
	w := &tap{from: from, to: to}
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			select {
			case <-end:
				return
			default:
			}
			n, sender, err := unix.Recvfrom(fd, buf, 0)
			if link, ok := sender.(*unix.SockaddrLinklayer); err == nil && ok && link.Pkttype != unix.PACKET_OUTGOING {
				w.take(buf[:n])
			}
		}
	}()
	t.Cleanup(func() {
		close(end)
		<-done
		_ = unix.Close(fd)
	})
	return w
}

// take reads an IPv4 packet (RFC 791 §3.1) with a UDP datagram (RFC 768) with RTP.
func (w *tap) take(b []byte) {
	if len(b) < 28 || b[9] != unix.IPPROTO_UDP || netip.AddrFrom4([4]byte(b[12:16])) != w.from || netip.AddrFrom4([4]byte(b[16:20])) != w.to {
		return
	}
	var p rtp.Packet
	if b = b[int(b[0]&15)*4:]; len(b) < 20 || p.Unmarshal(b[8:]) != nil || len(p.Payload) < 160 || p.PayloadType > 8 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packets++
	for _, code := range p.Payload[:160] {
		if p.PayloadType == 8 {
			w.pcm = append(w.pcm, g711.DecodeAlawFrame(code))
		} else {
			w.pcm = append(w.pcm, g711.DecodeUlawFrame(code))
		}
	}
}

// heard is how many packets of audio went by, and what they sounded like.
func (w *tap) heard() (packets int, pcm []int16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.packets, append([]int16(nil), w.pcm...)
}
