package netconf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// protocolDHCP marks the routes that are ours: all of them, whoever gave them. linux/rtnetlink.h RTPROT_DHCP.
	protocolDHCP = 16
	portName     = "port0" // the port when a VLAN has its name
)

// kernel changes the links, addresses and routes of this machine, or of the network namespace that it was opened in.
type kernel struct {
	conn *rtnetlink.Conn
}

func openKernel() (*kernel, error) {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("netconf: open rtnetlink: %w", err)
	}
	return &kernel{conn}, nil
}

func (k *kernel) close() { _ = k.conn.Close() }

// index is 0 if there is no such link.
func (k *kernel) index(name string) uint32 {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return uint32(i.Index)
}

// up switches a link on or off.
func (k *kernel) up(index uint32, on bool) error {
	m := &rtnetlink.LinkMessage{Index: index, Change: unix.IFF_UP}
	if on {
		m.Flags = unix.IFF_UP
	}
	return k.conn.Link.Set(m)
}

// rename names a link, which must be off.
func (k *kernel) rename(index uint32, name string) error {
	return k.conn.Link.Set(&rtnetlink.LinkMessage{Index: index, Attributes: &rtnetlink.LinkAttributes{Name: name}})
}

// vlanLink is what the kernel wants to know of the link of a VLAN. The library's own (driver.Vlan, v2.2.0) puts the priorities
// into attributes of their own, of which the kernel makes others: linux/if_link.h has a structure there.
type vlanLink struct {
	id       uint16
	priority uint32
}

var _ rtnetlink.LinkDriver = (*vlanLink)(nil)

func (v *vlanLink) New() rtnetlink.LinkDriver              { return &vlanLink{} }
func (v *vlanLink) Kind() string                           { return "vlan" }
func (v *vlanLink) Decode(*netlink.AttributeDecoder) error { return nil }

// Encode gives all frames the one priority: phones have no other traffic. It is the kernel that gives a socket's packets a
// priority of 0 to 7 by their DSCP, in a way of its own (4 for Expedited Forwarding).
func (v *vlanLink) Encode(e *netlink.AttributeEncoder) error {
	e.Uint16(unix.IFLA_VLAN_ID, v.id)
	e.Nested(unix.IFLA_VLAN_EGRESS_QOS, func(e *netlink.AttributeEncoder) error {
		for from := range uint32(8) {
			m := binary.NativeEndian.AppendUint32(nil, from) // struct ifla_vlan_qos_mapping
			e.Bytes(unix.IFLA_VLAN_QOS_MAPPING, binary.NativeEndian.AppendUint32(m, v.priority))
		}
		return nil
	})
	return nil
}

// addVLAN makes a link of a VLAN on a port, whose frames have a priority.
func (k *kernel) addVLAN(port uint32, name string, id, priority int) error {
	return k.conn.Link.New(&rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{Name: name, Type: port,
		Info: &rtnetlink.LinkInfo{Kind: "vlan", Data: &vlanLink{uint16(id), uint32(priority)}}}})
}

// prioritise gives the frames of a VLAN's link another priority.
func (k *kernel) prioritise(port, index uint32, id, priority int) error {
	m := &rtnetlink.LinkMessage{Index: index, Attributes: &rtnetlink.LinkAttributes{Name: LinkName, Type: port,
		Info: &rtnetlink.LinkInfo{Kind: "vlan", Data: &vlanLink{uint16(id), uint32(priority)}}}}
	_, err := k.conn.Execute(m, unix.RTM_NEWLINK, netlink.Request|netlink.Acknowledge)
	return err
}

func (k *kernel) remove(index uint32) error { return k.conn.Link.Delete(index) }

// addresses are the IPv4 addresses of a link.
func (k *kernel) addresses(index uint32) ([]netip.Prefix, error) {
	all, err := k.conn.Address.List()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range all {
		if a.Index != index || a.Family != unix.AF_INET || a.Attributes == nil {
			continue
		}
		if ip, ok := netip.AddrFromSlice(a.Attributes.Local.To4()); ok {
			out = append(out, netip.PrefixFrom(ip, int(a.PrefixLength)))
		}
	}
	return out, nil
}

