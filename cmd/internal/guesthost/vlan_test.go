//go:build image

package guesthost

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/lldp"
	"parklamp/parkd/panel"
)

// policyFrame is what a switch says with LLDP-MED: voice in VLAN 100, tagged. ANSI/TIA-1057 §10.2.3.
func policyFrame(priority, audio, signalling byte) []byte {
	policy := func(application, dscp byte) []byte {
		const vlan = 100
		return []byte{0xfe, 8, 0x00, 0x12, 0xbb, 2, application, 0x40 | vlan>>7, vlan<<1&0xff | priority>>2, priority<<6 | dscp}
	}
	b := []byte{0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 9, 0x88, 0xcc, 2, 7, 4, 2, 0, 0, 0, 0, 9, 4, 2, 7, 'x', 6, 2, 0, 120,
		0xfe, 7, 0x00, 0x12, 0xbb, 1, 0, 3, 4}
	return append(append(append(b, policy(1, audio)...), policy(2, signalling)...), 0, 0)
}

// mark is how a frame of the phone was marked.
type mark struct {
	vlan, priority, dscp int
}

// markOf reads a UDP packet's mark and port; a port of 0 is no such packet.
func markOf(frame []byte) (m mark, port int) {
	if len(frame) < 38 || binary.BigEndian.Uint16(frame[tagAt:]) != tagType {
		return m, 0
	}
	tag := int(binary.BigEndian.Uint16(frame[tagAt+2:]))
	ip := frame[tagAt+tagSize+2:]
	if ip[0] != 0x45 || ip[9] != 17 {
		return m, 0
	}
	return mark{tag & 0xfff, tag >> 13, int(ip[1] >> 2)}, int(binary.BigEndian.Uint16(ip[20:]))
}

// TestVoiceVLAN boots a phone at a port of the switch where voice is in a VLAN with a DHCP server of its own. It gets there by
// LLDP-MED, its packets are marked as the switch says, and another mark reaches a call that is there.
func TestVoiceVLAN(t *testing.T) {
	s := newSite(t)
	s.sw.Access(100)
	dnsmasq := exec.Command("dnsmasq", "-k", "-C", "/dev/null", "-p", "0", "-u", "root", "-x", filepath.Join(s.dir, "pid"), "-l", filepath.Join(s.dir, "leases"), "--no-ping",
		"--dhcp-authoritative", "--interface="+tapName, "--dhcp-range="+addr(50).String()+","+addr(59).String()+",1h")
	if err := dnsmasq.Start(); err != nil {
		t.Fatalf("package dnsmasq-base: %v", err)
	}
	t.Cleanup(func() { _ = dnsmasq.Process.Kill(); _ = dnsmasq.Wait() })
	cable, err := s.sw.Plug()
	if err != nil {
		t.Fatal(err)
	}
	var audio, signalling atomic.Pointer[mark]
	var self atomic.Pointer[lldp.Neighbour]
	cable.Watch(func(frame []byte) {
		if n, err := lldp.Parse(frame); err == nil {
			self.Store(&n)
		}
		switch m, port := markOf(frame); {
		case port == 5060:
			signalling.Store(&m)
		case port >= 20000 && port%2 == 0:
			audio.Store(&m)
		}
	})
	p := s.on(spec{Machine: Machine{Name: "dock-1", Cable: cable}, number: "201", last: 11, set: map[string]string{"network.toml": "link_local = false\n"}})
	var policy atomic.Pointer[[]byte]
	say := func(priority, audio, signalling byte) {
		f := policyFrame(priority, audio, signalling)
		policy.Store(&f)
	}
	say(5, 34, 26)
	ended, end := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-tick.C:
				_ = cable.Send(*policy.Load()) // the guest may be off
			case <-end:
				return
			}
		}
	}()
	t.Cleanup(func() { close(end); <-ended })
	p.ready()
	network := func() (n initapi.Network) {
		text, err := p.Get(t.Context(), initapi.Socket, "/status")
		p.must(err)
		var st initapi.Status
		p.must(json.Unmarshal(text, &st))
		return st.Network
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for began := time.Now(); !ok(); time.Sleep(100 * time.Millisecond) { // frames and another process tell nobody
			if time.Since(began) > limit {
				t.Fatalf("never: %s; audio %+v, signalling %+v, %+v", what, audio.Load(), signalling.Load(), network())
			}
		}
	}
	in := netip.PrefixFrom(addr(0), 24)
	until("an address in the VLAN", func() bool { n := network(); return n.VLAN == 100 && in.Contains(n.Address.Addr()) })
	n := network()
	if n.VLANFrom != "LLDP-MED" || n.From != "DHCP" || n.Port != "port0" || n.Voice == nil || *n.Voice != (initapi.Voice{Priority: 5, DSCP: 34, Signalling: 26}) {
		t.Errorf("%+v %+v", n, n.Voice)
	}
	p.at = n.Address.Addr()
	p.await("its socket", func(st panel.Status) bool {
		return !slices.ContainsFunc(st.Health, func(c panel.Condition) bool { return strings.HasPrefix(c.Code, "sip.") })
	})
	c := s.parks(p, "701")
	c.connected()
	p.await("parked", func(st panel.Status) bool { return orbit(st, "701").Caller.Number == c.number })
	is := func(have *atomic.Pointer[mark], want mark) func() bool {
		return func() bool { m := have.Load(); return m != nil && *m == want }
	}
	until("marked audio", is(&audio, mark{100, 5, 34}))
	until("marked signalling", is(&signalling, mark{100, 5, 26}))
	say(6, 40, 40)
	until("audio of the same call with another mark", is(&audio, mark{100, 6, 40}))
	c.hangsUp()
	until("signalling with another mark", is(&signalling, mark{100, 6, 40}))
	if now := network(); now.Address != n.Address {
		t.Errorf("the address was %s and is %s", n.Address, now.Address)
	}
	if who := self.Load(); who == nil || who.Name != "dock-1" {
		t.Errorf("the switch was told %+v", who)
	}
}
