package panel

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
)

//go:embed page
var pageFiles embed.FS

// servePage adds the page and its files. They are small and change with the
// firmware: a browser asks each time and is told by the ETag that it has them.
func servePage(mux *http.ServeMux) {
	for _, f := range []struct{ path, file, kind string }{
		{"GET /{$}", "page/panel.html", "text/html; charset=utf-8"},
		{"GET /panel.css", "page/panel.css", "text/css; charset=utf-8"},
		{"GET /panel.js", "page/panel.js", "text/javascript; charset=utf-8"},
		{"GET /words.js", "page/words.js", "text/javascript; charset=utf-8"},
		{"GET /update.js", "page/update.js", "text/javascript; charset=utf-8"},
		{"GET /reports.js", "page/reports.js", "text/javascript; charset=utf-8"},
		{"GET /keys.js", "page/keys.js", "text/javascript; charset=utf-8"},
		{"GET /lamps.js", "page/lamps.js", "text/javascript; charset=utf-8"},
		{"GET /sound.js", "page/sound.js", "text/javascript; charset=utf-8"},
		{"GET /speaker.js", "page/speaker.js", "text/javascript; charset=utf-8"},
	} {
		body, err := pageFiles.ReadFile(f.file)
		if err != nil {
			panic(fmt.Sprintf("panel: embedded file %s: %v", f.file, err)) // embedded above
		}
		sum := sha256.Sum256(body)
		etag := `"` + hex.EncodeToString(sum[:8]) + `"`
		mux.HandleFunc(f.path, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("ETag", etag)
			h.Set("Cache-Control", "no-cache")
			if r.Header.Get("If-None-Match") == etag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			h.Set("Content-Type", f.kind)
			_, _ = w.Write(body) // an error is a connection that is gone
		})
	}
}
