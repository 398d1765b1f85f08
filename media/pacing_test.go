package media

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/media/codec"
	"parklamp/media/rtpio"
)

// BenchmarkPacing runs parked calls over the kernel's loopback for three seconds and reports how far the
// packets of one of them are from 20 ms apart when they are read, and what a call costs. It ignores b.N.
func BenchmarkPacing(b *testing.B) {
	for _, calls := range []int{1, 50, 200, 500} {
		b.Run(fmt.Sprintf("%d parked", calls), func(b *testing.B) {
			far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				b.Fatal(err)
			}
			cfg := Default()
			cfg.PortMin, cfg.PortMax = 50000, 51999
			e := NewEngine(cfg, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- e.Run(ctx) }()
			for range calls {
				s, err := e.Open(netip.MustParseAddr("127.0.0.1"))
				if err != nil {
					b.Fatal(err)
				}
				s.Play(&encodedHum{})
				// Only the last session is heard: the others send to a port that nobody reads.
				to := netip.MustParseAddrPort("127.0.0.1:9")
				if len(*e.sessions.Load()) == calls {
					to = far.LocalAddr().(*net.UDPAddr).AddrPort()
				}
				if err := s.Configure(Params{Remote: to, Codec: codec.PCMU, Send: true}); err != nil {
					b.Fatal(err)
				}
			}
			before, start := processor(b), time.Now()
			var off []time.Duration
			buf := make([]byte, rtpio.MaxDatagram)
			last := time.Time{}
			for time.Since(start) < 3*time.Second {
				if _, _, err := far.ReadFromUDPAddrPort(buf); err != nil {
					b.Fatal(err)
				}
				now := time.Now()
				if !last.IsZero() {
					d := now.Sub(last) - FrameDuration
					off = append(off, max(d, -d))
				}
				last = now
			}
			used := processor(b) - before
			cancel()
			<-ended
			far.Close()
			slices.Sort(off)
			at := func(q float64) float64 { return float64(off[int(q*float64(len(off)-1))].Microseconds()) }
			b.ReportMetric(at(0.5), "µs-p50")
			b.ReportMetric(at(0.99), "µs-p99")
			b.ReportMetric(at(1), "µs-max")
			b.ReportMetric(100*used.Seconds()/time.Since(start).Seconds(), "%cpu")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// processor returns the processor time that this process has used.
func processor(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
