package panel

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"parklamp/parkd/panel/paneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// browser is headless Chromium with the page of a running server.
type browser struct {
	t     *testing.T
	ctx   context.Context
	phone *fakePhone
}

// visit opens the page of a new server and waits until it is live.
func visit(t *testing.T, ctx context.Context) *browser {
	t.Helper()
	b := &browser{t, ctx, newFakePhone()}
	s := start(t, b.phone)
	b.do(chromedp.Navigate("http://" + s.Addr().String() + "/"))
	b.await(`document.body.dataset.link === "live"`)
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// await waits until a JavaScript expression is true. It asks by a timer: a browser that has no time to draw asks for no frames.
func (b *browser) await(expression string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(2*time.Minute))); err != nil {
		b.t.Fatalf("wait for %s: %v", expression, err)
	}
}

// eval returns the value of a JavaScript expression, awaited.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// sees waits for the next things done to the phone.
func (b *browser) sees(want ...string) {
	b.t.Helper()
	for _, w := range want {
		select {
		case got := <-b.phone.pressed:
			if got != w {
				b.t.Fatalf("the phone saw %q, want %q of %q", got, w, want)
			}
		case <-b.ctx.Done():
			b.t.Fatalf("the phone saw nothing, want %q", w)
		}
	}
}

// middle returns where to point the mouse at.
func (b *browser) middle(id string) (x, y float64) {
	b.t.Helper()
	at := eval[[]float64](b, `(() => { const r = document.getElementById("`+id+`").getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()`)
	return at[0], at[1]
}

func TestPage(t *testing.T) {
	ctx := paneltest.Browser(t, 1000)
	for _, c := range []struct {
		name string
		test func(*browser)
	}{
		{"mouse", testMouse}, {"keyboard", testKeyboard}, {"refusal", testRefusal}, {"lamps", testLamps},
		{"words", testWords}, {"names", testNames}, {"listen", testListen},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(visit(t, ctx)) })
	}
	t.Run("reports", func(t *testing.T) { testReports(t, ctx) })
	t.Run("lost", func(t *testing.T) { testLost(t, ctx) })
	t.Run("update", func(t *testing.T) { testUpdate(t, ctx) })
}

// testUpdate sends a bundle that is refused by its head, and one that is not.
func testUpdate(t *testing.T, ctx context.Context) {
	const size = 3 << 20
	answers := map[string]int{"/api/update/check": http.StatusForbidden, "/api/update": http.StatusOK}
	warning, sent := "", make(chan string, 8)
	s := New(Config{Listen: netip.MustParseAddrPort("127.0.0.1:0"), MaxConnections: 8, MaxStreams: 2, MaxListeners: 1}, newFakePhone(), slog.New(slog.DiscardHandler))
	s.UpdateBy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, _ := io.Copy(io.Discard, r.Body)
			w.WriteHeader(answers[r.URL.Path])
			_, _ = io.WriteString(w, `{"stage":"idle","error":"the signature is wrong","warning":"`+warning+`"}`)
			sent <- fmt.Sprint(r.URL.Path, " ", n)
			return
		}
		_, _ = io.WriteString(w, `{"stage":"idle"}`)
	}))
	run(t, s)
	b := &browser{t, ctx, nil}
	b.do(chromedp.Navigate("http://" + s.Addr().String() + "/"))
	b.await(`!document.getElementById("update-card").hidden`)
	install := fmt.Sprintf(`(() => { const d = new DataTransfer(), f = document.getElementById("update-file");
		d.items.add(new File([new Uint8Array(%d)], "x.bundle")); f.files = d.files; f.dispatchEvent(new Event("change"));
		document.getElementById("update-send").click() })()`, size)
	for _, want := range []struct {
		says    string
		warning string // of an appliance that is not healthy; who is asked says
		yes     bool
		sent    []string
	}{
		{"the signature is wrong", "", false, []string{"/api/update/check 8192"}},
		{"The appliance runs this already.", "", false, []string{"/api/update/check 8192", fmt.Sprint("/api/update ", size)}},
		{"Nothing was sent: no peer.", "no peer", false, []string{"/api/update/check 8192"}},
		{"The appliance runs this already.", "no peer", true, []string{"/api/update/check 8192", fmt.Sprint("/api/update ", size)}},
	} {
		warning = want.warning
		eval[any](b, fmt.Sprintf("(() => { window.confirm = () => %t })()", want.yes))
		eval[any](b, install)
		b.await(`document.getElementById("update-state").textContent === "` + want.says + `"`)
		for _, w := range want.sent {
			if got := <-sent; got != w {
				t.Errorf("%s: sent %s, want %s", want.says, got, w)
			}
		}
		if len(sent) > 0 {
			t.Errorf("%s: sent also %s", want.says, <-sent)
		}
		answers["/api/update/check"] = http.StatusAccepted
	}
}

