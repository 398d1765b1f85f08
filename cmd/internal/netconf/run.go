// Package netconf connects an appliance: it finds the Ethernet port, follows its cable, asks DHCP (busybox's udhcpc, whose
// script is Hook), sets addresses, routes and name servers through rtnetlink, and moves the phone into the voice VLAN that
// the switch names by LLDP-MED or the DHCP server by option 132. machine decides, without a clock or a socket; Manager
// carries out. A link to which nobody gives an address makes itself one (RFC 3927).
//
// The phone's link is always called eth0: with a VLAN the port is renamed port0 and the link of the VLAN is eth0, so that no
// configuration has to know. IPv6 the kernel configures by itself (RFC 4862), but on the port of a VLAN.
//
// Standards: RFC 2131, 2132 (DHCP and its options), 3396 (long options), 3442 (classless routes), 3927 (addresses of one's own), IEEE 802.1Q.
// Manager.Run starts goroutines for the hook's socket, the watcher of links and LLDP, and ends them.
package netconf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/links"
	"parklamp/cmd/internal/lldp"
	"parklamp/cmd/internal/supervise"
)

// LinkName is the link that the phone uses.
const LinkName = "eth0"

// vendor is who we are to DHCP servers. RFC 2132 §9.13.
const vendor = "parklamp"

// portLook is how often a machine without an Ethernet port is looked at again; the kernel's messages usually come first.
const portLook = 2 * time.Second

// Options are what a Manager needs.
type Options struct {
	Config   Config
	Hostname string
	Busybox  string    // program with udhcpc
	HookPath string    // program that calls Hook
	Socket   string    // for the hook
	Resolv   string    // resolv.conf to write
	Port     string    // port to use; "" for the first real one
	Self     lldp.Self // what the switch is told
	Reaper   *supervise.Reaper
	Idle     func(context.Context) bool // waits until there is no call; false when ctx ended
	Log      *slog.Logger
	Changed  func(initapi.Network) // called from Run's goroutine; must not block
}

// Manager keeps one link configured.
type Manager struct {
	opt     Options
	machine *machine

	// owned by Run
	kernel  *kernel
	port    uint32 // index; it stays when the name changes
	client  *supervise.Service
	endDHCP func()
	setting setting
	own     netip.Prefix // address of our own making
	endOwn  func()       // ends what makes it
	owned   chan netip.Addr
	tftp    tftpURL       // what the server of option 66 has said
	told    chan tftpURL  // unbuffered: who asks waits, or ends with its question
	endTFTP func()        // ends the question
	idle    chan struct{} // unbuffered: who waits for the end of the calls waits for us too
	asks    sync.WaitGroup

	mu    sync.Mutex
	state initapi.Network // guarded by mu
}

// New makes a manager; Run starts it.
func New(opt Options) *Manager {
	return &Manager{opt: opt, machine: newMachine(opt.Config), owned: make(chan netip.Addr), told: make(chan tftpURL), idle: make(chan struct{})}
}

// State returns a copy of what is known.
func (m *Manager) State() initapi.Network {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// Run keeps the link configured until ctx ends. What it cannot do is logged and tried again.
func (m *Manager) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer m.asks.Wait()
	defer wg.Wait()
	defer cancel()
	var err error
	if m.kernel, err = openKernel(); err != nil {
		return err
	}
	defer m.kernel.close()
	if lo := m.kernel.index("lo"); lo != 0 {
		if err := m.kernel.up(lo, true); err != nil {
			m.opt.Log.Error("loopback", "err", err)
		}
	}
	stirred := make(chan struct{}, 1) // full: one more look is due already
	wg.Go(func() { m.watch(ctx, stirred) })
	if !m.findPort(ctx, stirred) {
		return nil
	}
	events := make(chan event) // a hook waits until its event has been taken
	wg.Go(func() {
		if err := serveHook(ctx, m.opt.Socket, events); err != nil {
			m.opt.Log.Error("socket of the DHCP client's hook", "err", err)
		}
	})
	policies := make(chan policy)
	if m.opt.Config.LLDP {
		wg.Go(func() { m.speakLLDP(ctx, policies) })
	}
	m.loop(ctx, events, stirred, policies)
	if m.endDHCP != nil {
		m.endDHCP()
	}
	if m.endOwn != nil {
		m.endOwn()
	}
	if m.endTFTP != nil {
		m.endTFTP()
	}
	return nil
}

