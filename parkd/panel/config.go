package panel

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Config is section [panel] of the configuration file.
type Config struct {
	Listen         netip.AddrPort `toml:"listen" doc:"Address and port of the panel page and its API. Whoever reaches it can press keys: keep it on loopback or on a network of people you trust. 0.0.0.0:0 turns it off."`
	Socket         string         `toml:"socket" doc:"Unix socket that parkctl uses, readable by the owner and the group of the process. Empty turns it off."`
	Hosts          []string       `toml:"hosts" doc:"Names by which browsers may call the panel, besides its addresses and localhost, such as \"dock-1.example.net\". Other names are refused, so that a foreign page cannot reach it by DNS rebinding."`
	MaxConnections int            `toml:"max_connections" doc:"Connections that are open at once, 8 to 4096; more wait."`
	MaxStreams     int            `toml:"max_streams" doc:"Readers of live events at once, 1 to 1024; more get 503."`
	MaxListeners   int            `toml:"max_listeners" doc:"Listeners to the handset at once, 1 to 64; more get 503."`
	MaxHold        time.Duration  `toml:"max_hold" doc:"A key held down over the API is let go after this time, 1s to 5m, so that a browser that vanishes leaves no stuck key."`
}

// Default returns the configuration of an appliance with one panel.
func Default() Config {
	return Config{
		Listen:         netip.MustParseAddrPort("127.0.0.1:8080"),
		Socket:         "/run/parklamp/phoned.sock",
		Hosts:          []string{},
		MaxConnections: 128,
		MaxStreams:     32,
		MaxListeners:   4,
		MaxHold:        15 * time.Second,
	}
}

// maxSocketPath is what sun_path of Linux holds (unix(7)), less the final 0.
const maxSocketPath = 107

// Validate returns an error that names the first key out of its range.
func (c Config) Validate() error {
	if len(c.Socket) > maxSocketPath {
		return fmt.Errorf("socket = %q: %d bytes long, at most %d are possible", c.Socket, len(c.Socket), maxSocketPath)
	}
	for _, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/:@ \t") {
			return fmt.Errorf("hosts: %q: want a host name without scheme, port or path", h)
		}
	}
	for _, r := range []struct {
		key         string
		v, low, top int
	}{
		{"max_connections", c.MaxConnections, 8, 4096},
		{"max_streams", c.MaxStreams, 1, 1024},
		{"max_listeners", c.MaxListeners, 1, 64},
	} {
		if r.v < r.low || r.v > r.top {
			return fmt.Errorf("%s = %d: want %d to %d", r.key, r.v, r.low, r.top)
		}
	}
	if c.MaxHold < time.Second || c.MaxHold > 5*time.Minute {
		return fmt.Errorf("max_hold = %v: want 1s to 5m", c.MaxHold)
	}
	return nil
}

// offered reports whether the TCP listener is wanted. Port 0 of a real address
// is: the system then picks the port, and Addr tells it.
func (c Config) offered() bool {
	return c.Listen.IsValid() && !(c.Listen.Port() == 0 && c.Listen.Addr().IsUnspecified())
}
