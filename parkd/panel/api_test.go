package panel

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAPI is what the API promises, one request after another.
func TestAPI(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		for _, c := range []struct {
			name, path, body string
			code             int
			did              string // to the phone
			says             string // part of the answer
		}{
			{"press is a tap", "/api/press", `{"key":"5"}`, 204, "down 5, up 5", ""},
			{"press down", "/api/press", `{"key":"hold","action":"down"}`, 204, "down hold", ""},
			{"press up", "/api/press", `{"key":"hold","action":"up"}`, 204, "up hold", ""},
			{"press long", "/api/press", `{"key":"orbit-703","action":"long"}`, 204, "down orbit-703, up orbit-703", ""},
			{"up of a key that is up", "/api/press", `{"key":"hold","action":"up"}`, 204, "up hold", ""},
			{"no such key", "/api/press", `{"key":"coffee"}`, 404, "", `press \"coffee\": no such key`},
			{"no key", "/api/press", `{}`, 400, "", "want the name of a key"},
			{"endless key", "/api/press", `{"key":"` + strings.Repeat("x", 65) + `"}`, 400, "", "1 to 64 bytes"},
			{"odd action", "/api/press", `{"key":"5","action":"stroke"}`, 400, "", "want down, up, tap or long"},
			{"odd field", "/api/press", `{"key":"5","force":9}`, 400, "", "unknown field"},
			{"not JSON", "/api/press", `key=5`, 400, "", "request body"},
			{"two values", "/api/press", `{"key":"5"}{"key":"6"}`, 400, "", "more than one JSON value"},
			{"too much", "/api/press", `{"key":"` + strings.Repeat("x", 5000) + `"}`, 413, "", "too large"},
			{"lift", "/api/hook", `{"up":true}`, 204, "hook up", ""},
			{"replace", "/api/hook", `{"up":false}`, 204, "hook down", ""},
			{"hook without a way", "/api/hook", `{}`, 400, "", "want true"},
			{"dial", "/api/dial", `{"digits":"*68#0123456789ABCD"}`, 204, "dial *68#0123456789ABCD", ""},
			{"dial nothing", "/api/dial", `{"digits":""}`, 400, "", "want 1 to 64"},
			{"dial a name", "/api/dial", `{"digits":"12jane"}`, 400, "", "0-9, *, # and A-D alone"},
			{"dial a gap", "/api/dial", `{"digits":"12 34"}`, 400, "", "0-9, *, # and A-D alone"},
			{"dial too much", "/api/dial", `{"digits":"` + strings.Repeat("1", 65) + `"}`, 400, "", "want 1 to 64"},
			{"status", "/api/status", "", 200, "", `"name":"dock-1"`},
			{"orbits", "/api/orbits", "", 200, "", `[{"number":"701","state":"free"`},
			{"calls", "/api/calls", "", 200, "", `[{"id":"c1","state":"talking","direction":"in"`},
			{"no such resource", "/api/coffee", "", 404, "", `no such resource: \"/api/coffee\"`},
			{"GET of a POST", "/api/press", "", 404, "", "no such resource"},
			{"page", "/", "", 200, "", "<title>Parklamp</title>"},
			{"page's code", "/panel.js", "", 200, "", "EventSource"},
			{"no such page", "/coffee", "", 404, "", "not found"},
		} {
			code, text := b.ask(c.path, c.body)
			if did := b.did(); code != c.code || did != c.did || !strings.Contains(text, c.says) {
				t.Errorf("%s: %d, phone %q, answer %.120s; want %d, phone %q, answer with %s", c.name, code, did, text, c.code, c.did, c.says)
			}
			if c.code >= 400 && strings.HasPrefix(c.path, "/api/") {
				var e struct{ Error string }
				if err := json.Unmarshal([]byte(text), &e); err != nil || e.Error == "" {
					t.Errorf("%s: answer %q, want an object with error", c.name, text)
				}
			}
		}
	})
}

