package siptest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/sip"
)

var (
	hostA = netip.MustParseAddr("10.0.0.1")
	hostB = netip.MustParseAddr("10.0.0.2")
)

func TestConform(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		n := New(1)
		Conform(t, n.Host(hostA), n.Host(hostB), hostA, hostB)
	})
	t.Run("system", func(t *testing.T) {
		n := sip.SystemNetwork(24)
		Conform(t, n, n, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"))
	})
}

// send sends count datagrams over a link and returns when each number arrived.
func send(t *testing.T, l Link, seed uint64, count int) (order []byte, at []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		n := New(seed)
		n.SetLink(hostA, hostB, l)
		a, b := listenPacket(t, n.Host(hostA), hostA), listenPacket(t, n.Host(hostB), hostB)
		began := time.Now()
		for i := range count {
			if _, err := a.WriteTo([]byte{byte(i)}, b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		go func() { time.Sleep(10 * time.Second); _ = b.Close() }()
		for {
			buf := make([]byte, 8)
			k, _, err := b.ReadFrom(buf)
			if err != nil {
				return
			}
			order = append(order, buf[:k]...)
			at = append(at, time.Since(began))
		}
	})
	return order, at
}

func TestLinks(t *testing.T) {
	if got, _ := send(t, Link{}, 1, 100); len(got) != 100 {
		t.Errorf("perfect: %d of 100", len(got))
	}
	lossy, _ := send(t, Link{Loss: 0.3}, 1, 200)
	if len(lossy) < 110 || len(lossy) > 170 {
		t.Errorf("30 %% loss: %d of 200", len(lossy))
	}
	if again, _ := send(t, Link{Loss: 0.3}, 1, 200); string(again) != string(lossy) {
		t.Error("the same seed loses others")
	}
	if got, _ := send(t, Link{Duplicate: 1}, 1, 50); len(got) != 100 {
		t.Errorf("duplicates: %d of 50", len(got))
	}
	if got, _ := send(t, Link{Down: true}, 1, 50); len(got) != 0 {
		t.Errorf("down: %d", len(got))
	}
	if got, _ := send(t, Link{Drop: func(p Packet) bool { return p.Data[0]%2 == 0 }}, 1, 50); len(got) != 25 {
		t.Errorf("drop: %d", len(got))
	}
	shuffled, _ := send(t, Link{Reorder: 0.5}, 1, 100)
	turned := 0
	for i := 1; i < len(shuffled); i++ {
		if shuffled[i] < shuffled[i-1] {
			turned++
		}
	}
	if len(shuffled) != 100 || turned < 10 {
		t.Errorf("reorder: %d came, %d overtaken", len(shuffled), turned)
	}
}

func TestDelayedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetLink(hostA, hostB, Link{Delay: 100 * time.Millisecond})
		l := listen(t, n.Host(hostB), hostB)
		near, far := connect(t, n.Host(hostA), hostA, l)
		began := time.Now()
		for _, s := range []string{"one ", "two ", "three"} {
			if _, err := near.Write([]byte(s)); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, 13)
		if _, err := io.ReadFull(far, got); err != nil || string(got) != "one two three" || time.Since(began) != 100*time.Millisecond {
			t.Errorf("%q after %v, %v", got, time.Since(began), err)
		}
		// What is written into a cut comes after the cut.
		n.Cut(hostA, hostB)
		if _, err := near.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		_ = far.SetReadDeadline(time.Now().Add(time.Minute))
		var timeout net.Error
		if _, err := far.Read(got); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("through a cut: %v", err)
		}
		n.Heal(hostA, hostB)
		_ = far.SetReadDeadline(time.Time{})
		if k, err := far.Read(got); err != nil || string(got[:k]) != "late" {
			t.Errorf("after the cut: %q, %v", got[:k], err)
		}
	})
}
