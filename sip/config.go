package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Config says where the endpoint listens and how much it lets in.
type Config struct {
	Listen    []string `toml:"listen" doc:"sockets to listen on, each transport:address:port, for example udp:192.0.2.1:5060, tcp:[2001:db8::1]:5060, tls:192.0.2.1:5061, or transport:interface:port, for example udp:eth0:5060 for the IPv4 address that eth0 has and udp:[eth0]:5060 for its IPv6 address: sockets and calls follow when that changes. No wildcard addresses. The one key that every file must set"`
	UserAgent string   `toml:"user_agent" doc:"text of the User-Agent and Server headers; empty sends none"`

	TLSCert string `toml:"tls_cert" doc:"PEM file with the certificate chain that TLS listeners show"`
	TLSKey  string `toml:"tls_key" doc:"PEM file with the private key of tls_cert"`
	TLSCA   string `toml:"tls_ca" doc:"PEM file with the authorities that other TLS servers must prove; empty means those of the system"`
	SiteCA  string `toml:"site_ca" doc:"PEM file with the site's own authority, as parkctl site makes it: peers are then reached by TLS, each proves by tls_cert who it is, and nobody else is taken for a peer; empty tells peers by their addresses"`

	MaxMessageBytes                int `toml:"max_message_bytes" doc:"largest message accepted, in bytes"`
	MaxTransactions                int `toml:"max_transactions" doc:"server transactions and, counted apart, client transactions open at one time"`
	MaxConnections                 int `toml:"max_connections" doc:"TCP and TLS connections that others may have open at one time, half of them from one address"`
	MaxDatagramsPerSourcePerSecond int `toml:"max_datagrams_per_source_per_second" doc:"datagrams accepted from one address in a second; more are dropped and counted"`

	IdleTimeout time.Duration `toml:"idle_timeout" doc:"a TCP or TLS connection without any traffic is closed after this time"`
	DialTimeout time.Duration `toml:"dial_timeout" doc:"time for a TCP or TLS connection to a peer to come up"`
	DSCP        int           `toml:"dscp" doc:"DiffServ code point of SIP packets (24 is CS3, in place of which the switch may name another by LLDP-MED; 0 is none)"`
}

// Default returns the configuration of an endpoint that listens nowhere yet.
func Default() Config {
	return Config{
		UserAgent:                      "Parklamp",
		MaxMessageBytes:                65535,
		MaxTransactions:                4096,
		MaxConnections:                 512,
		MaxDatagramsPerSourcePerSecond: 2000,
		IdleTimeout:                    10 * time.Minute,
		DialTimeout:                    4 * time.Second,
		DSCP:                           24,
	}
}

// Validate reports the first value that cannot work, with its allowed range.
func (c Config) Validate() error {
	seen := make(map[listenSpec]bool, len(c.Listen))
	for i, text := range c.Listen {
		s, err := parseListen(text)
		if err != nil {
			return fmt.Errorf("listen[%d] = %q: %w", i, text, err)
		}
		if seen[s] && (s.iface != "" || s.addr.Port() != 0) {
			return fmt.Errorf("listen[%d] = %q: is listed twice", i, text)
		}
		seen[s] = true
		if s.kind == kindTLS && (c.TLSCert == "" || c.TLSKey == "") {
			return fmt.Errorf("listen[%d] = %q: a tls listener needs tls_cert and tls_key", i, text)
		}
	}
	if c.SiteCA != "" && (c.TLSCert == "" || c.TLSKey == "") {
		return fmt.Errorf("site_ca = %q: needs tls_cert and tls_key: the certificate that the site gave this appliance", c.SiteCA)
	}
	if strings.ContainsAny(c.UserAgent, "\r\n") {
		return fmt.Errorf("user_agent = %q: must be one line", c.UserAgent)
	}
	for _, r := range []struct {
		key      string
		v        int
		min, max int
	}{
		{"max_message_bytes", c.MaxMessageBytes, 1500, 65535},
		{"max_transactions", c.MaxTransactions, 16, 1 << 20},
		{"max_connections", c.MaxConnections, 1, 1 << 16},
		{"max_datagrams_per_source_per_second", c.MaxDatagramsPerSourcePerSecond, 10, 1 << 20},
		{"dscp", c.DSCP, 0, 63},
	} {
		if r.v < r.min || r.v > r.max {
			return fmt.Errorf("%s = %d: allowed are %d to %d", r.key, r.v, r.min, r.max)
		}
	}
	if c.IdleTimeout < 10*time.Second || c.IdleTimeout > 24*time.Hour {
		return fmt.Errorf("idle_timeout = %v: allowed are 10s to 24h", c.IdleTimeout)
	}
	if c.DialTimeout < 100*time.Millisecond || c.DialTimeout > time.Minute {
		return fmt.Errorf("dial_timeout = %v: allowed are 100ms to 1m", c.DialTimeout)
	}
	return nil
}

