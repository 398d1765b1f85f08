package netconf

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"parklamp/cmd/internal/depot"
	"parklamp/cmd/internal/tomlfile"
)

// Config is network.toml: how this appliance is connected, where that is not found out by itself.
type Config struct {
	Port         string   `toml:"port" doc:"Ethernet port to use, as the kernel names it; empty for the first. The link is called eth0 whatever its name was."`
	Address      string   `toml:"address" doc:"IPv4 address with the length of the network, such as 192.0.2.10/24; empty asks DHCP."`
	Gateway      string   `toml:"gateway" doc:"Default gateway; only with address."`
	DNS          []string `toml:"dns" doc:"Name servers; besides those that DHCP names."`
	VLANText     string   `toml:"vlan" doc:"Voice VLAN: auto (what the switch says by LLDP-MED, else what the DHCP server says in option 132), none, or a number from 1 to 4094."`
	VLANPriority int      `toml:"vlan_priority" doc:"Priority of frames in a VLAN that LLDP-MED has not named, 0 to 7 (IEEE 802.1Q)."`
	Hostname     string   `toml:"hostname" doc:"Name told to the DHCP server; empty for the name in the identity, else parklamp- and the end of the MAC address."`
	LinkLocal    bool     `toml:"link_local" doc:"Whether the appliance makes itself an address of 169.254/16 when nobody gives it one."`
	LLDP         bool     `toml:"lldp" doc:"Whether the appliance speaks LLDP-MED with the switch."`
	URL          string   `toml:"provision_url" doc:"Where the identity is fetched from at first boot, in place of what DHCP options 160 and 66 say."`
	TimeServers  []string `toml:"time_servers" doc:"NTP servers, names or addresses, in place of those that DHCP names and of the built-in pool."`
	Syslog       string   `toml:"syslog" doc:"Address and port of a syslog server (RFC 5424 over UDP), such as 192.0.2.9:514; empty sends nothing."`
	SSHKeys      []string `toml:"ssh_keys" doc:"Public keys that may log in by SSH, as in authorized_keys. Without any nobody can; there are no passwords."`
}

// DefaultConfig is what counts without network.toml.
func DefaultConfig() Config {
	return Config{VLANText: "auto", VLANPriority: 5, LinkLocal: true, LLDP: true}
}

// Load reads network.toml; one that does not exist is the default.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return DefaultConfig(), nil
	}
	if err != nil {
		return DefaultConfig(), fmt.Errorf("network configuration: %w", err)
	}
	return Parse(path, text)
}

// Parse reads the text of network.toml. The error tells each fault by file, line, column, key, value and what is allowed;
// with it comes the default.
func Parse(path string, text []byte) (Config, error) {
	f, err := tomlfile.Parse(path, text)
	if err != nil {
		return DefaultConfig(), err
	}
	c := DefaultConfig()
	f.Assign(&c)
	c.check(func(key, value, want string) {
		if !f.Complained(key) {
			f.Fail(key, "%q: want %s", value, want)
		}
	})
	if err := f.Err(); err != nil {
		return DefaultConfig(), err
	}
	return c, nil
}

// check tells bad what is wrong with each key.
func (c Config) check(bad func(key, value, want string)) {
	if c.Address != "" {
		if p, err := netip.ParsePrefix(c.Address); err != nil || !p.Addr().Is4() || p.Bits() < 8 || p.Bits() > 31 {
			bad("address", c.Address, "an IPv4 address and the length of its network, 8 to 31, as in 192.0.2.10/24")
		} else if !isHost(p) {
			bad("address", c.Address, "the address of a host: this is that of the network or of all in it")
		}
	}
	if c.Gateway != "" {
		a, err := netip.ParseAddr(c.Gateway)
		p, err2 := netip.ParsePrefix(c.Address)
		switch {
		case c.Address == "":
			bad("gateway", c.Gateway, "nothing where address is empty: DHCP names the gateway")
		case err != nil || !a.Is4() || err2 == nil && !p.Contains(a):
			bad("gateway", c.Gateway, "an IPv4 address within the network of address "+c.Address)
		}
	}
	for i, d := range c.DNS {
		if _, err := netip.ParseAddr(d); err != nil {
			bad(fmt.Sprintf("dns[%d]", i), d, "the address of a name server")
		}
	}
	if len(c.DNS) > maxList {
		bad("dns", strconv.Itoa(len(c.DNS)), fmt.Sprintf("at most %d name servers", maxList))
	}
	if n, err := strconv.Atoi(c.VLANText); c.VLANText != "auto" && c.VLANText != "none" && (err != nil || n < 1 || n > maxVLAN) {
		bad("vlan", c.VLANText, "auto, none or a number from 1 to 4094 in quotes")
	}
	if c.VLANPriority < 0 || c.VLANPriority > 7 {
		bad("vlan_priority", strconv.Itoa(c.VLANPriority), "0 to 7")
	}
	if strings.ContainsAny(c.Hostname, ".") || !isName(c.Hostname) || len(c.Hostname) > 63 {
		bad("hostname", c.Hostname, "up to 63 letters, digits and hyphens")
	}
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		bad("provision_url", showURL(c.URL), "an http or https URL")
	}
	for i, s := range c.TimeServers {
		if _, err := netip.ParseAddr(s); (err != nil && !isName(s)) || s == "" {
			bad(fmt.Sprintf("time_servers[%d]", i), s, "a name or an address")
		}
	}
	if _, err := netip.ParseAddrPort(c.Syslog); c.Syslog != "" && err != nil {
		bad("syslog", c.Syslog, "an IP address, not a name, and a port, as in 192.0.2.9:514")
	}
	for i, k := range c.SSHKeys {
		if f := strings.Fields(k); len(f) < 2 || !strings.HasPrefix(f[0], "ssh-") && !strings.HasPrefix(f[0], "ecdsa-") || strings.ContainsAny(k, "\n\r") {
			bad(fmt.Sprintf("ssh_keys[%d]", i), k, "lines of authorized_keys, as in \"ssh-ed25519 AAAA... name\"")
		}
	}
}

// showURL is what is told of a URL that may not be one: nothing that may be a password or, as depot.Show has it, a query.
func showURL(text string) string {
	if strings.Contains(text, "@") {
		if u, err := url.Parse(text); err != nil || u.User == nil {
			return "what stands there"
		}
		return depot.Show(text)
	}
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		return text[:i] + "?..."
	}
	return text
}

func (c Config) static() bool { return c.Address != "" }

// vlan is the VLAN that the file names, 0 for "none"; ok is false for "auto".
func (c Config) vlan() (id int, ok bool) {
	switch c.VLANText {
	case "auto", "":
		return 0, false
	case "none":
		return 0, true
	}
	id, err := strconv.Atoi(c.VLANText)
	return id, err == nil
}

// setting is the static configuration of a validated file.
func (c Config) setting() setting {
	s := setting{}
	s.Addr, _ = netip.ParsePrefix(c.Address)
	if gw, err := netip.ParseAddr(c.Gateway); err == nil {
		s.Routes = []route{{To: everywhere, Via: gw}}
	}
	return s
}

// servers are the name servers of the file.
func (c Config) servers() []netip.Addr {
	var out []netip.Addr
	for _, d := range c.DNS {
		if a, err := netip.ParseAddr(d); err == nil {
			out = append(out, a)
		}
	}
	return out
}
