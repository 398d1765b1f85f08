package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/lldp"
	"parklamp/cmd/internal/netconf"
)

// network is the network as the other parts see it.
type network struct {
	*ground
	// capacity 1: an address is there; full: the clock will look anyway
	newServers chan struct{}
	newURLs    chan struct{} // capacity 1: the network has changed; full: who looks for an identity will look anyway

	// set by start, then immutable
	cfg     netconf.Config // of network.toml
	manager *netconf.Manager
}

func newNetwork(g *ground) *network {
	return &network{ground: g, newServers: make(chan struct{}, 1), newURLs: make(chan struct{}, 1)}
}

// start brings up the network as network.toml says. idle waits until an absence disturbs nobody.
func (n *network) start(g *group, cfg netconf.Config, host string, idle func(context.Context) bool) {
	n.cfg = cfg
	_ = os.Symlink("/proc/1/exe", hookPath)
	n.manager = netconf.New(netconf.Options{Config: cfg, Hostname: host, Busybox: busyboxPath, HookPath: hookPath, Port: cfg.Port,
		Socket: leaseSocket, Resolv: resolvFile, Reaper: n.reaper, Log: n.log, Changed: n.changed,
		Idle: idle,
		Self: lldp.Self{Name: host, Manufacturer: "Parklamp", Model: n.board, Firmware: n.version, Serial: strings.TrimRight(readText("/proc/device-tree/serial-number"), "\x00\n")}})
	g.start(func(ctx context.Context) {
		if err := n.manager.Run(ctx); err != nil {
			n.log.Error("network", "err", err)
		}
	})
}

// state is what is known of it, nothing before the start.
func (n *network) state() initapi.Network {
	if n.manager == nil {
		return initapi.Network{}
	}
	return n.manager.State()
}

// changed follows the network: who has an address asks for the time at once.
func (n *network) changed(is initapi.Network) {
	n.news.send() // the switch's policy is of the network
	select {
	case n.newURLs <- struct{}{}:
	default: // it will look anyway
	}
	if is.Shunned != 0 {
		n.raise(health.Condition{Code: "vlan", Text: fmt.Sprintf("nobody answers DHCP in VLAN %d, where the phone shall be: it is in the untagged network", is.Shunned),
			Hint: "mend the DHCP server of that VLAN and put the cable in anew, or set vlan or address in network.toml"})
	} else {
		n.clear("vlan")
	}
	if is.Address.IsValid() {
		n.clear(initapi.CodeNetwork)
		select {
		case n.newServers <- struct{}{}:
		default: // it will look anyway
		}
		return
	}
	text, hint := "no address: nobody answers DHCP", "check the DHCP server and the VLAN, or set address in network.toml"
	if is.Port == "" {
		text, hint = "no Ethernet port", "check the board and its drivers"
	} else if !is.Carrier {
		text, hint = "no cable, or the switch is off", "check the cable and the switch"
	}
	if time.Since(n.started) > addressWait {
		n.raise(health.Condition{Code: initapi.CodeNetwork, Severity: health.Error, Text: text, Hint: hint})
	}
}

// addressWait is how long a phone may be without an address after its start before it says so.
const addressWait = 15 * time.Second