func TestBackendErrors(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		for _, c := range []struct {
			err  error
			code int
		}{
			{ErrNoSuchKey, 404}, {fmt.Errorf("lift: %w", ErrNoPhone), 404}, {ErrNotNow, 409}, {ErrInvalid, 400}, {errors.New("line ROW1: no such device"), 500},
		} {
			b.phone.refuse = c.err
			for path, body := range map[string]string{"/api/press": `{"key":"5"}`, "/api/hook": `{"up":true}`, "/api/dial": `{"digits":"1"}`} {
				if code, text := b.ask(path, body); code != c.code || !strings.Contains(text, strings.ReplaceAll(c.err.Error(), "panel: ", "")) {
					t.Errorf("%s with %v: %d %s, want %d with that text", path, c.err, code, text, c.code)
				}
			}
		}
	})
}

// TestStatusJSON: the lists of an empty status are there, so that programs need
// not ask, and times that are not known are not.
func TestStatusJSON(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		b.phone.status = Status{Orbits: []Orbit{{Number: "701"}}}
		_, text := b.ask("/api/status", "")
		for _, want := range []string{`"addresses":[]`, `"keys":[]`, `"lamps":[]`, `"calls":[]`, `"peers":[]`, `"health":[]`, `"accounts":[]`} {
			if !strings.Contains(text, want) {
				t.Errorf("status has no %s:\n%s", want, text)
			}
		}
		if strings.Contains(text, "null") || strings.Contains(text, "0001-01-01") {
			t.Errorf("status has null or the zero time:\n%s", text)
		}
		if b.phone.status.Orbits[0].Calls != nil {
			t.Error("the backend's own status was changed")
		}
	})
}

func TestPressTimes(t *testing.T) {
	onBench(t, func(c *Config) { c.MaxHold = 5 * time.Second }, func(b *bench) {
		edges := func(body string) (down, up, answer time.Duration) {
			t.Helper()
			begin := time.Now()
			done := make(chan time.Time, 1)
			go func() {
				if code, text := b.ask("/api/press", body); code != 204 {
					t.Errorf("%s: %d %s", body, code, text)
				}
				done <- time.Now()
			}()
			<-b.phone.pressed
			down = time.Since(begin)
			<-b.phone.pressed
			up = time.Since(begin)
			return down, up, (<-done).Sub(begin)
		}
		if down, up, answer := edges(`{"key":"5","action":"tap"}`); down != 0 || up != tapTime || answer != tapTime+restTime {
			t.Errorf("tap: down after %v, up after %v, answered after %v", down, up, answer)
		}
		// A long press is one from 800 ms (keypad).
		if down, up, _ := edges(`{"key":"5","action":"long"}`); down != 0 || up < 900*time.Millisecond {
			t.Errorf("long: down after %v, up after %v", down, up)
		}
		if _, up, answer := edges(`{"key":"5","action":"down"}`); up != 5*time.Second || answer != 0 {
			t.Errorf("down that nobody ends: up after %v, answered after %v; want max_hold and at once", up, answer)
		}
	})
}

// A machine that stands still does not lose a press: the finger stays, and is lifted for long enough, until the keypad has
// noticed, but not for ever.
func TestTapOfAKeypadThatDoesNotLook(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		blind := func(is bool) {
			b.phone.mu.Lock()
			defer b.phone.mu.Unlock()
			b.phone.blind = is
		}
		for _, body := range []string{`{"key":"5"}`, `{"key":"5","action":"down"}`} {
			blind(true)
			begin := time.Now()
			answered := make(chan time.Duration, 1)
			go func() {
				b.ask("/api/press", body)
				if strings.Contains(body, "down") {
					b.ask("/api/press", `{"key":"5","action":"up"}`)
				}
				answered <- time.Since(begin)
			}()
			<-b.phone.pressed
			time.Sleep(time.Second)
			blind(false)
			<-b.phone.pressed
			if up := time.Since(begin); up < time.Second || up > time.Second+lookTime {
				t.Errorf("%s: up after %v, want when it was noticed", body, up)
			}
			blind(true)
			time.Sleep(time.Second)
			blind(false)
			if took := <-answered; took < 2*time.Second {
				t.Errorf("%s: answered after %v, before the release was noticed", body, took)
			}
		}
		blind(true)
		begin := time.Now()
		code, text := b.ask("/api/press", `{"key":"5"}`)
		if took := time.Since(begin); code != 204 || took < noticeTime || took > noticeTime+time.Second || took > bodyTimeout*2/3 {
			t.Errorf("nobody ever looked: %d %s, and the tap took %v, want 204 after about %v, in time for the answer", code, text, took, noticeTime)
		}
	})
}