// testMouse holds Park down and sees the lamp before the key comes up.
func testMouse(b *browser) {
	x, y := b.middle("key-park")
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	b.sees("down park")
	b.await(`document.querySelector("[data-lamp='orbit-701']").dataset.state === "parked-here"`)
	lamp := eval[map[string]string](b, `({...document.querySelector("[data-lamp='orbit-701']").dataset})`)
	if lamp["colour"] != "green" || lamp["cadence"] != "400 100" || lamp["pattern"] != StateParkedHere {
		b.t.Errorf("lamp of 701: %v, want green, 400 100", lamp)
	}
	label := eval[string](b, `document.querySelector("[data-orbit='701'] .label").innerText`)
	for _, want := range []string{"Jane Miller (0123456)", "parked here, by Dock 1 (201)", "0:0"} {
		if !strings.Contains(label, want) {
			b.t.Errorf("beside the lamp: %q, want %q in it", label, want)
		}
	}
	if p := eval[string](b, `document.getElementById("prompt").textContent`); p != "“parked on seven zero one”" {
		b.t.Errorf("prompt %q", p)
	}
	// It comes up wherever the mouse has gone.
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 5, 5, chromedp.ButtonLeft), chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, 5, 5, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	b.sees("up park")
	b.do(chromedp.Click(chromedp.CSS(`[data-key="orbit-703"]`)), chromedp.Click(chromedp.CSS(`#handset`)))
	b.sees("down orbit-703", "up orbit-703", "hook down")
	b.await(`document.getElementById("handset").getAttribute("aria-pressed") === "false"`)
	b.do(chromedp.Click(chromedp.CSS(`#handset`)))
	b.sees("hook up")
	b.await(`document.getElementById("sound").textContent.includes("Dial tone")`)
	// A screen reader clicks without mouse and keyboard.
	eval[any](b, `document.getElementById("key-hold").click()`)
	b.sees("down hold", "up hold")
	// A window that is left lets go of everything.
	x, y = b.middle("key-5")
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	b.sees("down 5")
	eval[any](b, `dispatchEvent(new Event("blur"))`)
	b.sees("up 5")
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, x, y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
}

func testKeyboard(b *browser) {
	b.do(chromedp.KeyEvent("5*#ps+"))
	for _, key := range []string{"5", "*", "#", "park", "orbit-702", "volume-up"} {
		b.sees("down "+key, "up "+key)
	}
	b.do(chromedp.KeyEvent("o"))
	b.sees("hook down")
	// With the focus on a key, Enter and space press that one.
	b.do(chromedp.Focus(chromedp.CSS("#key-transfer")), chromedp.KeyEvent("\r "))
	b.sees("down transfer", "up transfer", "down transfer", "up transfer")
	// The keys of the browser itself are left alone, and all can be turned off.
	b.do(chromedp.KeyEvent("p", chromedp.KeyModifiers(chromedp.ModifierCtrl)), chromedp.KeyEvent("6"))
	b.sees("down 6", "up 6")
	b.do(chromedp.Click(chromedp.CSS("#shortcuts")), chromedp.KeyEvent("7"), chromedp.Click(chromedp.CSS(`[data-key="8"]`)))
	b.sees("down 8", "up 8")
	b.do(chromedp.Click(chromedp.CSS("#shortcuts")))
}

// testRefusal: what the appliance refuses is told, and hidden from nobody.
func testRefusal(b *browser) {
	b.phone.change(func(f *fakePhone) { f.refuse = ErrNotNow })
	b.do(chromedp.KeyEvent("5"))
	b.await(`!document.getElementById("alert").hidden && document.getElementById("alert").textContent === "not possible now"`)
}

