package reg

import (
	"testing"

	gosip "github.com/emiago/sipgo/sip"
)

// FuzzServiceRoute checks that a route is whole and can be read back, or nothing.
func FuzzServiceRoute(f *testing.F) {
	f.Add("<sip:p1.example.com;lr>, <sip:p2.example.com;lr>") // RFC 3608 §5
	f.Add(`<sip:orig@scscf.example;lr>;x="a,b>"`)
	f.Add("<sip:[2001:db8::1]:5060;lr>,")
	f.Add("<<>>")
	f.Fuzz(func(t *testing.T, value string) {
		res := gosip.NewResponse(200, "OK")
		res.AppendHeader(gosip.NewHeader("Service-Route", value))
		for _, u := range serviceRoute(res) {
			if _, err := parseURI(u.String()); err != nil {
				t.Errorf("%q out of %q: %v", u.String(), value, err)
			}
		}
	})
}
