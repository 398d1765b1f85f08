package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/nettest"
)

func TestMiddle(t *testing.T) {
	bad := errors.New("no answer")
	for name, c := range map[string]struct {
		all     []answer
		want    time.Duration
		trusted string
		fails   bool
	}{
		"one":                        {[]answer{{"a", 5 * time.Second, nil}}, 5 * time.Second, "a", false},
		"a liar among three":         {[]answer{{"a", time.Hour, nil}, {"b", 20 * time.Millisecond, nil}, {"c", 40 * time.Millisecond, nil}}, 30 * time.Millisecond, "b c", false},
		"two of which one is silent": {[]answer{{"a", 0, bad}, {"b", time.Minute, nil}}, time.Minute, "b", false},
		"three opinions":             {[]answer{{"a", time.Hour, nil}, {"b", 0, nil}, {"c", -time.Hour, nil}}, 0, "", true},
		"two, one of them mad":       {[]answer{{"a", 50 * 365 * 24 * time.Hour, nil}, {"b", 0, nil}}, 0, "", true},
		"silence":                    {[]answer{{"a", 0, bad}}, 0, "", true},
		"nobody":                     {nil, 0, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			got, trusted, err := middle(c.all)
			if got != c.want || strings.Join(trusted, " ") != c.trusted || (err != nil) != c.fails {
				t.Errorf("%v %v %v", got, trusted, err)
			}
		})
	}
}

// The time never goes back over a restart: what is on the card is past, unless it is nonsense.
func TestKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	limit := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "torn": {}, "2100-01-01T00:00:00Z\n": {}, "2026-11-20T00:00:00Z\nmore\n": time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Kept(limit, file); !got.Equal(want) {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got := Kept(limit, file+"none"); !got.IsZero() {
		t.Error(got)
	}
}

// Another user may have put anything into the folder: nothing there is followed or opened.
func TestWritten(t *testing.T) {
	folder := t.TempDir()
	limit := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	at := func(name string) string { return filepath.Join(folder, name) }
	if got := Written(limit, folder); !got.IsZero() {
		t.Error(got)
	}
	for name, when := range map[string]time.Time{"calls": day(20), "older": day(19), "nonsense": limit} {
		if err := errors.Join(os.WriteFile(at(name), nil, 0o600), os.Chtimes(at(name), when, when)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(".", at("link")), unix.Mkfifo(at("pipe"), 0o600), os.Mkdir(at("folder"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if got := Written(limit, folder); !got.Equal(day(20)) {
		t.Error(got)
	}
	for _, none := range []string{"none", "calls", "pipe", "link"} {
		if got := Written(limit, at(none)); !got.IsZero() {
			t.Errorf("%s: %v", none, got)
		}
	}
}

func TestKeeper(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // of the three that follow
		var asked, adjusted []time.Duration
		up := false
		begin := time.Now()
		k := New(Options{File: file, Log: slog.New(slog.DiscardHandler), Changed: make(chan struct{}),
			Servers: func() []string { return []string{"a"} },
			Ask: func(context.Context, string) (time.Duration, error) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, time.Since(begin).Truncate(time.Second))
				if !up {
					return 0, errors.New("no network")
				}
				return 100 * time.Millisecond, nil
			},
			Adjust: func(d time.Duration) error {
				mu.Lock()
				defer mu.Unlock()
				adjusted = append(adjusted, d)
				return nil
			}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); k.Run(ctx) }()
		synctest.Wait()
		if got := Kept(begin.AddDate(1, 0, 0), file); !got.Equal(begin) {
			t.Errorf("at its start it keeps %v, want %v", got, begin)
		}
		time.Sleep(2 * time.Minute)
		mu.Lock()
		if s := k.State(); s.Synchronised || s.Fault == "" || len(asked) < 3 || len(asked) > 5 {
			t.Errorf("without a network: %+v, asked at %v", s, asked)
		}
		up = true
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		mu.Lock()
		if s := k.State(); !s.Synchronised || s.Fault != "" || len(adjusted) < 2 || adjusted[0] != 100*time.Millisecond {
			t.Errorf("%+v, adjusted %v", s, adjusted)
		}
		n := len(asked)
		mu.Unlock()
		time.Sleep(time.Hour)
		mu.Lock()
		if len(asked)-n > 4 {
			t.Errorf("asked %d times in an hour", len(asked)-n)
		}
		mu.Unlock()
		cancel()
		<-done
		text, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(text)) != time.Now().UTC().Format(time.RFC3339) {
			t.Errorf("kept %q, %v", text, err)
		}
	})
}

