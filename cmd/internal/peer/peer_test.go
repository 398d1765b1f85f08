package peer

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestKamailioRegistersBaresip(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
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
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	begin := time.Now()
	a.Aim(b.Addr())
	done := make(chan error, 2)
	for _, talker := range []*Talker{a, b} {
		go func() { done <- talker.Run(ctx) }()
	}
	for name, talker := range map[string]*Talker{"a": a, "b": b} {
		for len(talker.Audio(begin)) < 5*samples {
			select {
			case <-time.After(frame):
			case <-ctx.Done():
				t.Fatalf("%s heard %d samples, want at least %d", name, len(talker.Audio(begin)), 5*samples)
			}
		}
	}
	cancel()
	if err := errors.Join(<-done, <-done); err != nil {
		t.Error(err)
	}
}
