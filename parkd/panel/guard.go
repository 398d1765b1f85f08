package panel

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// contentPolicy lets the page load its own files and nothing else, and lets
// nobody frame it.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard refuses requests over TCP that come from a foreign page. names are host
// names that are right besides IP addresses, localhost and the machine's name.
func guard(names []string, next http.Handler) http.Handler {
	right := map[string]bool{"localhost": true}
	if name, err := os.Hostname(); err == nil {
		right[strings.ToLower(name)] = true
	}
	for _, n := range names {
		right[strings.ToLower(n)] = true
	}
	// Unsafe methods with a foreign Origin or Sec-Fetch-Site get 403.
	checked := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !rightHost(r.Host, right) {
			fail(w, http.StatusMisdirectedRequest, "unknown host name "+strings.ToValidUTF8(r.Host, "?")+
				": use the address, or add the name to panel.hosts")
			return
		}
		// Sound and events are read by GET, which another page may send too.
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" && strings.HasPrefix(r.URL.Path, "/api/") {
			fail(w, http.StatusForbidden, "cross-site request refused")
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		checked.ServeHTTP(w, r)
	})
}

// rightHost reports whether a Host field names this appliance. An address
// cannot be forged by rebinding, a name can.
func rightHost(host string, right map[string]bool) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return right[strings.ToLower(strings.TrimSuffix(name, "."))]
}
