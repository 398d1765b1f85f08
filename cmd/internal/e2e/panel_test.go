package e2e

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel/paneltest"
)

// window is the panel of one appliance in headless Chromium.
type window struct {
	*place
	ctx context.Context
}

// open shows the panel of an appliance in a new window.
func (p *place) open(ctx context.Context, a *site.Appliance) *window {
	p.Helper()
	ctx, cancel := chromedp.NewContext(ctx)
	p.Cleanup(cancel)
	w := &window{p, ctx}
	w.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate("http://"+a.Panel.String()+"/"))
	w.await(`document.body.dataset.link === "live"`)
	return w
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.Fatal(err)
	}
}

// await waits until a JavaScript expression is true. It asks by a timer: a browser that has no time to draw asks for no frames.
func (w *window) await(expression string) {
	w.Helper()
	if _, err := chromedp.Run(w.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(limit))); err != nil {
		w.Fatalf("wait for %s: %v", expression, err)
	}
}

// lampIs waits for a lamp's colour and cadence as the page draws it.
func (w *window) lampIs(orbit, colour, cadence string) {
	w.Helper()
	w.await(`(() => { const d = document.querySelector("[data-lamp='orbit-` + orbit + `']").dataset; return d.colour === "` + colour +
		`" && d.cadence === "` + cadence + `" })()`)
}

// TestPanelInTheBrowser parks with the mouse on one panel and sees the lamp change on another's.
func TestPanelInTheBrowser(t *testing.T) {
	p := &place{T: t, network: newNetwork(), dir: t.TempDir()}
	var members []site.Member
	for i, name := range []string{"dock-1", "dock-2"} {
		members = append(members, site.Member{Name: name, Number: []string{"201", "202"}[i], Addr: p.addr(i + 1),
			Panel: netip.AddrPortFrom(p.addr(i+1), 8080)})
	}
	p.start(members)
	chromium := paneltest.Browser(t, 900)
	one, two := p.open(chromium, p.dock1()), p.open(chromium, p.dock2())
	o := p.call(p.dock1(), "201", 11, "caller")
	one.await(`parklamp.status.phone.ring === "normal"`)
	one.do(chromedp.Click(chromedp.CSS(`#handset`)))
	p.talking(p.dock1())
	one.do(chromedp.Click(chromedp.CSS(`[data-key="park"]`)))
	one.lampIs("701", "green", "400 100")
	two.lampIs("701", "red", "100 400")
	one.await(`document.getElementById("prompt").textContent.includes("call parked on seven zero one")`)
	two.await(`document.querySelector("[data-orbit='701'] .label").innerText.includes("5550011")`)
	p.keepPicture(one)

	two.do(chromedp.Click(chromedp.CSS(`#handset`)), chromedp.Click(chromedp.CSS(`[data-key="orbit-701"]`)))
	p.talking(p.dock2())
	two.lampIs("701", "off", "")
	one.lampIs("701", "off", "")
	two.do(chromedp.Click(chromedp.CSS(`#listen`)))
	two.await(`parklamp.listener.state === "on" && parklamp.listener.counts.played > 8000`)
	two.do(chromedp.Click(chromedp.CSS(`#handset`)))
	o.ended()
}

// keepPicture writes the screenshot that the README shows, where PARKLAMP_PICTURE says.
func (p *place) keepPicture(w *window) {
	p.Helper()
	name := os.Getenv("PARKLAMP_PICTURE")
	if name == "" {
		return
	}
	png, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(90))
	if err == nil {
		err = os.WriteFile(filepath.Clean(name), png, 0o644)
	}
	if err != nil {
		p.Error(err)
	}
}
