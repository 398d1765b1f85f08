package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"

	"parklamp/cmd/internal/depot"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/logs"
	"parklamp/cmd/internal/nettest"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/supervise"
)

// The test's program is the child that fetches, as init is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == fetchCommand {
		os.Exit(fetchChild(os.Args[2]))
	}
	os.Exit(m.Run())
}

// reaps runs a reaper until the test ends.
func reaps(t *testing.T, r *supervise.Reaper) {
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { end(); running.Wait() })
}

func archive(files map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		_ = w.WriteHeader(&tar.Header{Name: "parklamp/" + name, Mode: 0o600, Size: int64(len(text))})
		_, _ = w.Write([]byte(text))
	}
	_ = w.Close()
	return b.Bytes()
}

const dock7 = "[appliance]\nname = \"dock-7\"\nnumber = \"207\"\n"

// A new appliance asks until a server has its set; then it is that appliance, and asks nobody any more.
func TestNewcomer(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/right/02-00-00-00-00-07.tar", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(archive(map[string]string{"phoned.toml": dock7}))
	})
	mux.HandleFunc("/board/02-00-00-00-00-07.tar", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(archive(map[string]string{"phoned.toml": dock7, "board.toml": "name = \"x\"\nled_ohms = -1\n"}))
	})
	mux.HandleFunc("/page.tar", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>welcome")) })
	server := httptest.NewServer(mux)
	defer server.Close()

	s := newSystem()
	reaps(t, s.reaper)
	to, folder := t.TempDir(), filepath.Join(t.TempDir(), "fetch")
	var mu sync.Mutex
	urls := []string{server.URL + "/none/", server.URL + "/page.tar", server.URL + "/board/"}
	stir, failures := make(chan struct{}, 1), make(chan string, 10)
	n := &newcomer{stir: stir, failed: func(why string) { failures <- why },
		urls: func() []string { mu.Lock(); defer mu.Unlock(); return urls },
		fetch: func(ctx context.Context, url string) (provision.Files, error) {
			return fetchBy(ctx, s.reaper, supervise.Spec{Path: os.Args[0], Env: os.Environ()}, folder, url, "02:00:00:00:00:07")
		},
		take: func(where string, f provision.Files) error {
			_, err := s.identity.adopt(where, f, to, provision.Options{Check: checks().Check})
			return err
		}}
	done := make(chan struct{})
	go func() { defer close(done); n.run(t.Context()) }()
	first := receive(t, failures)
	for _, want := range []string{"/none/02-00-00-00-00-07.tar answers 404", server.URL + "/page.tar: archive: ", "led_ohms", strings.TrimPrefix(server.URL, "http://") + "/board/board.toml:2"} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in %s", want, first)
		}
	}
	if _, err := provision.Current(to, provision.Options{}); !errors.Is(err, provision.ErrNone) {
		t.Errorf("a set with a mistake was taken in: %v", err)
	}
	mu.Lock()
	urls = []string{server.URL + "/none/", server.URL + "/right/"}
	mu.Unlock()
	stir <- struct{}{} // what the DHCP server says now counts at once
	receive(t, done)
	set, err := provision.Current(to, provision.Options{})
	if err != nil || set.Identity.ID != "dock-7" || s.identity.is.Number != "207" {
		t.Fatalf("%+v, %v", set, err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// Another set, from whoever answers DHCP now, does not make another phone of it.
	other := provision.Files{provision.PhonedFile: []byte(strings.ReplaceAll(dock7, "dock-7", "mallory"))}
	if _, err := s.identity.adopt("http://192.0.2.66/", other, to, provision.Options{}); !errors.Is(err, errKnown) {
		t.Error(err)
	}
	if set, err := provision.Current(to, provision.Options{}); err != nil || set.Identity.ID != "dock-7" {
		t.Errorf("%+v, %v", set, err)
	}
}

// Only an appliance that has never been anybody, as far as its card can tell, asks the network who it is.
func TestWhoIsNew(t *testing.T) {
	files := func(all map[string]string) string {
		dir := t.TempDir()
		for name, text := range all {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	data := t.TempDir() // of an appliance that was somebody
	if _, err := (provision.Files{provision.PhonedFile: []byte(dock7)}).Import("card", data, provision.Options{}); err != nil {
		t.Fatal(err)
	}
	const device = "/dev/vda4"
	key := map[string]string{provision.PhonedFile: dock7, provision.AuthorityFile: "torn"} // as after the import took the key away
	for name, c := range map[string]struct {
		boot   map[string]string
		data   string
		device string // of the data partition; "" where it is lost
		slot   slots.Slot
		is     bool
	}{
		"new card":                     {nil, t.TempDir(), device, slots.A, true},
		"new card that names a server": {map[string]string{provision.NetworkFile: ""}, t.TempDir(), device, slots.A, true},
		"new card with a key":          {map[string]string{provision.UpdateFile: ""}, t.TempDir(), device, slots.A, true},
		"new card with a board":        {map[string]string{provision.BoardFile: ""}, t.TempDir(), device, slots.A, true},
		"without a card":               {nil, t.TempDir(), "", slots.None, true},
		"known":                        {nil, data, device, slots.A, false},
		"data lost, identity came by the network": {nil, t.TempDir(), "", slots.A, false},
		"data lost, identity came by card":        {key, t.TempDir(), "", slots.A, false},
		"data made anew, identity came by card":   {key, t.TempDir(), device, slots.A, false},
		"without a card that it was started from": {nil, t.TempDir(), "", slots.B, false},
	} {
		s := newSystem()
		s.boot.Slot, s.store.data.Device = c.slot, c.device
		s.identity.takeIn(files(c.boot), c.data, provision.Options{})
		if got := s.identity.isNew(); got != c.is {
			t.Errorf("%s: %t", name, got)
		}
		if was := s.identity.nameless != ""; was != (c.boot[provision.AuthorityFile] != "") {
			t.Errorf("%s: %q", name, s.identity.nameless)
		}
	}
}

func receive[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(2 * time.Minute):
		t.Fatal("nothing happens")
	}
	return v
}

// Where neither DHCP nor a file names a server, the link does: nobody there is no failure, a server without our set is one, and
// then the next one has it. (Package depot meets another implementation of multicast DNS.)
func TestNewcomerOfTheLink(t *testing.T) {
	if !nettest.Inside(t, "--map-root-user") {
		return
	}
	nettest.Sh(t, "ip link set lo up && ip link add eth0 type veth peer name desk && ip link set desk up && ip link set eth0 up && "+
		"ip addr add 192.0.2.7/24 dev eth0")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/right/02-00-00-00-00-07.tar" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(archive(map[string]string{"phoned.toml": dock7}))
	}))
	var err error
	if server.Listener, err = net.Listen("tcp", "192.0.2.7:0"); err != nil {
		t.Fatal(err)
	}
	server.Start()
	defer server.Close()
	s := newSystem()
	reaps(t, s.reaper)
	folder := filepath.Join(t.TempDir(), "fetch")
	fetch := func() (provision.Files, error) {
		return fetchBy(t.Context(), s.reaper, supervise.Spec{Path: os.Args[0], Env: os.Environ()}, folder, byDNSSD, "02:00:00:00:00:07")
	}
	if _, err := fetch(); !errors.Is(err, depot.ErrNobody) {
		t.Fatal(err)
	}
	if done, why := (&newcomer{fetch: func(context.Context, string) (provision.Files, error) { return nil, depot.ErrNobody }}).ask(t.Context(), []string{byDNSSD}); done || why != "" {
		t.Errorf("%v, %q", done, why)
	}
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenPacket("udp4", "224.0.0.251:5353")
	if err != nil {
		t.Fatal(err)
	}
	zone, err := mdns.NewServer(ipv4.NewPacketConn(socket), nil, mdns.WithInterfaces(*link), mdns.WithLocalNames("desk.local"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = zone.Close() }()
	offer := func(path string) {
		t.Helper()
		if err := zone.Register(mdns.ServiceInstance{Instance: "hall " + path, Service: depot.Service, Host: "desk.local.", Port: uint16(server.Listener.Addr().(*net.TCPAddr).Port),
			Text: []mdns.TXTEntry{mdns.NewTXTString("path", path)}}); err != nil {
			t.Fatal(err)
		}
	}
	offer("/no")
	if _, err := fetch(); err == nil || !strings.Contains(err.Error(), "found by DNS-SD: ") || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	offer("/right")
	set, err := fetch()
	if err != nil || string(set[provision.PhonedFile]) != dock7 {
		t.Errorf("%v, %v", set, err)
	}
}