// The only server there is may be mad: a time before the system was made, or of the next century, is not written to the card,
// where it would outlast the server, and no certificate is in force at either.
func TestNonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := time.Now().Add(-time.Hour) // the year 2000
		for offset, want := range map[time.Duration]bool{time.Minute: true, 20 * year: true, 150 * year: false, -year: false, -2 * time.Hour: false, -time.Minute: true} {
			set := false
			k := New(Options{Log: slog.New(slog.DiscardHandler), Servers: func() []string { return []string{"a"} }, NotBefore: made,
				NotAfter: made.Add(100 * year), Ask: func(context.Context, string) (time.Duration, error) { return offset, nil },
				Adjust: func(time.Duration) error { set = true; return nil }})
			err := k.poll(t.Context())
			if set != want || (err == nil) != want || k.State().Synchronised != want {
				t.Errorf("%v: set %v, %v, %+v", offset, set, err, k.State())
			}
		}
	})
}

const year = 365 * 24 * time.Hour

func TestAsk(t *testing.T) {
	put := func(b []byte, at time.Time) {
		const epoch = 2208988800 // RFC 5905 §6: of Unix, in seconds of era 0
		binary.BigEndian.PutUint32(b, uint32(at.Unix()+epoch))
		binary.BigEndian.PutUint32(b[4:], uint32(int64(at.Nanosecond())<<32/int64(time.Second)))
	}
	answer := func(off time.Duration, change func([]byte)) func([]byte) []byte {
		return func(q []byte) []byte {
			b, now := make([]byte, 48), time.Now().Add(off)
			b[0], b[1] = 4<<3|4, 2
			put(b[16:], now.Add(-time.Minute))
			copy(b[24:], q[40:48])
			put(b[32:], now)
			put(b[40:], now)
			change(b)
			return b
		}
	}
	off, took, err := Ask(t.Context(), nettest.Answer(t, answer(-90*time.Second, func([]byte) {})))
	if err != nil || (off+90*time.Second).Abs() > time.Second || took < 0 {
		t.Errorf("our clock is 90 s ahead: %v, %v, %v", off, took, err)
	}
	for name, c := range map[string]struct {
		change func([]byte)
		says   string
	}{
		"kiss":        {func(b []byte) { b[1] = 0; copy(b[12:], "RATE") }, `it refuses: "RATE"`},
		"not in time": {func(b []byte) { b[0] |= 3 << 6 }, ""},
		"stratum 16":  {func(b []byte) { b[1] = 16 }, ""},
		"forged":      {func(b []byte) { b[24]++ }, ""},
		"a client":    {func(b []byte) { b[0] = 4<<3 | 3 }, ""},
		"stale":       {func(b []byte) { put(b[16:], time.Now().Add(-48*time.Hour)) }, ""},
	} {
		if _, _, err := Ask(t.Context(), nettest.Answer(t, answer(0, c.change))); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Ask(t.Context(), nettest.Answer(t, func([]byte) []byte { return []byte("hello") })); err == nil {
		t.Error("what is no NTP is taken")
	}
}

// Who asks gives up when it likes, not when the library's time is over.
func TestAskEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() {
			if _, err := theirs.Read(make([]byte, 48)); err != nil { // a question, and no answer
				t.Error(err)
			}
			cancel()
		}()
		begin := time.Now()
		_, _, err := ask(ctx, "server", func(context.Context, string, string) (net.Conn, error) { return ours, nil })
		if took := time.Since(begin); took != 0 || err == nil || err.Error() != "no answer in time" {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