// loop owns machine and kernel.
func (m *Manager) loop(ctx context.Context, events <-chan event, stirred <-chan struct{}, policies <-chan policy) {
	m.carryOut(ctx, m.machine.Begin(time.Now()))
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		m.carryOut(ctx, m.machine.Step(time.Now(), plugged{carrier(m.portName())}))
		m.publish()
		if at := m.machine.Due(); at.IsZero() {
			due.Stop()
		} else {
			due.Reset(time.Until(at))
		}
		var in any
		select {
		case e := <-events:
			in = m.read(e)
		case <-stirred:
		case p := <-policies:
			in = p
		case a := <-m.owned:
			if err := m.setOwn(a); err != nil {
				m.opt.Log.Error("an address of our own", "err", err)
			}
		case m.tftp = <-m.told:
		case <-m.idle:
			in = idle{}
		case <-due.C:
			in = tick{}
		case <-ctx.Done():
			return
		}
		if in != nil {
			m.carryOut(ctx, m.machine.Step(time.Now(), in))
		}
		if _, ok := in.(granted); ok {
			m.askMore(ctx)
		}
	}
}

func (m *Manager) carryOut(ctx context.Context, effects []any) {
	for _, e := range effects {
		var err error
		switch e := e.(type) {
		case useVLAN:
			err = m.useVLAN(e.ID, e.Priority)
		case prioritise:
			m.opt.Log.Info("frames have another priority", "vlan", e.ID, "priority", e.Priority)
			err = m.kernel.prioritise(m.port, m.kernel.index(LinkName), e.ID, e.Priority)
		case askIdle:
			m.asks.Go(func() {
				if m.opt.Idle != nil && !m.opt.Idle(ctx) {
					return
				}
				select {
				case m.idle <- struct{}{}:
				case <-ctx.Done():
				}
			})
		case askDHCP:
			m.askDHCP(ctx, e.Want)
		case configure:
			m.own = netip.Prefix{}
			err = m.configure(e.Setting)
		case linkLocal:
			m.linkLocal(ctx, e.On)
		}
		if err != nil {
			m.opt.Log.Error("network", "do", fmt.Sprintf("%T", e)[len("netconf."):], "err", err)
		}
	}
}

// watch says that links or addresses may have changed.
func (m *Manager) watch(ctx context.Context, stirred chan<- struct{}) {
	k, err := links.Open()
	if err != nil {
		m.opt.Log.Error("changes of the cable are not noticed", "err", err)
		return
	}
	defer k.Close()
	for k.Wait(ctx) == nil && ctx.Err() == nil {
		select {
		case stirred <- struct{}{}:
		default:
		}
	}
}

