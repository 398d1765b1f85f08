package sip

import (
	"bytes"
	"errors"
)

// errKeysInClear refuses to send a message with keys of its media by anything but TLS. RFC 4568 §8.1: whoever reads the
// key hears the call. Callers know better than to try; this makes sure.
var errKeysInClear = errors.New("sip: keys of media go by TLS only")

// fit says whether a message may take this way.
func fit(f flow, b []byte) error {
	if f.kind() != kindTLS && bytes.Contains(b, []byte("\na=crypto:")) {
		return errKeysInClear
	}
	return nil
}