// A quick click is shorter than the debouncing; the key is held down long enough to count.
func TestQuickClick(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		begin := time.Now()
		b.ask("/api/press", `{"key":"5","action":"down"}`)
		if code, text := b.ask("/api/press", `{"key":"5","action":"up"}`); code != 204 {
			t.Errorf("up at once: %d %s, want 204", code, text)
		}
		if took := time.Since(begin); took < tapTime {
			t.Errorf("the click took %v, want at least %v", took, tapTime)
		}
	})
}

func TestPressConflicts(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		tap, long := `{"key":"5","action":"tap"}`, `{"key":"5","action":"long"}`
		ended := make(chan int, 1)
		go func() { code, _ := b.ask("/api/press", long); ended <- code }()
		<-b.phone.pressed
		if code, text := b.ask("/api/press", tap); code != 409 {
			t.Errorf("tap during a long press: %d %s, want 409", code, text)
		}
		if code, _ := b.ask("/api/press", `{"key":"6"}`); code != 204 {
			t.Errorf("tap of another key during a long press: %d", code)
		}
		b.ask("/api/press", `{"key":"5","action":"up"}`)
		if code := <-ended; code != 204 {
			t.Errorf("long press that was cut short: %d, want 204", code)
		}
		b.ask("/api/press", `{"key":"5","action":"down"}`)
		if code, _ := b.ask("/api/press", tap); code != 409 {
			t.Errorf("tap of a key that is held: %d, want 409", code)
		}
		if code, _ := b.ask("/api/press", `{"key":"5","action":"down"}`); code != 204 {
			t.Errorf("down of a key that is held: %d, want 204", code)
		}
		b.did()
		b.stop()
		if did := b.did(); did != "up 5" {
			t.Errorf("at the end %q was done to the phone, want up 5", did)
		}
	})
}

func TestEvents(t *testing.T) {
	onBench(t, nil, func(b *bench) {
		res := b.open("/api/events", "")
		defer res.Body.Close()
		if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
			t.Errorf("content type %q", ct)
		}
		r := bufio.NewReader(res.Body)
		begin := time.Now()
		if _, s := nextEvent(t, r); s.Appliance.Name != "dock-1" || time.Since(begin) != 0 {
			t.Errorf("first event %+v after %v, want the status at once", s.Appliance, time.Since(begin))
		}

		// The first change goes out at once, those of the next 20 ms together.
		time.Sleep(100 * time.Millisecond)
		set := func(prompt string) { b.phone.change(func(f *fakePhone) { f.status.Phone.Prompt = prompt }) }
		begin = time.Now()
		set("one")
		if _, s := nextEvent(t, r); s.Phone.Prompt != "one" || time.Since(begin) != 0 {
			t.Errorf("change %q after %v, want one at once", s.Phone.Prompt, time.Since(begin))
		}
		set("two")
		set("three")
		first, s := nextEvent(t, r)
		if s.Phone.Prompt != "three" || time.Since(begin) != coalesce {
			t.Errorf("then %q after %v, want three after %v", s.Phone.Prompt, time.Since(begin), coalesce)
		}

		// Without a change the status comes again, far beyond the time in which
		// a request must have been read.
		for range 20 {
			begin = time.Now()
			id, _ := nextEvent(t, r)
			if d := time.Since(begin); d > refresh {
				t.Errorf("event %s after %v, want one in %v", id, d, refresh)
			}
			if id == first {
				t.Errorf("id %s twice", id)
			}
			first = id
		}
	})
}

