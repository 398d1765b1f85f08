package wire

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/media/quality"
)

// TestBadCallsAreACondition: three of the last five calls with a host that lose more than 5 %, in either direction, and
// until that is not so any more or was an hour ago.
func TestBadCallsAreACondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSounds(newLoop(), health.New(func() {}), slog.New(slog.DiscardHandler))
		go s.loop.run(t.Context(), func() {})
		at := netip.MustParseAddr("192.0.2.9")
		ended := func(host netip.Addr, in, out uint64) {
			s.loop.ask(func() {
				s.judge(host, quality.Call{In: quality.Stream{Known: true, Packets: 1000, Lost: in}, Out: quality.Stream{Known: true, Packets: 1000, Lost: out}})
			})
		}
		for i, c := range []struct {
			in, out uint64
			want    int
		}{{60, 0, 0}, {0, 80, 0}, {0, 0, 0}, {90, 0, 1}, {0, 0, 1}, {0, 0, 0}, {100, 0, 0}, {100, 0, 1}} {
			ended(at, c.in, c.out)
			if got := s.health.All(); len(got) != c.want {
				t.Errorf("after call %d: %v, want %d", i+1, got, c.want)
			}
		}
		if got := s.health.All()[0]; got.Text != "calls with 192.0.2.9 lose up to 10 % of the sound (3 of the last 5)" || got.Severity != health.Warning {
			t.Errorf("%+v", got)
		}
		s.loop.ask(func() {
			s.judge(at, quality.Call{In: quality.Stream{Known: true, Packets: 10, Lost: 0}}) // too short to say anything
		})
		if len(s.health.All()) != 1 {
			t.Error("a call of 10 packets cleared it")
		}
		time.Sleep(hostsLast + time.Second)
		synctest.Wait()
		if got := s.health.All(); len(got) != 0 {
			t.Errorf("an hour later: %v", got)
		}
		for i := range 3 * maxHosts {
			ended(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 0, 0)
		}
		s.loop.ask(func() {
			if len(s.hosts) != maxHosts || len(s.order) != maxHosts || len(s.loop.timers) != maxHosts {
				t.Errorf("%d hosts, %d in order, %d timers", len(s.hosts), len(s.order), len(s.loop.timers))
			}
		})
	})
}
