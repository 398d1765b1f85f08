package netconf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/depot"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/links"
	"parklamp/cmd/internal/lldp"
	"parklamp/cmd/internal/nettest"
	"parklamp/cmd/internal/supervise"
	"parklamp/sip"
)

// inNamespace runs a test again in network, mount and process namespaces of its own, whose processes end with it, and says
// whether this is that run.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		t.Log("only root may make links and answer DHCP: nothing is tested here; run as root")
		return false
	}
	return nettest.Inside(t, "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
}

// The test binary is also the script of udhcpc.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "udhcpc-hook" {
		if err := Hook(os.Args[1:], os.Environ()); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// site is what is at the other end of the cable: a network namespace with real servers.
type site struct {
	folder string
	vlans  bool // this kernel has VLANs; VLAN 100 is 198.51.100.0/24, the untagged network 192.0.2.0/24
	states chan initapi.Network
	m      *Manager
	reaper *supervise.Reaper
}

// newSite lays a cable from eth0 into the namespace "site", where far is the end of it.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{folder: t.TempDir(), states: make(chan initapi.Network, 100)}
	// sysfs shows the namespace that it was mounted in.
	nettest.Sh(t, "mount -t tmpfs none /run && ip netns add site && ip link set lo up && ip link add eth0 type veth peer name far netns site && mount -t sysfs none /sys")
	nettest.Sh(t, "ip -n site link set lo up && ip -n site link set far up && ip -n site addr add 192.0.2.1/24 dev far")
	s.vlans = exec.Command("ip", "-n", "site", "link", "add", "link", "far", "name", "far.100", "type", "vlan", "id", "100").Run() == nil
	if s.vlans {
		nettest.Sh(t, "ip -n site link set far.100 up && ip -n site addr add 198.51.100.1/24 dev far.100")
	} else {
		t.Log("this kernel has no VLANs (8021q): only the untagged network is tested here")
	}
	return s
}

// serve runs a program in the site until the test ends.
func (s *site) serve(t *testing.T, pkg string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Fatalf("package %s: %v", pkg, err)
	}
	cmd := exec.Command("ip", append([]string{"netns", "exec", "site"}, args...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
}

func (s *site) serveDHCP(t *testing.T, options ...string) {
	t.Helper()
	s.serve(t, "dnsmasq-base", append([]string{"dnsmasq", "-k", "-C", "/dev/null", "-p", "0", "-u", "root", "-x", filepath.Join(s.folder, "pid"), "-l", filepath.Join(s.folder, "leases"), "--no-ping",
		"--dhcp-authoritative", "--dhcp-range=192.0.2.50,192.0.2.59,1h", "--dhcp-range=198.51.100.50,198.51.100.59,1h", "--dhcp-option=option:domain-name,example.com"}, options...)...)
}

// connect runs a Manager until the test ends. From then on nobody else may wait for children: nettest.Sh must not be used.
func (s *site) connect(t *testing.T, cfg Config) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("package busybox-static: %v", err)
	}
	hook := filepath.Join(s.folder, "udhcpc-hook")
	if err := os.Symlink(os.Args[0], hook); err != nil {
		t.Fatal(err)
	}
	s.reaper = supervise.NewReaper()
	s.m = New(Options{Config: cfg, Hostname: "dock-1", Busybox: busybox, HookPath: hook, Socket: filepath.Join(s.folder, "s"), Port: "eth0",
		Resolv: filepath.Join(s.folder, "resolv.conf"), Reaper: s.reaper, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Changed: func(n initapi.Network) { s.states <- n },
		Self: lldp.Self{Name: "dock-1", Manufacturer: "Parklamp", Model: "rpi-3", Firmware: "v1.2.3", Serial: "4711"}})
	reaping, endReaping := context.WithCancel(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	var reaped, run sync.WaitGroup
	reaped.Go(func() { s.reaper.Run(reaping) })
	run.Go(func() { _ = s.m.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait(); endReaping(); reaped.Wait() })
}

// wait returns the first state that is as it should be.
func (s *site) wait(t *testing.T, what string, ok func(initapi.Network) bool) initapi.Network {
	t.Helper()
	limit := time.After(3 * time.Minute)
	for {
		select {
		case n := <-s.states:
			if ok(n) {
				return n
			}
		case <-limit:
			t.Fatalf("%s: never; now %+v", what, s.m.State())
		}
	}
}

// A real switch's end of the cable: dnsmasq on the untagged network and in VLAN 100, which the lease of the untagged one
// names.
func TestDHCPAndVLANWithRealPeers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t)
	named := "--dhcp-option=132,100"
	if !s.vlans {
		named = "--dhcp-option=252,x"
	}
	s.serveDHCP(t, named, "--dhcp-option=option:ntp-server,198.51.100.9", "--dhcp-option=160,http://198.51.100.9/p")
	s.connect(t, DefaultConfig())
	if s.vlans {
		n := s.wait(t, "a lease in VLAN 100", func(n initapi.Network) bool { return n.VLAN == 100 && n.From == "DHCP" })
		if !strings.HasPrefix(n.Address.String(), "198.51.100.") || n.VLANFrom != "DHCP" || n.Port != portName {
			t.Errorf("%+v", n)
		}
	} else {
		n := s.wait(t, "a lease", func(n initapi.Network) bool { return n.From == "DHCP" })
		if !strings.HasPrefix(n.Address.String(), "192.0.2.5") || n.VLAN != 0 || n.Port != LinkName || len(n.NTP) != 1 || len(n.URLs) != 1 {
			t.Errorf("%+v", n)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(s.folder, "resolv.conf")); !strings.Contains(string(text), "search example.com") {
		t.Errorf("resolv.conf %q", text)
	}
}