// The transports, as they are written in the configuration, in URIs and (in
// capitals) in Via.
const (
	kindUDP = "udp"
	kindTCP = "tcp"
	kindTLS = "tls"
)

// listenSpec is one parsed entry of Config.Listen.
type listenSpec struct {
	kind  string
	addr  netip.AddrPort // invalid with an interface
	iface string         // name of the interface, or ""
	v6    bool           // of the interface, its IPv6 address
	port  uint16         // of the interface
}

func (s listenSpec) String() string {
	switch {
	case s.iface == "":
		return s.kind + ":" + s.addr.String()
	case s.v6:
		return fmt.Sprintf("%s:[%s]:%d", s.kind, s.iface, s.port)
	}
	return fmt.Sprintf("%s:%s:%d", s.kind, s.iface, s.port)
}

// interfaceName is what Linux takes as the name of a link: at most 15 octets. One that begins with a letter cannot be an
// address.
var interfaceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._@-]{0,14}$`)

func parseListen(text string) (listenSpec, error) {
	kind, addr, ok := strings.Cut(text, ":")
	if !ok || (kind != kindUDP && kind != kindTCP && kind != kindTLS) {
		return listenSpec{}, errors.New("allowed are udp:ADDRESS:PORT, tcp:ADDRESS:PORT and tls:ADDRESS:PORT, and an interface such as eth0 for ADDRESS")
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return parseInterface(kind, addr)
	}
	// A socket on a wildcard cannot say in Via and Contact where it is reached,
	// and answers from an address that the kernel picks.
	switch {
	case ap.Addr().IsUnspecified():
		return listenSpec{}, errors.New("a wildcard address is not allowed: name each address, or the interface as in udp:eth0:5060")
	case ap.Addr().IsMulticast() || ap.Addr() == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return listenSpec{}, errors.New("a multicast or broadcast address is not allowed: name an address of this machine")
	}
	return listenSpec{kind: kind, addr: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}, nil
}

// parseInterface reads "eth0:5060" and "[eth0]:5060".
func parseInterface(kind, text string) (listenSpec, error) {
	s := listenSpec{kind: kind}
	if colon := strings.LastIndexByte(text, ':'); colon > 0 {
		s.iface = text[:colon]
		if inner, ok := strings.CutPrefix(s.iface, "["); ok {
			if s.iface, s.v6 = strings.CutSuffix(inner, "]"); !s.v6 {
				s.iface = ""
			}
		}
		port, err := strconv.ParseUint(text[colon+1:], 10, 16)
		if err == nil && port > 0 && interfaceName.MatchString(s.iface) {
			s.port = uint16(port)
			return s, nil
		}
	}
	return listenSpec{}, errors.New("wants an IP address and a port, such as 192.0.2.1:5060 or [2001:db8::1]:5060, " +
		"or an interface and a port, such as eth0:5060 or, for IPv6, [eth0]:5060")
}