// setAddress gives a link one IPv4 address and no other; the zero prefix takes all away. An address that stays is not
// touched, so that calls on it go on.
func (k *kernel) setAddress(index uint32, want netip.Prefix) error {
	have, err := k.addresses(index)
	if err != nil {
		return err
	}
	var faults []error
	if want.IsValid() && !slices.Contains(have, want) {
		m := addressMessage(index, want)
		if want.Bits() < 31 { // RFC 3021: a link of two has no broadcast address
			m.Attributes.Broadcast = broadcast(want)
		}
		if err := k.conn.Address.New(m); err != nil && !errors.Is(err, unix.EEXIST) {
			faults = append(faults, fmt.Errorf("add address %s: %w", want, err))
		}
	}
	for _, p := range have {
		if p != want {
			if err := k.conn.Address.Delete(addressMessage(index, p)); err != nil {
				faults = append(faults, fmt.Errorf("remove address %s: %w", p, err))
			}
		}
	}
	return errors.Join(faults...)
}

func addressMessage(index uint32, p netip.Prefix) *rtnetlink.AddressMessage {
	ip := net.IP(p.Addr().AsSlice())
	scope := uint8(unix.RT_SCOPE_UNIVERSE)
	if p.Addr().IsLinkLocalUnicast() {
		scope = unix.RT_SCOPE_LINK
	}
	return &rtnetlink.AddressMessage{Family: unix.AF_INET, PrefixLength: uint8(p.Bits()), Scope: scope, Index: index,
		Attributes: &rtnetlink.AddressAttributes{Address: ip, Local: ip}}
}

func broadcast(p netip.Prefix) net.IP {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return net.IP(b[:])
}

// setRoutes replaces our routes on a link.
func (k *kernel) setRoutes(index uint32, want []route) error {
	all, err := k.conn.Route.List()
	if err != nil {
		return err
	}
	var have []route
	for _, m := range all {
		if m.Family != unix.AF_INET || m.Protocol != protocolDHCP || m.Attributes.OutIface != index {
			continue
		}
		r := route{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
		if ip, ok := netip.AddrFromSlice(m.Attributes.Dst.To4()); ok {
			r.To = netip.PrefixFrom(ip, int(m.DstLength))
		}
		if ip, ok := netip.AddrFromSlice(m.Attributes.Gateway.To4()); ok {
			r.Via = ip
		}
		if slices.Contains(want, r) {
			have = append(have, r)
		} else if err := k.conn.Route.Delete(&m); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route %s: %w", r.To, err)
		}
	}
	var faults []error
	for _, r := range want {
		if slices.Contains(have, r) {
			continue
		}
		if err := k.conn.Route.Replace(routeMessage(index, r)); err != nil {
			faults = append(faults, fmt.Errorf("route %s via %s: %w", r.To, r.Via, err))
		}
	}
	return errors.Join(faults...)
}

func routeMessage(index uint32, r route) *rtnetlink.RouteMessage {
	m := &rtnetlink.RouteMessage{Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: protocolDHCP, Type: unix.RTN_UNICAST,
		Scope: unix.RT_SCOPE_LINK, DstLength: uint8(r.To.Bits()), Attributes: rtnetlink.RouteAttributes{OutIface: index}}
	if r.To.Bits() > 0 {
		m.Attributes.Dst = r.To.Addr().AsSlice()
	}
	if r.Via.IsValid() {
		m.Scope, m.Attributes.Gateway = unix.RT_SCOPE_UNIVERSE, r.Via.AsSlice()
	}
	return m
}

// configureIPv6 lets the kernel configure a link by router advertisements, or keeps IPv6 off it: the port of a VLAN is no way
// into the untagged network, and its router none for the phone.
func configureIPv6(name string, on bool) error {
	text := "1"
	if on {
		text = "0"
	}
	err := os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", name, "disable_ipv6"), []byte(text), 0)
	if errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
		return nil
	}
	return err
}

// carrier says whether a link is on and has a partner.
func carrier(name string) bool {
	text, err := os.ReadFile(filepath.Join("/sys/class/net", name, "carrier"))
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

// ports are the Ethernet ports of this machine, by name: real devices, no VLANs, bridges or Wi-Fi.
func ports() []string {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []string
	for _, i := range all {
		folder := filepath.Join("/sys/class/net", i.Name)
		_, device := os.Stat(filepath.Join(folder, "device"))
		_, wireless := os.Stat(filepath.Join(folder, "wireless"))
		if i.Flags&net.FlagLoopback == 0 && len(i.HardwareAddr) == 6 && device == nil && wireless != nil {
			out = append(out, i.Name)
		}
	}
	slices.Sort(out)
	return out
}