// sampleLamps watches every lamp for 1.3 s: the appliance's time by the page's
// reckoning and the ids of those that are lit, frame by frame.
const sampleLamps = `new Promise((resolve) => {
	const samples = [], lamps = [...document.querySelectorAll(".lamp")], begin = document.timeline.currentTime;
	const look = () => {
		const now = document.timeline.currentTime;
		samples.push({
			at: parklamp.clock.now() - performance.now() + now,
			lit: lamps.filter((l) => { const g = getComputedStyle(l.firstChild); return g.visibility === "visible" && g.opacity > 0.5 }).map((l) => l.dataset.lamp),
		});
		now - begin < 1300 ? requestAnimationFrame(look) : resolve(samples);
	};
	requestAnimationFrame(look);
})`

// testLamps: every lamp of the page is lit and dark when the appliance's is.
func testLamps(b *browser) {
	shown := map[string]string{"701": StateParkedHere, "702": StateParkedElsewhere, "703": StateRecalling, "704": StateQueued, "705": StateUnknown, "706": StateFree}
	b.phone.change(func(f *fakePhone) {
		for number, state := range shown {
			f.set(number, state)
		}
	})
	b.await(`document.querySelector("[data-lamp='orbit-705']").dataset.state === "unknown"`)
	for range 10 { // to learn the appliance's clock from
		id := eval[float64](b, `performance.now()`)
		b.phone.change(func(f *fakePhone) { f.status.Phone.Digits = strconv.Itoa(int(id)) })
		b.await(`document.getElementById("state").textContent.endsWith("` + strconv.Itoa(int(id)) + `")`)
	}
	if off := eval[float64](b, `Math.abs(parklamp.clock.now() - Date.now())`); off > 100 {
		b.t.Errorf("the page reckons %v ms beside the appliance's clock", off)
	}
	type sample struct {
		At  float64  `json:"at"`
		Lit []string `json:"lit"`
	}
	samples := eval[[]sample](b, sampleLamps)
	for number, state := range shown {
		lamp := cadences[state]
		lit := func(ms float64) bool { return lamp.colour != Off && lamp.cadence.lit(time.UnixMicro(int64(ms*1000))) }
		seen := map[bool]int{}
		for _, s := range samples {
			if lit(s.At-8) != lit(s.At+8) {
				continue // the reckoning is good to some ms
			}
			got := slices.Contains(s.Lit, "orbit-"+number)
			seen[got]++
			if got != lit(s.At) {
				b.t.Fatalf("lamp of %s (%s): lit %v at %.0f ms, the appliance's is not", number, state, got, s.At)
			}
		}
		if lamp.cadence != nil && (seen[true] == 0 || seen[false] == 0) {
			b.t.Errorf("lamp of %s (%s) does not blink: %d times lit, %d dark", number, state, seen[true], seen[false])
		}
	}
}

