package netconf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// The life of a link: seconds since the start, an input, and what follows.
func TestMachine(t *testing.T) {
	static := DefaultConfig()
	static.Address, static.Gateway = "192.0.2.10/24", "192.0.2.1"
	fixed := DefaultConfig()
	fixed.VLANText = "7"
	for name, c := range map[string]struct {
		cfg    Config
		script string
	}{
		"a lease, renewed": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24
			1800 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24`},
		"nobody answers: an address of one's own, until somebody does": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			12 tick ->
			13 tick -> linkLocal{true}
			60 lease 10.0.0.5/24 0 -> linkLocal{false} configure 10.0.0.5/24`},
		"the cable is out for a while: the address stays, the client asks for it": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24
			10 off ->
			20 on -> askDHCP{10.0.0.5}
			20 given-up ->
			22 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24`},
		"the cable goes into another network": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24
			10 off ->
			20 on -> askDHCP{10.0.0.5}
			20 given-up ->
			21 refused -> configure none
			22 lease 10.9.0.5/24 0 -> configure 10.9.0.5/24`},
		"the server is gone: the address goes a minute later, or with the lease": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24
			100 given-up ->
			160 tick -> configure none
			172 tick -> linkLocal{true}
			200 lease 10.0.0.5/24 0 -> linkLocal{false} configure 10.0.0.5/24
			3800 given-up -> configure none`},
		"the switch names a VLAN, and takes it back": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24
			3 lldp 100 -> useVLAN{100 5} askDHCP{invalid IP}
			4 lease 10.1.0.5/24 0 -> configure 10.1.0.5/24
			5 lldp 100 ->
			200 silence -> askIdle{}
			203 silence ->
			210 lease 10.1.0.5/24 0 -> configure 10.1.0.5/24
			220 idle -> useVLAN{0 0} askDHCP{invalid IP}`},
		"the switch is silent for a while during a call": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			3 lldp 100 -> useVLAN{100 5} askDHCP{invalid IP}
			4 lease 10.1.0.5/24 0 -> configure 10.1.0.5/24
			200 silence -> askIdle{}
			230 lldp 100 ->
			240 idle ->
			400 silence -> askIdle{}
			410 lldp 200 -> useVLAN{200 5} askDHCP{invalid IP}`},
		"the DHCP server names a VLAN that works": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lease 10.0.0.5/24 20 -> useVLAN{20 5} askDHCP{invalid IP}
			4 lease 10.1.0.5/24 0 -> configure 10.1.0.5/24`},
		"the DHCP server names a VLAN where nobody answers": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lease 10.0.0.5/24 20 -> useVLAN{20 5} askDHCP{invalid IP}
			14 tick -> linkLocal{true}
			47 tick -> linkLocal{false} useVLAN{0 0} askDHCP{invalid IP}
			48 lease 10.0.0.5/24 20 -> configure 10.0.0.5/24`},
		"nobody answers in the VLAN that the switch names: the untagged network, and back when no call is there": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lldp 100 -> useVLAN{100 5} askDHCP{invalid IP}
			14 tick -> linkLocal{true}
			47 tick -> linkLocal{false} useVLAN{0 0} askDHCP{invalid IP}
			48 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24
			60 lldp 100 ->
			646 tick ->
			647 tick -> askIdle{}
			700 tick ->
			900 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24
			1000 idle -> useVLAN{100 5} askDHCP{invalid IP}
			1012 tick -> linkLocal{true}
			1045 tick -> linkLocal{false} useVLAN{0 0} askDHCP{invalid IP}
			1046 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24
			2244 tick ->
			2245 tick -> askIdle{}
			2245 idle -> useVLAN{100 5} askDHCP{invalid IP}
			2246 lease 10.1.0.5/24 0 -> configure 10.1.0.5/24`},
		"the technician mends the VLAN and puts the cable in anew": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lldp 100 -> useVLAN{100 5} askDHCP{invalid IP}
			14 tick -> linkLocal{true}
			47 tick -> linkLocal{false} useVLAN{0 0} askDHCP{invalid IP}
			48 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24
			60 off ->
			61 on -> useVLAN{100 5} askDHCP{invalid IP}
			62 lease 10.1.0.5/24 0 -> configure 10.1.0.5/24`},
		"nobody answers anywhere: the word of the switch stands, for some minutes": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lldp 100 -> useVLAN{100 5} askDHCP{invalid IP}
			14 tick -> linkLocal{true}
			47 tick -> linkLocal{false} useVLAN{0 0} askDHCP{invalid IP}
			59 tick -> linkLocal{true}
			92 tick -> linkLocal{false} useVLAN{100 5} askDHCP{invalid IP}
			104 tick -> linkLocal{true}
			271 tick ->
			272 tick -> linkLocal{false} useVLAN{0 0} askDHCP{invalid IP}
			273 lease 10.0.0.5/24 0 -> configure 10.0.0.5/24`},
		"another priority leaves link and address": {DefaultConfig(), `
			0 begin -> useVLAN{0 0} askDHCP{invalid IP}
			1 on ->
			2 lldp 100 -> useVLAN{100 5} askDHCP{invalid IP}
			3 lease 10.1.0.5/24 0 -> configure 10.1.0.5/24
			60 lldp 100 6 -> prioritise{100 6}`},
		"a static address stays in the VLAN that the switch names": {static, `
			0 begin -> useVLAN{0 0} configure 192.0.2.10/24
			1 on ->
			2 lldp 100 -> useVLAN{100 5} configure 192.0.2.10/24
			60 tick ->
			900 tick ->`},
		"a static address asks nobody": {static, `
			0 begin -> useVLAN{0 0} configure 192.0.2.10/24
			1 on ->
			60 tick ->
			70 lease 10.0.0.5/24 20 ->`},
		"the VLAN of the file is stronger than the switch's": {fixed, `
			0 begin -> useVLAN{7 5} askDHCP{invalid IP}
			1 lldp 100 ->`},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Unix(1000, 0)
			m := newMachine(c.cfg)
			for line := range strings.Lines(strings.TrimSpace(c.script)) {
				event, want, _ := strings.Cut(strings.TrimSpace(line), "->")
				f := strings.Fields(event)
				var second int
				_, _ = fmt.Sscan(f[0], &second)
				now := begin.Add(time.Duration(second) * time.Second)
				var effects []any
				switch f[1] {
				case "begin":
					effects = m.Begin(now)
				case "on", "off":
					effects = m.Step(now, plugged{f[1] == "on"})
				case "lease":
					l := lease{Addr: netip.MustParsePrefix(f[2]), For: time.Hour}
					_, _ = fmt.Sscan(f[3], &l.VLAN)
					effects = m.Step(now, granted{l})
				case "given-up", "refused":
					effects = m.Step(now, givenUp{f[1] == "refused"})
				case "lldp":
					p := policy{Known: true, Priority: 5, DSCP: 46}
					_, _ = fmt.Sscan(strings.Join(f[2:], " "), &p.VLAN, &p.Priority)
					effects = m.Step(now, p)
				case "idle":
					effects = m.Step(now, idle{})
				case "silence":
					effects = m.Step(now, policy{})
				case "tick":
					effects = m.Step(now, tick{})
				}
				var got []string
				for _, e := range effects {
					if c, ok := e.(configure); ok {
						text := "none"
						if c.Setting.Addr.IsValid() {
							text = c.Setting.Addr.String()
						}
						got = append(got, "configure "+text)
						continue
					}
					got = append(got, fmt.Sprintf("%T%v", e, e)[len("netconf."):])
				}
				if strings.Join(got, " ") != strings.TrimSpace(want) {
					t.Fatalf("%s: %s, want %s", event, strings.Join(got, " "), want)
				}
			}
		})
	}
}