// A URL in option 66, of which udhcpc makes "bad": the appliance gets it all the same, and its archive from there.
func TestIdentityByOption66WithRealPeers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t)
	nettest.Sh(t, "ip link set eth0 address 02:00:00:00:00:01")
	pages := filepath.Join(s.folder, "pages")
	if err := errors.Join(os.Mkdir(pages, 0o755), os.WriteFile(filepath.Join(pages, "02-00-00-00-00-01.tar"), []byte("the set of dock-1"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s.serveDHCP(t, "--dhcp-option=66,http://192.0.2.1:8080/")
	s.serve(t, "busybox-static", "busybox", "httpd", "-f", "-p", "192.0.2.1:8080", "-h", pages)
	s.connect(t, DefaultConfig())
	n := s.wait(t, "a URL", func(n initapi.Network) bool { return len(n.URLs) > 0 })
	for limit := time.Now().Add(2 * time.Minute); ; {
		var set bytes.Buffer
		err := depot.Fetch(t.Context(), depot.Request{URL: n.URLs[0], MAC: n.MAC}, &set)
		if errors.Is(err, unix.ECONNREFUSED) && time.Now().Before(limit) {
			continue // the server is about to listen
		}
		if err != nil || set.String() != "the set of dock-1" {
			t.Errorf("%q, %v; %+v", set.String(), err, n)
		}
		break
	}
}

// A switch with lldpd names VLAN (where this kernel has any), priority and DSCPs; what it has learnt of us is what it shows of a
// phone.
func TestLLDPWithRealPeers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t)
	nettest.Sh(t, "mkdir -p /run/lldpd")
	vlan := ""
	if s.vlans {
		vlan = "tagged vlan 100"
	}
	conf, socket := "/run/lldpd.conf", "/run/lldpd.sock" // where its unprivileged half may read
	text := "configure lldp tx-interval 1\nconfigure med policy application voice " + vlan + " priority voice dscp 34\n" +
		"configure med policy application voice-signaling " + vlan + " priority voice dscp 26\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.serveDHCP(t)
	s.serve(t, "lldpd", "lldpd", "-d", "-M", "4", "-I", "far", "-u", socket, "-O", conf)
	s.connect(t, DefaultConfig())
	n := s.wait(t, "a policy and an address", func(n initapi.Network) bool { return n.Voice != nil && n.From == "DHCP" })
	if *n.Voice != (initapi.Voice{Priority: 5, DSCP: 34, Signalling: 26}) || s.vlans && (n.VLAN != 100 || n.VLANFrom != "LLDP-MED" || !strings.HasPrefix(n.Address.String(), "198.51.100.")) {
		t.Errorf("%+v %+v", n, n.Voice)
	}
	out := filepath.Join(s.folder, "neighbours")
	want := []string{
		"chassis.name=dock-1", "chassis.descr=Parklamp v1.2.3 rpi-3", "port.descr=eth0", "lldp-med.device-type=Communication Device Endpoint (Class III)",
		"chassis.Tel.enabled=on", "lldp-med.Policy.available=yes", "lldp-med.Inventory.available=yes", "lldp-med.inventory.model=rpi-3",
		"lldp-med.inventory.firmware=v1.2.3", "lldp-med.inventory.manufacturer=Parklamp", "lldp-med.inventory.serial=4711",
	}
	// It may have told us before it read what we have told it.
	for limit := time.Now().Add(2 * time.Minute); ; {
		st, err := s.reaper.Do(t.Context(), supervise.Spec{Path: "/bin/sh", Args: []string{"-c", "exec lldpcli -u " + socket + " -f keyvalue show neighbors details >" + out},
			Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}})
		if err != nil || st.Wait.ExitStatus() != 0 {
			t.Fatalf("lldpcli: %v %v", st, err)
		}
		shown, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(w string) bool { return strings.Contains(string(shown), w) })
		if len(missing) == 0 {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("lldpd does not show %q:\n%s", missing, shown)
		}
	}
}

// IPv6 is the kernel's: with a router's advertisements the link has an address that SIP listens on, beside DHCP's.
func TestIPv6WithRealPeers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t)
	nettest.Sh(t, "ip -n site addr add 2001:db8:1::1/64 dev far nodad")
	s.serveDHCP(t, "--enable-ra", "--dhcp-range=2001:db8:1::,ra-only", "--ra-param=far,1,1800")
	s.connect(t, DefaultConfig())
	cfg := sip.Default()
	cfg.Listen = []string{"udp:eth0:5060", "udp:[eth0]:5060"}
	e, err := sip.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	up := make(chan string, 100)
	e.OnHealth(func(listen string, err error) {
		if err == nil {
			up <- listen
		}
	})
	k, err := links.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	var running sync.WaitGroup
	running.Go(func() { _ = e.Run(ctx) })
	running.Go(func() {
		for e.AddressesChanged(nil); k.Wait(ctx) == nil && ctx.Err() == nil; {
			e.AddressesChanged(nil)
		}
	})
	defer running.Wait()
	defer cancel()
	for listening := map[string]bool{}; len(listening) < 2; {
		select {
		case l := <-up:
			listening[l] = true
		case <-ctx.Done():
			t.Fatalf("only %v; %+v", listening, s.m.State())
		}
	}
	if all := fmt.Sprint(e.Listening()); !strings.Contains(all, "udp:192.0.2.5") || !strings.Contains(all, "udp:[2001:db8:1:0:") {
		t.Errorf("it listens on %s", all)
	}
}
