package event

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestPacked(t *testing.T) {
	long := bytes.Repeat([]byte("<slot/>"), 20_000)
	if got, err := unpack(pack(long)); err != nil || !bytes.Equal(got, long) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	bomb := pack(make([]byte, maxUnpacked+1))
	for name, body := range map[string][]byte{"nothing": nil, "no gzip": []byte("<presence/>"), "cut off": pack(long)[:40], "too long": bomb} {
		if _, err := unpack(body); !errors.Is(err, errUnpacked) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Long documents go packed to who takes that, and to nobody else (RFC 3261 §20.2).
func TestLongDocumentIsPackedForWhoTakesIt(t *testing.T) {
	long := strings.Repeat("x", packAbove+1)
	for line, packed := range map[string]bool{"Accept-Encoding: gzip": true, "Accept-Encoding: identity, gzip;q=0.5": true, "Accept-Encoding: gzip;q=0": false, "X: y": false} {
		inWorld(t, func(w *world) {
			w.peer.subscribe(&watch{callID: "c"}, append([]string{line}, usual...)...)
			w.peer.response(200)
			n := w.peer.notify()
			body := n.Body()
			if got := header(n, "Content-Encoding") == packing; got != packed {
				t.Errorf("%s: packed %v", line, got)
			}
			if packed {
				var err error
				if body, err = unpack(body); err != nil {
					t.Error(err)
				}
			}
			if string(body) != long {
				t.Errorf("%s: %d bytes", line, len(body))
			}
		}, func(_ *Config, p *Package) {
			p.Document = func(Request) ([]byte, bool) { return []byte(long), true }
		})
	}
}
