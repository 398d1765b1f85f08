package netconf

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Bounds of what a server may say.
const (
	maxList   = 4   // addresses of one kind; more are not looked at
	maxRoutes = 16  // classless routes
	maxURL    = 512 // bytes of a provisioning URL
	maxVLAN   = 4094
)

// route is one route of a lease.
type route struct {
	To  netip.Prefix
	Via netip.Addr // zero: on the link
}

// lease is what a DHCP server has granted, as the client tells it.
type lease struct {
	Link    string        `json:"link"`
	Addr    netip.Prefix  `json:"address"`
	Routers []netip.Addr  `json:"routers,omitempty"`
	Routes  []route       `json:"routes,omitempty"` // RFC 3442: if there are any, Routers do not count
	DNS     []netip.Addr  `json:"dns,omitempty"`
	Domain  string        `json:"domain,omitempty"`
	NTP     []netip.Addr  `json:"ntp,omitempty"`
	VLAN    int           `json:"vlan,omitempty"` // option 132; 0: none
	URLs    []string      `json:"urls,omitempty"` // options 160 and 66, if they are http or https
	AskTFTP bool          `json:"-"`              // there is an option 66 that the client could not read
	Server  netip.Addr    `json:"server,omitzero"`
	For     time.Duration `json:"for,omitempty"`
}

// errLease is a lease that cannot be used.
var errLease = errors.New("unusable lease")

// parseLease reads the variables that busybox's udhcpc gives its script. A variable that makes no sense is an error only
// if the address depends on it; of the others, what can be read counts.
func parseLease(env []string) (lease, error) {
	v := map[string]string{}
	for _, e := range env {
		if key, value, ok := strings.Cut(e, "="); ok {
			v[key] = value
		}
	}
	l := lease{Link: v["interface"]}
	ip, err := netip.ParseAddr(v["ip"])
	if err != nil || !ip.Is4() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() {
		return l, fmt.Errorf("%w: address %q", errLease, v["ip"])
	}
	bits := 0
	if b, err := strconv.Atoi(v["mask"]); err == nil && v["subnet"] == "" {
		bits = b
	} else if bits, err = maskBits(v["subnet"]); err != nil {
		return l, fmt.Errorf("%w: subnet mask %q of %s", errLease, v["subnet"], ip)
	}
	if bits < 1 || bits > 32 {
		return l, fmt.Errorf("%w: a network of /%d", errLease, bits)
	}
	if l.Addr = netip.PrefixFrom(ip, bits); !isHost(l.Addr) {
		return l, fmt.Errorf("%w: %s is no host's address", errLease, l.Addr)
	}
	l.Routers, l.DNS, l.NTP = addrs(v["router"]), addrs(v["dns"]), addrs(v["ntpsrv"])
	l.Routes = routes(v["staticroutes"])
	if name := strings.Fields(v["domain"]); len(name) > 0 && isName(name[0]) {
		l.Domain = name[0]
	}
	if a, err := netip.ParseAddr(v["serverid"]); err == nil {
		l.Server = a
	}
	if n, err := strconv.ParseUint(v["lease"], 10, 32); err == nil {
		l.For = time.Duration(n) * time.Second
	}
	if n, err := strconv.Atoi(v["vlanid"]); err == nil && n > 0 && n <= maxVLAN {
		l.VLAN = n
	} else {
		l.VLAN = vlanOf(v["opt132"])
	}
	for _, text := range []string{option(v["opt160"]), v["tftp"], option(v["opt66"])} {
		if u := webURL(text); u != "" {
			l.URLs = append(l.URLs, u)
		}
	}
	l.AskTFTP = v["tftp"] == spoiled
	return l, nil
}

// isHost says whether an IPv4 address can be that of a host: not that of its network or of all in it (RFC 1122 §3.2.1.3), nor the
// limited broadcast. RFC 3021: a link of two has neither.
func isHost(p netip.Prefix) bool {
	everybody, _ := netip.AddrFromSlice(broadcast(p))
	return p.Addr() != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && (p.Bits() >= 31 || p.Addr() != p.Masked().Addr() && p.Addr() != everybody)
}

// webURL is an http or https URL that a server names; "" if it names something else.
func webURL(text string) string {
	text = strings.TrimRight(strings.TrimSpace(text), "\x00")
	if (strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")) && len(text) <= maxURL && isPrintable(text) {
		return text
	}
	return ""
}

func maskBits(mask string) (int, error) {
	a, err := netip.ParseAddr(mask)
	if err != nil || !a.Is4() {
		return 0, errLease
	}
	b := a.As4()
	m := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n := 0
	for ; m&(1<<31) != 0; m <<= 1 {
		n++
	}
	if m != 0 {
		return 0, errLease // ones after a zero
	}
	return n, nil
}

func addrs(text string) []netip.Addr {
	var out []netip.Addr
	for _, f := range strings.Fields(text) {
		if a, err := netip.ParseAddr(f); err == nil && a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && len(out) < maxList {
			out = append(out, a)
		}
	}
	return out
}

// routes reads pairs "destination/bits gateway". RFC 3442: gateway 0.0.0.0 means on the link.
func routes(text string) []route {
	f := strings.Fields(text)
	var out []route
	for i := 0; i+1 < len(f) && len(out) < maxRoutes; i += 2 {
		to, err1 := netip.ParsePrefix(f[i])
		via, err2 := netip.ParseAddr(f[i+1])
		if err1 != nil || err2 != nil || !to.Addr().Is4() || !via.Is4() {
			continue
		}
		if via.IsUnspecified() {
			via = netip.Addr{}
		}
		out = append(out, route{to.Masked(), via})
	}
	return out
}

// option reads an option that udhcpc does not know and gives as hexadecimal digits.
func option(text string) string {
	if b, err := hex.DecodeString(text); err == nil {
		return string(b)
	}
	return ""
}

// vlanOf reads option 132, which RFC 2132 does not define: phones find a decimal number in it as text, "VLAN-A=100", or
// two or four bytes. 0 is none.
func vlanOf(digits string) int {
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) == 0 {
		return 0
	}
	text := strings.TrimRight(string(b), "\x00;. ")
	if _, after, ok := strings.Cut(text, "="); ok {
		text = after
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		switch len(b) {
		case 2:
			n = int(b[0])<<8 | int(b[1])
		case 4:
			n = int(b[2])<<8 | int(b[3])
			if b[0] != 0 || b[1] != 0 {
				n = 0
			}
		}
	}
	if n < 1 || n > maxVLAN {
		return 0
	}
	return n
}

func isName(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.') {
			return false
		}
	}
	return len(s) < 254
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
