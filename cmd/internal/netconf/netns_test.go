package netconf

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/supervise"
)

// inNamespace runs a test again in network and mount namespaces of its own and says whether this is that run.
func inNamespace(t *testing.T, name string) bool {
	t.Helper()
	if os.Getenv("NETCONF_TEST_INSIDE") != "" {
		return true
	}
	if os.Getuid() != 0 {
		t.Log("only root may make links and answer DHCP: nothing is tested here; run as root")
		return false
	}
	cmd := exec.Command("unshare", "--net", "--mount", os.Args[0], "-test.run=^"+name+"$", "-test.v", "-test.timeout=100s")
	cmd.Env = append(os.Environ(), "NETCONF_TEST_INSIDE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a network namespace of its own: %v\n%s", err, out)
	}
	return false
}

func sh(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
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

// A real switch's end of the cable: dnsmasq on the untagged network and in VLAN 100, which the lease of the untagged one
// names; then no DHCP at all, where the phone makes itself an address.
func TestDHCPAndVLANWithRealPeers(t *testing.T) {
	if !inNamespace(t, "TestDHCPAndVLANWithRealPeers") {
		return
	}
	folder := t.TempDir()
	// sysfs shows the namespace that it was mounted in.
	sh(t, "mount -t sysfs none /sys && ip link set lo up && ip link add eth0 type veth peer name far && ip link set far up && ip addr add 192.0.2.1/24 dev far")
	vlans := exec.Command("ip", "link", "add", "link", "far", "name", "far.100", "type", "vlan", "id", "100").Run() == nil
	named := "--dhcp-option=132,100"
	if vlans {
		sh(t, "ip link set far.100 up && ip addr add 198.51.100.1/24 dev far.100")
	} else {
		t.Log("this kernel has no VLANs (8021q): only the untagged network is tested here")
		named = "--dhcp-option=252,x"
	}
	dnsmasq := exec.Command("dnsmasq", "-k", "-C", "/dev/null", "-p", "0", "-u", "root", "-x", filepath.Join(folder, "pid"), "-l", filepath.Join(folder, "leases"), "--no-ping", "--dhcp-authoritative",
		"--dhcp-range=192.0.2.50,192.0.2.59,1h", "--dhcp-range=198.51.100.50,198.51.100.59,1h",
		named, "--dhcp-option=option:ntp-server,198.51.100.9", "--dhcp-option=160,http://198.51.100.9/p", "--dhcp-option=option:domain-name,example.com")
	if err := dnsmasq.Start(); err != nil {
		t.Fatalf("package dnsmasq-base: %v", err)
	}
	defer func() { _ = dnsmasq.Process.Kill() }()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("package busybox-static: %v", err)
	}
	hook := filepath.Join(folder, "udhcpc-hook")
	if err := os.Symlink(os.Args[0], hook); err != nil {
		t.Fatal(err)
	}
	states := make(chan initapi.Network, 100)
	reaper := supervise.NewReaper()
	m := New(Options{Config: DefaultConfig(), Hostname: "dock-1", Busybox: busybox, HookPath: hook, Socket: filepath.Join(folder, "s"), Port: "eth0",
		Resolv: filepath.Join(folder, "resolv.conf"), Reaper: reaper, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Changed: func(s initapi.Network) { states <- s }})
	// From now on nobody else may wait for children: sh must not be used.
	reaping, endReaping := context.WithCancel(t.Context())
	reaped := make(chan struct{})
	go func() { defer close(reaped); reaper.Run(reaping) }()
	defer func() { endReaping(); <-reaped }()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(ctx) }()
	defer func() { cancel(); <-done }()
	wait := func(what string, ok func(initapi.Network) bool) initapi.Network {
		t.Helper()
		limit := time.After(60 * time.Second)
		for {
			select {
			case s := <-states:
				if ok(s) {
					return s
				}
			case <-limit:
				t.Fatalf("%s: never; now %+v", what, m.State())
			}
		}
	}
	if vlans {
		s := wait("a lease in VLAN 100", func(s initapi.Network) bool { return s.VLAN == 100 && s.From == "DHCP" })
		if !strings.HasPrefix(s.Address.String(), "198.51.100.") || s.VLANFrom != "DHCP" || s.Port != portName {
			t.Errorf("%+v", s)
		}
	} else {
		s := wait("a lease", func(s initapi.Network) bool { return s.From == "DHCP" })
		if !strings.HasPrefix(s.Address.String(), "192.0.2.5") || s.VLAN != 0 || s.Port != LinkName || len(s.NTP) != 1 || len(s.URLs) != 1 {
			t.Errorf("%+v", s)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(folder, "resolv.conf")); !strings.Contains(string(text), "search example.com") {
		t.Errorf("resolv.conf %q", text)
	}
}