func TestConfigFaults(t *testing.T) {
	for text, want := range map[string]string{
		`adress = "1.2.3.4/24"`:                               `n:1:1: adress: unknown key; did you mean "address"?`,
		`address = "192.0.2.10"`:                              `n:1:1: address: "192.0.2.10": want an IPv4 address and the length of its network`,
		`gateway = "192.0.2.1"`:                               `n:1:1: gateway: "192.0.2.1": want nothing where address is empty`,
		"address = \"192.0.2.10/24\"\ngateway = \"10.0.0.1\"": `n:2:1: gateway: "10.0.0.1": want an IPv4 address within the network`,
		`vlan = "4095"`:                                       `n:1:1: vlan: "4095": want auto, none or a number from 1 to 4094`,
		`vlan = 100`:                                          `n:1:1: vlan: 100 is not a text in quotes`,
		"lldp = 1\nvlan_priority = 8":                         `n:2:1: vlan_priority: "8": want 0 to 7`, // the second fault of a file
		`hostname = "a b"`:                                    `n:1:1: hostname: "a b"`,
		`dns = ["192.0.2.1", "here"]`:                         `n:1:1: dns[1]: "here": want the address of a name server`,
		`syslog = "192.0.2.1"`:                                `n:1:1: syslog: "192.0.2.1": want an IP address, not a name, and a port`,
		`ssh_keys = ["password"]`:                             `n:1:1: ssh_keys[0]: "password"`,
		`address = "192.0.2.255/24"`:                          `n:1:1: address: "192.0.2.255/24": want the address of a host`,
		`provision_url = "ftp://hall:hunter2@x/p"`:            `n:1:1: provision_url: "ftp://x/p": want an http or https URL`,
		`provision_url = "http:/hall:hunter2@x/p"`:            `n:1:1: provision_url: "what stands there": want an http or https URL`,
		`provision_url = "hall:hunter2@x/p"`:                  `n:1:1: provision_url: "what stands there": want an http or https URL`,
		`provision_url = "ftp://hall:hun?ter2@x/p"`:           `n:1:1: provision_url: "what stands there": want an http or https URL`,
		`provision_url = "http://hall:hunter2%zz@x/p"`:        `n:1:1: provision_url: "what stands there": want an http or https URL`,
		`provision_url = "ftp://hall:a@x/p?token=hunter2"`:    `n:1:1: provision_url: "ftp://x/p": want an http or https URL`,
		`provision_url = "htps://x/p?token=hunter2"`:          `n:1:1: provision_url: "htps://x/p?...": want an http or https URL`,
		`provision_url = "x/p?token=hunter2"`:                 `n:1:1: provision_url: "x/p?...": want an http or https URL`,
		`provision_url = "http://[x/p?token=hunter2"`:         `n:1:1: provision_url: "http://[x/p?...": want an http or https URL`,
		`provision_url = "http:#hunter2"`:                     `n:1:1: provision_url: "http:?...": want an http or https URL`,
		`provision_url = "ftp://x"`:                           `n:1:1: provision_url: "ftp://x": want an http or https URL`,
		`lldp = "yes"`:                                        `n:1:1: lldp: "yes" is neither true nor false`,
		`lldp = `:                                             `n:1:`,
	} {
		c, err := Parse("n", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		if fmt.Sprint(c) != fmt.Sprint(DefaultConfig()) {
			t.Errorf("%s: not the default: %+v", text, c)
		}
	}
	if c, err := Parse("n", []byte("address = \"192.0.2.10/24\"\nvlan = \"100\"\nsyslog = \"192.0.2.9:514\"\n")); err != nil || c.Address == "" || c.VLANText != "100" {
		t.Error(c, err)
	}
}
