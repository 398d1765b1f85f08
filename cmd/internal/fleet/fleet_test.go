package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/authority"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/tomlfile"
)

var day = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// newSite makes a site with dock-1 and dock-2.
func newSite(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hall")
	if err := New(dir, "hall", day); err != nil {
		t.Fatal(err)
	}
	add(t, dir, Appliance{ID: "dock-1", Name: `Tor "1", Süd`, Address: netip.MustParseAddr("192.0.2.1")})
	add(t, dir, Appliance{ID: "dock-2", Address: netip.MustParseAddr("192.0.2.2")})
	return dir
}

func add(t *testing.T, dir string, a Appliance) {
	t.Helper()
	if _, err := Add(dir, a, day); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir string) []string {
	t.Helper()
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := s.Write()
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func appendTo(t *testing.T, dir, text string) {
	t.Helper()
	path := filepath.Join(dir, SiteFile)
	if err := os.WriteFile(path, []byte(read(t, path)+text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSite(t *testing.T) {
	dir := newSite(t)
	if changed := write(t, dir); !slices.Equal(changed, []string{"dock-1", "dock-2"}) {
		t.Errorf("changed %v", changed)
	}
	if changed := write(t, dir); changed != nil {
		t.Errorf("written again without a change: %v", changed)
	}
	set, err := provision.Read(filepath.Join(dir, "appliances", "dock-1"), Checks())
	if err != nil {
		t.Fatal(err)
	}
	if want := (provision.Identity{Site: "hall", ID: "dock-1", Name: `Tor "1", Süd`, Number: "201"}); set.Identity != want {
		t.Errorf("identity %+v", set.Identity)
	}
	before := read(t, dir, "appliances", "dock-1", provision.CertificateFile)

	// A third appliance changes what the first two know, and nothing else of theirs.
	add(t, dir, Appliance{ID: "dock-8", Address: netip.MustParseAddr("2001:db8::8")})
	if changed := write(t, dir); len(changed) != 3 {
		t.Errorf("changed %v, want all three", changed)
	}
	if read(t, dir, "appliances", "dock-1", provision.CertificateFile) != before {
		t.Error("a certificate was made anew without need")
	}
	text := read(t, dir, "appliances", "dock-1", provision.PhonedFile)
	for _, want := range []string{"name = 'dock-8'", "address = '[2001:db8::8]:5061'", "203 = 'sip:203@[2001:db8::8]:5061;transport=tls'", "udp:eth0:5060"} {
		if !strings.Contains(text, want) {
			t.Errorf("phoned.toml of dock-1 lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "192.0.2.1:") {
		t.Error("dock-1 is its own peer")
	}
	if !strings.Contains(read(t, dir, "appliances", "dock-8", provision.PhonedFile), "udp:[eth0]:5060") {
		t.Error("an appliance with an IPv6 address listens there")
	}
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	if warnings, err := s.Check(); err != nil || len(warnings) > 0 {
		t.Errorf("check: %v %v", warnings, err)
	}
	for _, r := range s.Rows() {
		if !r.Ready || r.Fingerprint == "" || r.Expires.Before(day) {
			t.Errorf("row %+v", r)
		}
	}
}

// What all have, what one has, and what stands in braces.
func TestOneFileForAll(t *testing.T) {
	dir := newSite(t)
	appendTo(t, dir, `config.phone.ringer_volume = 9
[network]
time_servers = ["192.0.2.123"]
[all.lot]
orbits = ["801", "802"]
[[all.registration.accounts]]
aor = "sip:{number}@pbx.example.com"
password_file = "secrets/pbx-{number}"
[all.dial.directory]
0 = "sip:reception@192.0.2.9"
`)
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(); err == nil || !strings.Contains(err.Error(), "write the password into that file") {
		t.Fatalf("no password: %v", err)
	}
	os.Mkdir(filepath.Join(dir, secrets), 0o700)
	for _, n := range []string{"201", "202"} {
		if err := os.WriteFile(filepath.Join(dir, secrets, "pbx-"+n), []byte("hush-"+n+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir)
	one, two := read(t, dir, "appliances", "dock-1", provision.PhonedFile), read(t, dir, "appliances", "dock-2", provision.PhonedFile)
	for _, want := range []string{"sip:202@pbx.example.com", "/data/parklamp/secret-pbx-202", "ringer_volume = 9", "'802'", "sip:201@192.0.2.1", "reception"} {
		if !strings.Contains(two, want) {
			t.Errorf("phoned.toml of dock-2 lacks %s:\n%s", want, two)
		}
	}
	if strings.Contains(one, "ringer_volume") || !strings.Contains(one, "sip:201@pbx.example.com") {
		t.Errorf("phoned.toml of dock-1:\n%s", one)
	}
	if read(t, dir, "appliances", "dock-2", "secret-pbx-202") != "hush-202\n" || !strings.Contains(read(t, dir, "appliances", "dock-1", provision.NetworkFile), "192.0.2.123") {
		t.Error("password or network")
	}
	info, err := os.Stat(filepath.Join(dir, "appliances", "dock-2", "secret-pbx-202"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password's mode: %v %v", info.Mode(), err)
	}
}

// Names of secrets that differ in capitals alone are one on the card, where the password of one registrar would go to another.
func TestSecretsThatDifferInCapitals(t *testing.T) {
	dir := newSite(t)
	lines := strings.Count(read(t, dir, SiteFile), "\n")
	appendTo(t, dir, `[[all.registration.accounts]]
aor = "sip:{number}@pbx.example.com"
password_file = "secrets/PBX"
[[all.registration.accounts]]
aor = "sip:{number}@other.example.com"
password_file = "secrets/pbx"
`)
	os.Mkdir(filepath.Join(dir, secrets), 0o700)
	for _, name := range []string{"PBX", "pbx"} {
		if err := os.WriteFile(filepath.Join(dir, secrets, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Write()
	for _, want := range []string{
		fmt.Sprintf(`site.toml:%d:1: all.registration.accounts[0].password_file: "secrets/PBX": would be the same file on the card as "secrets/pbx"`, lines+3),
		fmt.Sprintf(`site.toml:%d:1: all.registration.accounts[1].password_file: "secrets/pbx": would be the same file on the card as "secrets/PBX"`, lines+6),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	site := read(t, dir, SiteFile)
	if err := os.WriteFile(filepath.Join(dir, SiteFile), []byte(strings.Replace(site, "secrets/PBX", "secrets/pbx", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, dir) // two accounts with one password
}

// A secret that no card takes, as were written once, does not keep a folder from being written, nor does it take the appliance
// its key.
func TestSecretsThatNoCardTakes(t *testing.T) {
	dir := newSite(t)
	write(t, dir)
	folder := filepath.Join(dir, "appliances", "dock-1")
	key := read(t, folder, provision.KeyFile)
	for name, size := range map[string]int{"my pass": 1, strings.Repeat("a", 49): 1, "pbx": 2 << 20} {
		if err := os.WriteFile(filepath.Join(folder, provision.SecretPrefix+name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if changed := write(t, dir); !slices.Equal(changed, []string{"dock-1"}) {
		t.Errorf("changed: %v", changed)
	}
	if _, err := provision.Read(folder, Checks()); err != nil {
		t.Error(err)
	}
	if read(t, folder, provision.KeyFile) != key {
		t.Error("the key is another")
	}

	os.Mkdir(filepath.Join(dir, secrets), 0o700)
	if err := os.WriteFile(filepath.Join(dir, secrets, "pbx"), make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	appendTo(t, dir, "[all.access]\npassword_file = \"secrets/pbx\"\n")
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(); err == nil || !strings.Contains(err.Error(), `all.access.password_file: "secrets/pbx": has 2097152 bytes: at most `) {
		t.Errorf("too large: %v", err)
	}
}

// A configuration that no card takes is not written, and one that was does not keep the folder from being written.
func TestConfigurationThatNoCardTakes(t *testing.T) {
	dir := newSite(t)
	write(t, dir)
	file := filepath.Join(dir, "appliances", "dock-1", provision.PhonedFile)
	if err := os.WriteFile(file, bytes.Repeat([]byte("# 345678\n"), 10_000), 0o644); err != nil {
		t.Fatal(err)
	}
	if changed := write(t, dir); !slices.Equal(changed, []string{"dock-1"}) {
		t.Errorf("changed: %v", changed)
	}
	var text strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&text, "%d = \"sip:%[1]d@pbx.example.com;transport=tls\"\n", 10_000+i)
	}
	appendTo(t, dir, "[all.dial.directory]\n"+text.String())
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(); err == nil || !strings.Contains(err.Error(), "phoned.toml: has ") || !strings.Contains(err.Error(), " bytes: at most 65536 are allowed") {
		t.Errorf("too large: %v", err)
	}
	if _, err := provision.Read(filepath.Dir(file), Checks()); err != nil {
		t.Error(err)
	}
}

// A fault in what follows from site.toml is told at its lines.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"key of all":       {"[all.lot]\ntimeuot = \"90s\"\n", `site.toml:+2:1: all.lot.timeuot: unknown key; did you mean "timeout"?`},
		"value of all":     {"[all.lot]\ntimeout = \"1ms\"\n", `site.toml:+2:1: all.lot.timeout: 1ms`},
		"value of one":     {"config.phone.ringer_volume = 11\n", `site.toml:+1:14: appliances[1].config.phone.ringer_volume: 11`},
		"board":            {"board = \"rpi-9\"\n", `site.toml:+1:1: appliances[1].board: `},
		"id twice":         {"[[appliances]]\nid = \"Dock-1\"\nnumber = \"209\"\n", `site.toml:+2:1: appliances[2].id: "dock-1": dock-1 has it already`},
		"number twice":     {"[[appliances]]\nid = \"dock-9\"\nnumber = \"202\"\n", `site.toml:+3:1: appliances[2].number: "202": dock-2 has it already`},
		"address of many":  {"[[appliances]]\nid = \"dock-9\"\nnumber = \"209\"\naddress = \"0.0.0.0\"\n", `site.toml:+4:1: appliances[2].address: "0.0.0.0": is nobody's own: want the address of one appliance`},
		"one for all":      {"[network]\naddress = \"192.0.2.50/24\"\n", `site.toml:+2:1: network.address: "192.0.2.50/24": dock-2 would have it as well as dock-1; "{address}/24" is`},
		"another's":        {"network.address = \"192.0.2.1/24\"\n", `site.toml:+1:9: appliances[1].network.address: "192.0.2.1/24": dock-2 would have it as well as dock-1`},
		"journal outside":  {"[all.journal]\npath = \"/etc/passwd\"\n", `site.toml:+2:1: all.journal.path: "/etc/passwd": must lie below /data/parklamp/journal or`},
		"no number":        {"[[appliances]]\nid = \"dock-9\"\n", `appliances[2].number: is missing: 1 to 32 of`},
		"unknown":          {"colour = \"red\"\n", `site.toml:+1:1: appliances[1].colour: unknown key; allowed here: address, board, config, id, name, network, number`},
		"network of all":   {"[network]\nvlan = \"5000\"\n", `site.toml:+2:1: network.vlan: "5000": want auto, none or a number`},
		"network of one":   {"network.vlan_priotiry = 5\n", `site.toml:+1:9: appliances[1].network.vlan_priotiry: unknown key; did you mean "vlan_priority"?`},
		"network, a list":  {"[network]\ndns = [\"192.0.2.1\", \"here\"]\n", `site.toml:+2:1: network.dns[1]: "here": want the address of a name server`},
		"list of one":      {"config.sip.listen = [\"udp:eth0:5060\", \"tls:eth0\"]\n", `site.toml:+1:12: appliances[1].config.sip.listen[1]: "tls:eth0": wants an IP address and a port`},
		"no socket":        {"config.sip.listen = [\"udp:eth0:5060\"]\n", `site.toml:+1:12: appliances[1].config.sip.listen: has no tls socket`},
		"socket":           {"config.panel.socket = \"/x\"\n", `site.toml:+1:14: appliances[1].config.panel.socket: "/x": must be`},
		"journal":          {"[all.journal]\npath = \"calls\"\n", `site.toml:+2:1: all.journal.path: "/data/parklamp/calls": must lie below /data/parklamp/journal or`},
		"other name":       {"config.appliance.name = \"dock-9\"\n", `site.toml:+1:18: appliances[1].config.appliance.name: "dock-9": must be "dock-2"`},
		"element of all":   {"[[all.registration.accounts]]\naor = \"sip:{number}@pbx\"\n[[all.registration.accounts]]\naor = \"{number}\"\n", `site.toml:+4:1: all.registration.accounts[1].aor: "201"`},
		"over a list":      {"config.registration.accounts = [ {aor = \"x\"} ]\n[[all.registration.accounts]]\naor = \"sip:{number}@pbx\"\n", `site.toml:+1:35: appliances[1].config.registration.accounts[0].aor: "x"`},
		"missing in it":    {"config.federation.peers = [ {name = \"x\"} ]\n", `site.toml:+1:19: appliances[1].config.federation.peers[0].address: is missing`},
		"no secret":        {"[all.access]\npassword_file = \"secrets/pw\"\n", `site.toml:+2:1: all.access.password_file: "secrets/pw": there is no such file`},
		"no table":         {"[[network]]\n", `site.toml:+1:3: network: a list is not a table; write [network] above its keys`},
		"placeholder":      {"[[all.registration.accounts]]\naor = \"sip:{numbr}@pbx.example.com\"\n", `site.toml:+2:1: all.registration.accounts[0].aor: "sip:{numbr}@pbx.example.com": {numbr} stands for nothing; there are {id}, {name}, {number}`},
		"of the network":   {"[network]\nhostname = \"{ID}\"\n", `site.toml:+2:1: network.hostname: "{ID}": {ID} stands for nothing`},
		"board for all":    {"[all.board]\nfile = \"dock.toml\"\n", `site.toml:+2:1: all.board.file: "dock.toml": the appliance has no such file; board = "dock.toml" under`},
		"no board":         {"board = \"dock.toml\"\n", `site.toml:+1:1: appliances[1].board: "dock.toml": want a model, or a board definition in `},
		"secret, a space":  {"[all.access]\npassword_file = \"secrets/my pass\"\n", `site.toml:+2:1: all.access.password_file: "secrets/my pass": want a name of 1 to 48`},
		"secret, too long": {"[all.access]\npassword_file = \"secrets/" + strings.Repeat("a", 49) + "\"\n", `": want a name of 1 to 48`},
		"out of folder":    {"[all.access]\npassword_file = \"secrets/../ca.key\"\n", `want secrets/NAME`},
	} {
		dir := newSite(t)
		lines := strings.Count(read(t, dir, SiteFile), "\n")
		appendTo(t, dir, c.text)
		for n := range 5 { // +1 is the first line of text
			c.want = strings.Replace(c.want, fmt.Sprintf(":+%d:", n), fmt.Sprintf(":%d:", lines+n), 1)
		}
		s, err := Open(dir, day)
		if err == nil {
			_, err = s.Write()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(dir, appliances)); err == nil {
			t.Errorf("%s: files were written all the same", name)
		}
	}
}

// One run names all that is wrong: with the entries, with the configurations that follow from those that are right, and where a board
// definition is missing. A wrong entry is not told of once more as everybody's peer.
func TestEveryFault(t *testing.T) {
	dir := newSite(t)
	lines := strings.Count(read(t, dir, SiteFile), "\n")
	appendTo(t, dir, `board = "none.toml"
config.phone.ringer_volume = 11
[[appliances]]
id = "a b"
number = "x"
address = "0.0.0.0"
config.phone.ringer_volume = 12
[all.lot]
timeout = "1ms"
[[all.registration.accounts]]
aor = "nobody"
expires = "1s"
[network]
vlan = "5000"
colour = "red"
`)
	want := []string{"1:1: appliances[1].board", "2:14: appliances[1].config.phone.ringer_volume", "4:1: appliances[2].id", "5:1: appliances[2].number",
		"6:1: appliances[2].address", "9:1: all.lot.timeout", "11:1: all.registration.accounts[0].aor", "12:1: all.registration.accounts[0].expires",
		"14:1: network.vlan", "15:1: network.colour"}
	_, err := Open(dir, day)
	var got []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		parts := strings.SplitN(strings.TrimPrefix(line, filepath.Join(dir, SiteFile)+":"), ": ", 3)
		var at, column int
		if _, err := fmt.Sscanf(parts[0], "%d:%d", &at, &column); err != nil || len(parts) < 3 {
			t.Fatalf("%q", line)
		}
		got = append(got, fmt.Sprintf("%d:%d: %s", at-lines, column, parts[1]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("complains about\n%q\nwant\n%q\n%v", got, want, err)
	}
	if _, err := os.Stat(filepath.Join(dir, appliances)); err == nil {
		t.Error("files were written all the same")
	}
}

// Who cannot be found by his address is told, and who has loopback beside others that have not.
func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1": "is each machine's own", "::1": "is each machine's own", "::ffff:127.0.0.1": "is each machine's own",
		"255.255.255.255": "is nobody's own", "224.0.1.75": "is nobody's own", "ff02::1": "is nobody's own", "::": "is nobody's own",
		"169.254.1.1": "is good on one link only", "fe80::1": "is good on one link only", "fe80::1%eth0": "is good on one link only", "10.0.0.7": "", "2001:db8::7": "", "fd00::7": ""} {
		_, err := Add(newSite(t), Appliance{ID: "dock-3", Address: netip.MustParseAddr(address)}, day)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want+": want the address of one appliance") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	dir := filepath.Join(t.TempDir(), "trial")
	if err := New(dir, "trial", day); err != nil {
		t.Fatal(err)
	}
	add(t, dir, Appliance{ID: "dock-1", Address: netip.MustParseAddr("127.0.0.1")})
	add(t, dir, Appliance{ID: "dock-2", Address: netip.MustParseAddr("127.0.0.2")})
	if warnings := check(t, dir); !strings.Contains(warnings, "dock-2: address 127.0.0.2 is found on its own machine alone") {
		t.Error(warnings)
	}
}

func check(t *testing.T, dir string) string {
	t.Helper()
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := s.Check()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(warnings, "\n")
}

// The panel of an appliance of a new site takes updates from the desk; where it does not, check says so.
func TestPanelIsReached(t *testing.T) {
	dir := newSite(t)
	write(t, dir)
	if text := read(t, dir, "appliances", "dock-1", provision.PhonedFile); !strings.Contains(text, "listen = '0.0.0.0:8080'") {
		t.Error(text)
	}
	const closed = "the panel listens to programs on the appliance alone, so that 'parkctl update --at' from here does not reach it"
	if warnings := check(t, dir); strings.Contains(warnings, closed) {
		t.Error(warnings)
	}
	appendTo(t, dir, "config.panel.listen = \"0.0.0.0:0\"\n") // of dock-2
	if warnings := check(t, dir); !strings.Contains(warnings, "dock-2: "+closed) || strings.Contains(warnings, "dock-1") {
		t.Error(warnings)
	}
	path := filepath.Join(dir, SiteFile) // as one that was made without
	if err := os.WriteFile(path, []byte(strings.Replace(read(t, path), "[all.panel]\nlisten = \"0.0.0.0:8080\"\n", "", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if warnings := check(t, dir); !strings.Contains(warnings, "dock-1, dock-2: "+closed) {
		t.Error(warnings)
	}
}

func TestSiteMissing(t *testing.T) {
	dir := newSite(t)
	if err := os.WriteFile(filepath.Join(dir, SiteFile), []byte("[all.lot]\ntimeout = \"2m\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, day); err == nil || !strings.Contains(err.Error(), "site.toml: site: is missing; it stands above the first line with [ ]") {
		t.Error(err)
	}
}

func TestAddRefuses(t *testing.T) {
	dir := newSite(t)
	before := read(t, dir, SiteFile)
	for name, c := range map[string]struct {
		a    Appliance
		want string
	}{
		"board":   {Appliance{ID: "dock-3", Board: "rpi-33"}, `board: "rpi-33" is not one of auto, `},
		"twice":   {Appliance{ID: "dock-1"}, "is there already"},
		"id":      {Appliance{ID: "dock 3"}, `id: "dock 3": 1 to 63 letters`},
		"found":   {Appliance{ID: "dock 3", Address: netip.MustParseAddr("192.0.2.3")}, `id: "dock 3": 1 to 63 letters`},
		"address": {Appliance{ID: "dock-3", Address: netip.MustParseAddr("192.0.2.1")}, `address: "192.0.2.1": dock-1 has it already`},
		"number":  {Appliance{ID: "dock-3", Number: "2o3"}, `number: "2o3": the others dial it`},
	} {
		if _, err := Add(dir, c.a, day); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") { // one fault, told once
			t.Errorf("%s: %v", name, err)
		}
	}
	if read(t, dir, SiteFile) != before {
		t.Error("site.toml was changed all the same")
	}
	if err := New(dir, "hall", day); !errors.Is(err, errExists) {
		t.Errorf("a site on top of a site: %v", err)
	}
	if _, err := Open(t.TempDir(), day); !errors.Is(err, errNoSite) {
		t.Errorf("no site: %v", err)
	}
}

// A board of the site's own goes onto the card, and its faults are told where it was written.
func TestOwnBoard(t *testing.T) {
	dir := newSite(t)
	board := filepath.Join(dir, "dock.toml")
	if err := os.WriteFile(board, []byte("name = \"dock\"\nfrom = [\"rpi-4\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Add(dir, Appliance{ID: "dock-3", Board: "dock.toml"}, day); err != nil {
		t.Fatal(err)
	}
	write(t, dir)
	if text := read(t, dir, "appliances", "dock-3", provision.PhonedFile); !strings.Contains(text, "file = '/data/parklamp/board.toml'") || strings.Contains(text, "model") {
		t.Error(text)
	}
	if text := read(t, dir, "appliances", "dock-3", provision.BoardFile); !strings.Contains(text, "rpi-4") {
		t.Error(text)
	}
	if err := os.WriteFile(board, []byte("name = \"dock\"\nfrom = [\"rpi-44\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(); err == nil || !strings.Contains(err.Error(), board+`:2:1: from: no such model: "rpi-44"`) {
		t.Error(err)
	}
}

func TestCertificates(t *testing.T) {
	dir := newSite(t)
	write(t, dir)
	cert := func() string { return read(t, dir, "appliances", "dock-2", provision.CertificateFile) }
	first := cert()
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Renew("dock-2"); err != nil || cert() == first {
		t.Errorf("renew: %v", err)
	}
	if err := s.Renew("dock-9"); !errors.Is(err, errNobody) {
		t.Errorf("renew nobody: %v", err)
	}
	second := cert()
	// Another address needs another certificate, another name does not.
	path := filepath.Join(dir, SiteFile)
	os.WriteFile(path, []byte(strings.Replace(read(t, path), "192.0.2.2", "192.0.2.22", 1)), 0o644)
	if write(t, dir); cert() == second {
		t.Error("the certificate names the old address")
	}
	// So does the end of the old one.
	third := cert()
	later, err := Open(dir, day.Add(authority.Lifetime-100*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.Write(); err != nil || cert() == third {
		t.Errorf("a certificate that ends soon: %v", err)
	}
	// A run that was cut off left a key without its certificate.
	os.WriteFile(filepath.Join(dir, "appliances", "dock-2", provision.KeyFile), []byte(read(t, dir, "appliances", "dock-1", provision.KeyFile)), 0o600)
	write(t, dir)
	if _, err := provision.Read(s.Folder("dock-2"), provision.Options{}); err != nil {
		t.Error(err)
	}
}

func TestCheckWarns(t *testing.T) {
	dir := newSite(t)
	write(t, dir)
	add(t, dir, Appliance{ID: "dock-3"})
	f, err := os.OpenFile(filepath.Join(dir, SiteFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for id, own := range map[string]string{"dock-4": "{address}/24", "dock-5": "192.0.2.55/24"} {
		fmt.Fprintf(f, "\n[[appliances]]\nid = %q\nnumber = \"9%s\"\naddress = \"192.0.2.%s\"\nnetwork.address = %q\n", id, id[5:], id[5:], own)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(dir, AuthorityKey), 0o644)
	os.Mkdir(filepath.Join(dir, appliances, "dock-9"), 0o755)
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := s.Check()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(warnings, "\n")
	for _, want := range []string{"dock-3 has no address", "dock-5 gives itself 192.0.2.55 by network.address, and the others look for it at 192.0.2.5", "dock-3: its files are not what", "dock-9 is not in site.toml", "ca.key can be read by others: chmod 600"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "dock-4 gives itself") {
		t.Error(all)
	}
	// Those that DHCP must have reserved are the others with an address.
	if got := strings.Join(s.Reserve(), ", "); !strings.Contains(got, "dock-1 192.0.2.1") || strings.Contains(got, "dock-3") || strings.Contains(got, "dock-4") {
		t.Error(got)
	}
	s, err = Open(dir, s.root.NotAfter.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if warnings, _ := s.Check(); !strings.Contains(strings.Join(warnings, "\n"), "the authority ends on") {
		t.Error("no warning of the authority's end")
	}
}

// Without the key of the authority nothing is lost: what is written already is checked and flashed, and only where a
// certificate is wanted somebody is told what to do, before the old one is gone.
func TestWithoutTheKeyOfTheAuthority(t *testing.T) {
	dir := newSite(t)
	write(t, dir)
	key := filepath.Join(dir, AuthorityKey)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, day)
	if err != nil {
		t.Fatal(err)
	}
	if warnings, err := s.Check(); err != nil || !strings.Contains(strings.Join(warnings, "\n"), key+" is missing: restore your copy of it") {
		t.Errorf("check: %q, %v", warnings, err)
	}
	if changed := write(t, dir); len(changed) != 0 {
		t.Errorf("written: %q", changed)
	}
	want := key + " is missing, and no certificate can be made without: restore your copy of it, or make a new site"
	before := read(t, dir, appliances, "dock-1", provision.CertificateFile)
	if err := s.Renew("dock-1"); err == nil || err.Error() != want {
		t.Errorf("renew: %v", err)
	}
	if read(t, dir, appliances, "dock-1", provision.CertificateFile) != before {
		t.Error("the old certificate is gone")
	}
	file := read(t, dir, SiteFile)
	if _, err := Add(dir, Appliance{ID: "dock-3"}, day); err == nil || err.Error() != want {
		t.Errorf("add: %v", err)
	}
	if read(t, dir, SiteFile) != file {
		t.Error("site.toml has an appliance that cannot be made")
	}
}

func TestSecretsAreSecret(t *testing.T) {
	dir := newSite(t)
	write(t, dir)
	for _, name := range []string{AuthorityKey, UpdateKey, "appliances/dock-1/" + provision.KeyFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if bytes.Contains([]byte(read(t, dir, "appliances", "dock-1", provision.PhonedFile)), []byte("PRIVATE")) {
		t.Error("a key is in the configuration")
	}
}

// The template says what is true.
func TestTemplate(t *testing.T) {
	dir := newSite(t)
	path := filepath.Join(dir, SiteFile)
	var out []string
	for _, l := range strings.Split(read(t, path), "\n") {
		if l = strings.TrimPrefix(l, "# "); strings.HasPrefix(l, "[") || strings.Contains(l, " = ") {
			out = append(out, l)
		}
	}
	text := strings.ReplaceAll(strings.Join(out, "\n"), "[[appliances]]\nid = \"dock-1\"\nnumber = \"201\"\naddress = \"192.0.2.1\"\nboard = \"rpi-3\"",
		"[[appliances]]\nid = \"dock-0\"\nnumber = \"200\"\naddress = \"192.0.2.10\"\nboard = \"rpi-4\"")
	os.WriteFile(path, []byte(text), 0o644)
	os.Mkdir(filepath.Join(dir, secrets), 0o700)
	for _, n := range []string{"200", "201", "202"} {
		os.WriteFile(filepath.Join(dir, secrets, "pbx-"+n), []byte("x\n"), 0o600)
	}
	if changed := write(t, dir); len(changed) != 3 {
		t.Errorf("changed %v", changed)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add("dock-3", "Tor \"3\" \\ ü", "203")
	f.Add("a", "\x7f\n", "")
	f.Add("dock-3", "T\xc3r", "203") // no UTF-8
	f.Fuzz(func(t *testing.T, id, name, number string) {
		text := "site = \"hall\"\n" + entry(Appliance{ID: id, Name: name, Number: number})
		if fault := (provision.Identity{Site: "x", ID: id, Name: name, Number: number}).Faults(); len(fault) > 0 {
			return
		}
		var got Site
		_, err := tomlfile.Decode("x", []byte(text), &got)
		if err != nil || len(got.Appliances) != 1 || got.Appliances[0].ID != id || got.Appliances[0].Name != name || got.Appliances[0].Number != number {
			t.Errorf("wrote %s\nread %+v, %v", text, got, err)
		}
	})
}