// findPort waits for an Ethernet port, gives it the name eth0 and switches it on. False: ctx has ended.
func (m *Manager) findPort(ctx context.Context, stirred <-chan struct{}) bool {
	told := false
	look := time.NewTicker(portLook)
	defer look.Stop()
	for {
		name := m.opt.Port
		if name == "" {
			if all := ports(); slices.Contains(all, LinkName) {
				name = LinkName
			} else if len(all) > 0 {
				name = all[0]
			}
		}
		if index := m.kernel.index(name); name != "" && index != 0 {
			m.port = index
			if name != LinkName {
				_ = m.kernel.up(index, false)
				if err := m.kernel.rename(index, LinkName); err != nil {
					m.opt.Log.Error("the Ethernet port keeps its name", "port", name, "err", err)
				}
			}
			if err := m.kernel.up(index, true); err != nil {
				m.opt.Log.Error("the Ethernet port does not go on", "port", name, "err", err)
			}
			return true
		}
		if !told {
			told = true
			m.opt.Log.Warn("no Ethernet port yet", "port", m.opt.Port)
			m.publish()
		}
		select {
		case <-stirred:
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
}

func (m *Manager) portName() string {
	i, err := net.InterfaceByIndex(int(m.port))
	if err != nil {
		return ""
	}
	return i.Name
}

// useVLAN makes eth0 the port itself (0) or a VLAN on it.
func (m *Manager) useVLAN(id, priority int) error {
	if m.endDHCP != nil {
		m.endDHCP()
		m.endDHCP = nil
	}
	m.setting = setting{}
	tagged := m.portName() != LinkName
	if !tagged && id == 0 {
		return errors.Join(m.kernel.setRoutes(m.port, nil), m.kernel.setAddress(m.port, netip.Prefix{}))
	}
	if tagged {
		if link := m.kernel.index(LinkName); link != 0 {
			if err := m.kernel.remove(link); err != nil {
				return fmt.Errorf("remove the link of a VLAN: %w", err)
			}
		}
	}
	name := LinkName
	if id != 0 {
		name = portName
		if err := m.kernel.setAddress(m.port, netip.Prefix{}); err != nil {
			return err
		}
	}
	if m.portName() != name {
		if err := errors.Join(m.kernel.up(m.port, false), m.kernel.rename(m.port, name)); err != nil {
			return fmt.Errorf("rename the port to %s: %w", name, err)
		}
	}
	if err := configureIPv6(name, id == 0); err != nil {
		m.opt.Log.Warn("the untagged network may give the port IPv6 addresses", "err", err)
	}
	if err := m.kernel.up(m.port, true); err != nil {
		return err
	}
	if id == 0 {
		m.opt.Log.Info("the phone is in the untagged network")
		return nil
	}
	if err := m.kernel.addVLAN(m.port, LinkName, id, priority); err != nil {
		return fmt.Errorf("link of VLAN %d: %w", id, err)
	}
	m.opt.Log.Info("the phone is in a VLAN", "vlan", id, "priority", priority)
	return m.kernel.up(m.kernel.index(LinkName), true)
}

func (m *Manager) configure(s setting) error {
	link := m.kernel.index(LinkName)
	if link == 0 {
		return errors.New("the link has gone")
	}
	s.DNS = slices.Concat(m.opt.Config.servers(), s.DNS)
	err := errors.Join(m.kernel.setAddress(link, s.Addr), m.kernel.setRoutes(link, s.Routes), writeResolv(m.opt.Resolv, s))
	if s.Addr != m.setting.Addr {
		m.opt.Log.Info("address", "address", s.Addr)
	}
	m.setting = s
	return err
}

// writeResolv writes resolv.conf in one step.
func writeResolv(path string, s setting) error {
	var b strings.Builder
	if s.Domain != "" {
		fmt.Fprintf(&b, "search %s\n", s.Domain)
	}
	for _, d := range s.DNS[:min(len(s.DNS), 3)] { // resolv.conf(5): the third is the last that counts
		fmt.Fprintf(&b, "nameserver %s\n", d)
	}
	if old, err := os.ReadFile(path); err == nil && string(old) == b.String() {
		return nil
	}
	next := filepath.Join(filepath.Dir(path), ".resolv.conf")
	if err := os.WriteFile(next, []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// publish tells the present state if it is another.
func (m *Manager) publish() {
	l := m.machine.Lease()
	s := initapi.Network{Port: m.portName(), Carrier: carrier(m.portName()), Address: m.setting.Addr,
		Shunned: m.machine.Shunned(), Server: l.Server, LeaseFor: l.For, DNS: m.setting.DNS, NTP: l.NTP, URLs: l.URLs}
	if i, err := net.InterfaceByIndex(int(m.port)); err == nil {
		s.MAC = i.HardwareAddr.String()
	}
	if m.tftp.url != "" && m.tftp.server == l.Server {
		s.URLs = append(slices.Clone(s.URLs), m.tftp.url)
	}
	vlan, from := m.machine.VLAN()
	s.VLAN, s.VLANFrom = vlan, string(from)
	if p := m.machine.Policy(); p.Known {
		s.Voice = &initapi.Voice{Priority: p.Priority, DSCP: p.DSCP, Signalling: p.Signalling}
	}
	switch {
	case m.own.IsValid():
		s.Address, s.From = m.own, "link-local"
	case m.opt.Config.static():
		s.From = string(fromFile)
	case s.Address.IsValid():
		s.From = "DHCP"
	}
	m.mu.Lock()
	same := reflect.DeepEqual(s, m.state)
	m.state = s
	m.mu.Unlock()
	if !same && m.opt.Changed != nil {
		m.opt.Changed(s)
	}
}
