package peer

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

func TestKamailioRegistersBaresip(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	k, err := StartKamailio(ctx, t.TempDir(), netip.MustParseAddr("127.10.0.1"), map[string]string{"bar": "wrench-42"})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	b, err := StartBaresip(ctx, BaresipOptions{Dir: t.TempDir(), User: "bar",
		Password: "wrench-42", Registrar: "127.10.0.1:5060"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	if _, err := b.Await(ctx, "REGISTER_OK"); err != nil {
		t.Fatal(err)
	}
}

func TestTalkersHearEachOther(t *testing.T) {
	tone := make([]int16, 800)
	for i := range tone {
		tone[i] = int16(i)
	}
	a, err := NewTalker(netip.MustParseAddr("127.10.0.3"), tone)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewTalker(netip.MustParseAddr("127.10.0.3"), tone)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	begin := time.Now()
	a.Aim(b.Addr())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	if err := b.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	for name, talker := range map[string]*Talker{"a": a, "b": b} {
		if n := len(talker.Audio(begin)); n < 5*samples {
			t.Errorf("%s heard %d samples, want at least %d", name, n, 5*samples)
		}
	}
}