// A server that stalls leaves the others their share of the time.
func TestStallingServer(t *testing.T) {
	server := func(does http.HandlerFunc) depot.Offer {
		s := httptest.NewServer(does)
		t.Cleanup(s.Close)
		return depot.Offer{URL: s.URL + "/", Address: netip.MustParseAddrPort(s.Listener.Addr().String())}
	}
	stalls := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("x"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	offers := []depot.Offer{server(stalls), server(http.NotFound), server(stalls), server(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the set")) })}
	f, err := os.Create(filepath.Join(t.TempDir(), "set"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	r := depot.Request{MAC: "02:00:00:00:00:07"}
	if err := fetchFirst(ctx, r, offers, f); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "the set" {
		t.Errorf("%q, %v", got, err)
	}
	if err := fetchFirst(t.Context(), r, offers[1:2], f); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
}

// Who ends while a server hangs leaves neither the child nor its file.
func TestFetchEnds(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- struct{}{}; <-r.Context().Done() }))
	defer server.Close()
	r := supervise.NewReaper()
	reaps(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	folder, ended := t.TempDir(), make(chan error, 1)
	go func() {
		_, err := fetchBy(ctx, r, supervise.Spec{Path: os.Args[0], Env: os.Environ()}, folder, server.URL+"/x.tar", "")
		ended <- err
	}()
	receive(t, asked)
	cancel()
	if err := receive(t, ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The set's network.toml counts; without one that of the boot partition does.
func TestNetworkConfig(t *testing.T) {
	data, boot := t.TempDir(), t.TempDir()
	if cfg, err := networkConfig(data, boot); err != nil || cfg.URL != "" || !cfg.LLDP {
		t.Errorf("%+v, %v", cfg, err)
	}
	for folder, url := range map[string]string{boot: "https://depot.example/", data: "http://192.0.2.9/"} {
		if err := os.WriteFile(filepath.Join(folder, provision.NetworkFile), []byte("provision_url = \""+url+"\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if cfg, err := networkConfig(data, boot); err != nil || cfg.URL != "http://192.0.2.9/" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if cfg, err := networkConfig(filepath.Join(data, "none"), boot); err != nil || cfg.URL != "https://depot.example/" {
		t.Errorf("%+v, %v", cfg, err)
	}
	f, err := provision.ReadDir(boot)
	if err != nil || !f.Bare() {
		t.Errorf("%v, %v", f, err)
	}
	f[provision.IdentityFile] = nil
	if f.Bare() {
		t.Error("a set whose configuration was forgotten is told, not passed over")
	}
}

func TestComplaint(t *testing.T) {
	says := func(program string, text ...string) (out []logs.Line) {
		for _, x := range text {
			out = append(out, logs.Line{Program: program, Text: x})
		}
		return out
	}
	log := slices.Concat(says("phoned", "phoned: "+initapi.BadConfigWords), says("init", "exit status 2"),
		says("phoned", "phoned.toml:1:1: foo: unknown key", "phoned.toml:2:1: bar: unknown key"))
	if got := complaint(log); got != "phoned.toml:1:1: foo: unknown key" {
		t.Error(got)
	}
	if got := complaint(nil); got != "it cannot be used" {
		t.Error(got)
	}
}