func testWords(b *browser) {
	since := time.Now().Add(-65 * time.Second)
	b.phone.change(func(f *fakePhone) {
		call := func(host string) ParkedCall {
			return ParkedCall{Caller: Party{Name: "Acme"}, Parker: Party{Name: "Dock 2"}, Host: host, Since: since}
		}
		f.set("701", StateParkedElsewhere, call("dock-2"))
		f.set("702", StateRecalling, call("dock-1"))
		f.set("703", StateQueued, call("dock-2"), call("dock-1"))
		f.set("704", StateUnknown, call("office"))
		f.set("706", StateUnknown)
		f.status.Phone = Phone{State: "ringing", Ring: "recall", Party: Party{Name: "Acme"}, DND: true}
	})
	b.await(`document.querySelector("[data-orbit='704']").dataset.state === "unknown"`)
	for number, want := range map[string]string{
		"701": "Acme|1:0|parked on dock-2, by Dock 2", "702": "Acme|1:0|time is up, calling Dock 2 back", "703": "Acme|1:0|2 callers wait here, by Dock 2, on dock-2",
		"704": "Acme|1:0|not known: office does not answer, by Dock 2", "705": "||Free", "706": "||Not known: no other appliance answers",
	} {
		parts := strings.Split(want, "|")
		got := eval[[]string](b, `[...document.querySelectorAll("[data-orbit='`+number+`'] p")].map((p) => p.textContent)`)
		if len(got) != 3 || got[0] != parts[0] || !strings.HasPrefix(got[1], parts[1]) || got[2] != parts[2] {
			b.t.Errorf("beside %s: %q, want %q", number, got, parts)
		}
	}
	for id, want := range map[string]string{
		"state": "Being called by Acme", "sound": "The phone rings in the recall rhythm: a parked call comes back · do not disturb is on",
		"health": "office does not answer", "peers": "does not answer, its orbits are not known", "accounts": "sip:dock-1@example.net", "calls": "PCMU, not encrypted, 1250 out, 1247 in; MOS 4.3 here (R 88, 0.2 % lost, jitter 0.0 ms)",
		"ended": "4:00G722, encrypted; MOS 3.6 here (R 70, 7.0 % lost, jitter 12.3 ms), MOS 4.4 there (R 93, 0.0 % lost, 0.3 % late, jitter 2.0 ms), round trip 31 ms",
	} {
		if got := eval[string](b, `document.getElementById("`+id+`").textContent`); !strings.Contains(got, want) {
			b.t.Errorf("%s: %q, want %q in it", id, got, want)
		}
	}
	b.phone.change(func(f *fakePhone) {
		f.status.Phone = Phone{HookUp: true, State: "conference", Party: Party{Name: "Acme"}, Third: Party{Number: "202"}}
	})
	b.await(`document.getElementById("state").textContent === "In a conference with Acme and 202"`)
}

// testNames: whoever does not see the page is told the same.
func testNames(b *browser) {
	if bare := eval[[]string](b, `[...document.querySelectorAll("button")].filter((b) => !(b.getAttribute("aria-label") || b.innerText).trim()).map((b) => b.outerHTML)`); len(bare) > 0 {
		b.t.Errorf("buttons without a name: %q", bare)
	}
	if lone := eval[[]string](b, `[...document.querySelectorAll("[data-group=orbit]")].filter((b) => !document.getElementById(b.getAttribute("aria-describedby"))?.textContent).map((b) => b.id)`); len(lone) > 0 {
		b.t.Errorf("orbit keys without words: %q", lone)
	}
	if wide := eval[bool](b, `document.documentElement.scrollWidth > innerWidth`); wide {
		b.t.Error("the page is wider than the window")
	}
	if hidden := eval[[]string](b, `[...document.querySelectorAll("#functions .key")].filter((key) => {
		const text = new Range(), kbd = key.querySelector("kbd")?.getBoundingClientRect();
		text.selectNodeContents(key.querySelector(".cap"));
		return !kbd || [...text.getClientRects()].some((r) => r.right > kbd.left && r.top < kbd.bottom);
	}).map((key) => key.id)`); len(hidden) > 0 {
		b.t.Errorf("keys without the letter that presses them, or with it over their name: %q", hidden)
	}
	b.do(chromedp.EmulateViewport(360, 740))
	if wide := eval[bool](b, `document.documentElement.scrollWidth > innerWidth`); wide {
		b.t.Error("the page is wider than a small telephone")
	}
	b.do(chromedp.EmulateViewport(390, 844))
	eval[bool](b, `document.getElementById("ended-details").open = true`)
	if narrow := eval[[]float64](b, `[...document.querySelectorAll("#calls td:nth-child(4), #ended td:nth-child(4)")].map((td) => td.clientWidth).filter((w) => w < 250)`); len(narrow) > 0 {
		b.t.Errorf("on a screen of 390 pixels the sound of a call has %v", narrow)
	}
	b.do(chromedp.ResetViewport())
	b.phone.change(func(f *fakePhone) {
		f.set("702", StateParkedElsewhere, ParkedCall{Caller: Party{Name: "Acme"}, Host: "dock-2"})
	})
	b.await(`document.getElementById("announce").textContent === "702: Acme, parked on dock-2"`)
}