// TestEventsNewestWins: a reader that was away gets the newest status, not all
// that it missed.
func TestEventsNewestWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		phone := newFakePhone()
		h := newHub(phone)
		events, leave := h.join()
		defer leave()
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { h.run(ctx); close(done) }()
		for i := range 10 {
			phone.change(func(f *fakePhone) { f.status.Phone.Volume = i })
			time.Sleep(30 * time.Millisecond)
		}
		e := <-events
		var s Status
		if err := json.Unmarshal(e.data, &s); err != nil || s.Phone.Volume != 9 {
			t.Errorf("volume %d (%v), want the newest, 9", s.Phone.Volume, err)
		}
		cancel()
		<-done
		phone.mu.Lock()
		defer phone.mu.Unlock()
		if len(phone.changed) != 0 {
			t.Error("the subscription outlived the hub")
		}
	})
}

// TestSlowReader: somebody who stops reading is cut off and holds nobody up.
func TestSlowReader(t *testing.T) {
	onBench(t, func(c *Config) { c.MaxStreams = 1 }, func(b *bench) {
		slow := b.open("/api/events", "") // its body is a pipe: nothing is buffered
		defer slow.Body.Close()
		if code, text := b.ask("/api/events", ""); code != 503 || !strings.Contains(text, "1 readers of events already") {
			t.Errorf("second reader: %d %s, want 503", code, text)
		}
		time.Sleep(refresh + writeTimeout + time.Second)
		next := b.open("/api/events", "")
		defer next.Body.Close()
		if next.StatusCode != 200 {
			t.Errorf("after the slow reader was cut off: %d, want 200", next.StatusCode)
		}
	})
}

func TestListen(t *testing.T) {
	onBench(t, func(c *Config) { c.MaxListeners = 1 }, func(b *bench) {
		b.phone.frames = make(chan []int16)
		res := b.open("/api/listen", "")
		head := make([]byte, 44)
		if _, err := io.ReadFull(res.Body, head); err != nil {
			t.Fatalf("read the head: %v", err)
		}
		if string(head[:4]) != "RIFF" || string(head[8:16]) != "WAVEfmt " || string(head[36:40]) != "data" {
			t.Errorf("head %q is not that of a WAV file", head)
		}
		u16, u32 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32
		if u16(head[20:]) != 1 || u16(head[22:]) != 1 || u32(head[24:]) != 8000 || u32(head[28:]) != 16000 || u16(head[34:]) != 16 {
			t.Errorf("head % x: want PCM, 1 channel, 8000 Hz, 16000 B/s, 16 bits", head)
		}
		if code, _ := b.ask("/api/listen", ""); code != 503 {
			t.Errorf("second listener: %d, want 503", code)
		}
		want := []int16{0, 1, -1, 32767, -32768}
		for range 3 { // with a silence longer than any timeout
			b.phone.frames <- want
			got := make([]int16, len(want))
			if err := binary.Read(res.Body, binary.LittleEndian, got); err != nil || !slices.Equal(got, want) {
				t.Errorf("samples %v (%v), want %v", got, err, want)
			}
			time.Sleep(time.Minute)
		}
		res.Body.Close()
		<-b.phone.earsShut
		synctest.Wait()
		res = b.open("/api/listen", "")
		if res.StatusCode != 200 {
			t.Errorf("after the first listener left: %d, want 200", res.StatusCode)
		}
		b.stop()
		if _, err := io.Copy(io.Discard, res.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("at the end of the server: %v", err)
		}
		res.Body.Close()
	})
}
