package media_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"

	"parklamp/media"
	"parklamp/media/codec"
)

// Two far ends and their RTCP speak at once on the kernel's network, so that both readers have packets of a relay and of one
// session in the same moment.
func TestReadersShareSessions(t *testing.T) {
	cfg := media.Default()
	cfg.PortMin, cfg.PortMax = 30000, 39999
	e := media.NewEngine(cfg, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()

	const packets = 40 // less than what a far end may send at once
	var far [2]*net.UDPConn
	var legs [2]*media.Session
	for i := range legs {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s, err := e.Open(netip.MustParseAddr("127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		p := media.Params{Remote: conn.LocalAddr().(*net.UDPAddr).AddrPort(), Codec: codec.PCMU, Send: true, Receive: true}
		if err := s.Configure(p); err != nil {
			t.Fatal(err)
		}
		far[i], legs[i] = conn, s
	}
	if _, err := media.Join(legs[0], legs[1]); err != nil {
		t.Fatal(err)
	}

	var wg sync.WaitGroup
	for i, conn := range far {
		rtp := legs[i].LocalAddr()
		wg.Go(func() {
			b := make([]byte, 12+160)
			b[0] = 2 << 6
			binary.BigEndian.PutUint32(b[8:], uint32(1000+i))
			for seq := range packets {
				binary.BigEndian.PutUint16(b[2:], uint16(seq))
				binary.BigEndian.PutUint32(b[4:], uint32(160*seq))
				if _, err := conn.WriteToUDPAddrPort(b, rtp); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			// An empty receiver report (RFC 3550 §6.4.2).
			report := []byte{2 << 6, 201, 0, 1, 0, 0, 0, byte(i)}
			for range packets {
				if _, err := conn.WriteToUDPAddrPort(report, netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			b := make([]byte, 1500)
			for n := 0; n < packets; {
				size, _, err := conn.ReadFromUDPAddrPort(b)
				if err != nil {
					t.Error(err)
					return
				}
				if size == 12+160 && b[1]&0x7f == 0 {
					n++
				}
			}
		})
	}
	wg.Wait()
	for i, s := range legs {
		if st := s.Stats(); st.Received != packets || st.Reordered != 0 {
			t.Errorf("leg %d received %d, %d out of order, want %d in order", i, st.Received, st.Reordered, packets)
		}
	}
}
