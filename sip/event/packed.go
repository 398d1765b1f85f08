package event

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip/event/pidf"
)

// A document is one message, and a message has at most sip.max_message_bytes: what an appliance with some hundred parked calls
// tells of them is longer. Our subscriptions take documents packed (RFC 3261 §20.2), and our notifier packs long ones for
// who does (§20.12).
const (
	packing     = "gzip"
	packAbove   = 16 << 10      // bytes
	maxUnpacked = pidf.MaxBytes // the longest that anybody here subscribes to
)

var errUnpacked = errors.New("event: packed document is damaged or too long")

// takesPacked reads a SUBSCRIBE. RFC 3261 §20.2: without the header nothing but identity is to be sent.
func takesPacked(req *gosip.Request) bool {
	return listed(req.GetHeaders("Accept-Encoding"), packing)
}

func pack(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// PackedSize is how many bytes a long document has on its way to who takes it packed.
func PackedSize(body []byte) int { return len(pack(body)) }

func unpack(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnpacked, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnpacked, err)
	}
	if len(out) > maxUnpacked {
		return nil, fmt.Errorf("%w: more than %d bytes", errUnpacked, maxUnpacked)
	}
	return out, nil
}
