// Package paneltest starts the browser in which tests look at the panel's page: headless Chromium (Debian package chromium). Its
// sound goes nowhere, at the pace of a sound card. The package starts no goroutine but chromedp's; browser and goroutines end
// with the test.
package paneltest

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// longest is how long a browser is there at most.
const longest = 5 * time.Minute

// Browser starts Chromium with one window, 1280 pixels wide. chromedp.NewContext opens more.
func Browser(t *testing.T, height int) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.WindowSize(1280, height))...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium (make test-deps installs it): %v", err)
	}
	return ctx
}
