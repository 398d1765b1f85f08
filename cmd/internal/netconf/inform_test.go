package netconf

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
)

var (
	informMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	informOwn = netip.MustParseAddr("192.0.2.7")
)

// reply is what a server says to message 7 of informMAC.
func reply(file, sname []byte, options ...byte) []byte {
	b := informMessage(7, informMAC, informOwn, optTFTP)[:fixedSize]
	b[0] = 2
	copy(b[108:], file)
	copy(b[44:], sname)
	return append(append(b, cookie...), options...)
}

func TestInform(t *testing.T) {
	out := informMessage(7, informMAC, informOwn, optTFTP)
	if len(out) != leastMessage || !bytes.Equal(out[12:16], informOwn.AsSlice()) || !bytes.HasPrefix(out[fixedSize:], []byte{99, 130, 83, 99, 53, 1, 8, 55, 1, 66, 60, 8}) {
		t.Errorf("% x", out)
	}
	for name, c := range map[string]struct {
		answer []byte
		want   string
		lost   bool
	}{
		"plain":                     {reply(nil, nil, 0, 53, 1, 5, 66, 3, 'u', 'r', 'l', 255, 66, 1, 'x'), "url", false},
		"in two pieces (RFC 3396)":  {reply(nil, nil, 53, 1, 5, 66, 2, 'u', 'r', 66, 1, 'l'), "url", false},
		"in the field of the file":  {reply([]byte{66, 3, 'u', 'r', 'l', 255}, nil, 53, 1, 5, 52, 1, 1, 255), "url", false},
		"in both fields":            {reply([]byte{66, 2, 'u', 'r', 255}, []byte{66, 1, 'l', 255}, 53, 1, 5, 52, 1, 3, 255), "url", false},
		"the file is a file":        {reply([]byte{66, 3, 'u', 'r', 'l'}, nil, 53, 1, 5, 255), "", false},
		"nothing":                   {reply(nil, nil, 53, 1, 5, 255), "", false},
		"cut within the option":     {reply(nil, nil, 53, 1, 5, 66, 9, 'u'), "", false},
		"no acknowledgement":        {reply(nil, nil, 53, 1, 6, 66, 3, 'u', 'r', 'l'), "", true},
		"our own question":          {out, "", true},
		"an answer without options": {reply(nil, nil)[:fixedSize], "", true},
	} {
		got, err := parseInform(c.answer, 7, informMAC, optTFTP)
		if got != c.want || (err != nil) != c.lost {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	right := reply(nil, nil, 53, 1, 5)
	if _, err := parseInform(right, 8, informMAC, optTFTP); err == nil {
		t.Error("the answer to another question")
	}
	if _, err := parseInform(right, 7, net.HardwareAddr{2, 0, 0, 0, 0, 2}, optTFTP); err == nil {
		t.Error("the answer to another phone")
	}
}

func FuzzInform(f *testing.F) {
	f.Add(reply([]byte{66, 2, 'u', 'r'}, []byte{66, 1, 'l'}, 53, 1, 5, 52, 1, 3, 255))
	f.Add(reply(nil, nil, 53, 1, 5, 66, 9, 'u'))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := parseInform(b, 7, informMAC, optTFTP)
		if err == nil && len(text) > len(b) {
			t.Fatalf("%d bytes of %d", len(text), len(b))
		}
	})
}