// testListen: the tone of 1 kHz in the handset comes out of the browser.
func testListen(b *browser) {
	b.do(chromedp.Click(chromedp.CSS("#listen")))
	<-b.phone.earsOpen
	b.await(`parklamp.listener.counts.played > 6000 && parklamp.listener.counts.peak > 0.3`)
	if state := eval[string](b, `parklamp.listener.context.state`); state != "running" {
		b.t.Errorf("the audio context is %s", state)
	}
	b.await(`(() => {
		const a = parklamp.listener.analyser, bins = new Float32Array(a.frequencyBinCount);
		a.getFloatFrequencyData(bins);
		const top = bins.indexOf(Math.max(...bins));
		return Math.abs(top * a.context.sampleRate / a.fftSize - 1000) < 16;
	})()`)
	counts := eval[map[string]float64](b, `parklamp.listener.counts`)
	if counts["received"] < counts["played"] || counts["held"] > 0.4*sampleRate {
		b.t.Errorf("counts %v: more played than received, or too much held", counts)
	}
	if text := eval[string](b, `document.getElementById("listen-state").textContent`); text != "you hear the handset" {
		b.t.Errorf("beside the button: %q", text)
	}
	b.do(chromedp.Click(chromedp.CSS("#listen")))
	<-b.phone.earsShut
	b.await(`document.getElementById("listen").getAttribute("aria-pressed") === "false"`)
}

// testLost: without a connection nothing is shown as free, and the page comes
// back by itself.
func testLost(t *testing.T, ctx context.Context) {
	b := &browser{t, ctx, newFakePhone()}
	cfg := Default()
	cfg.Socket = ""
	cfg.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	life := func() (end func()) {
		s := New(cfg, b.phone, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		select {
		case <-s.Ready():
		case err := <-ended:
			t.Fatal(err)
		}
		cfg.Listen = s.Addr()
		return func() { cancel(); <-ended }
	}
	end := life()
	b.do(chromedp.Navigate("http://" + cfg.Listen.String() + "/"))
	b.await(`document.body.dataset.link === "live" && document.querySelector("[data-orbit='701']").dataset.state === "free"`)
	end()
	b.await(`document.body.dataset.link === "lost"`)
	if free := eval[[]string](b, `[...document.querySelectorAll(".orbit")].filter((o) => o.dataset.state !== "unknown" || o.querySelector(".lamp").dataset.colour !== "amber").map((o) => o.dataset.orbit)`); len(free) > 0 {
		t.Errorf("without a connection these are not shown as unknown: %q", free)
	}
	end = life()
	b.await(`document.body.dataset.link === "live" && document.querySelector("[data-lamp='orbit-701']").dataset.colour === "off"`)
	end()
}

// testReports: the reports of self tests, the newest first, with what failed and both files of each.
func testReports(t *testing.T, ctx context.Context) {
	b := &browser{t, ctx, newFakePhone()}
	s := start(t, &fakeTester{fakePhone: b.phone, reports: []string{
		"selftest-3.json", `{"outcome":"failed","started":"2026-11-22T07:00:00Z","findings":[{"step":"lamps","outcome":"failed"},{"step":"keys","outcome":"passed"},{"step":"lamps","outcome":"failed"},{"step":"disk","outcome":"failed"}]}`,
		"selftest-3.json.jws", "x",
		"selftest-2.json", `{"outcome":"passed","started":"2026-11-21T07:00:00Z","findings":[]}`,
		"selftest-1.json", `{"outcome":"aborted","reason":"a call came in","started":"2026-11-20T07:00:00Z"}`,
	}})
	b.do(chromedp.Navigate("http://" + s.Addr().String() + "/"))
	b.await(`document.querySelectorAll("#reports li").length === 3 && !document.getElementById("reports-card").hidden`)
	said := eval[[]string](b, `[...document.querySelectorAll("#reports li")].map((l) => l.dataset.outcome + " " + l.querySelector("b").textContent + " " + [...l.querySelectorAll("a")].map((a) => a.download).join(" "))`)
	want := []string{"failed Failed: lamps, disk selftest-3.json selftest-3.json.jws", "passed Passed selftest-2.json", "aborted Ended before its end selftest-1.json"}
	if !slices.Equal(said, want) {
		t.Errorf("shows %q, want %q", said, want)
	}
	if text := eval[string](b, `fetch(document.querySelector("#reports a[download$=jws]").href).then((a) => a.text())`); text != "x" {
		t.Errorf("the signature is %q", text)
	}
}
