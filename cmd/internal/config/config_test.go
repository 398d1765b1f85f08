package config

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/media/wav"
)

func TestReferenceIsCommitted(t *testing.T) {
	var now bytes.Buffer
	if err := Describe(&now); err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(now.Bytes(), committed) {
		t.Error("reference.toml is not what 'parkctl config describe' prints: run make generate")
	}
}

// What the reference says of WAV files is what is read.
func TestReferenceTellsOfWAV(t *testing.T) {
	text, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(strings.ReplaceAll(string(text), "\n# ", " "), wav.Taken); n != 2 {
		t.Errorf("it is told %d times that %s is taken; want it at music.file and audio.speech", n, wav.Taken)
	}
}

// The reference is a configuration: read back, it gives the defaults.
func TestReferenceCanBeRead(t *testing.T) {
	text, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	// The one key without a default.
	c, err := load(t, strings.Replace(string(text), "\nlisten = []\n", "\nlisten = [\"udp:127.0.0.1:5060\"]\n", 1))
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	if c.Lot.Timeout != d.Lot.Timeout || c.Panel.Listen != d.Panel.Listen || len(c.Lot.Orbits) != len(d.Lot.Orbits) {
		t.Errorf("the reference reads as %+v, want the defaults %+v", c, d)
	}
}

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	return read("dock.toml", []byte(text), (*faults).openFiles)
}

func TestValues(t *testing.T) {
	c, err := load(t, `
[appliance]
name = "dock-1"
number = "201"
[sip]
listen = ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"]
[lot]
orbits = ["801", "802"]
timeout = "2m"
[[lot.escalation]]
to = "sip:reception@192.0.2.9"
ring = "15s"
[dial.directory]
202 = "sip:202@192.0.2.2"
[[federation.peers]]
name = "dock-2"
address = "192.0.2.2:5060"
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.Lot.Timeout != 2*time.Minute || c.Lot.Escalation[0].Ring != 15*time.Second || c.Dial.Directory["202"] == "" ||
		c.Federation.Peers[0].Address.Port() != 5060 || c.Federation.Name != "dock-1" || c.Phone.Orbits[1] != "802" {
		t.Errorf("read %+v", c)
	}
}

// The lot says how long things take; the phone has no second opinion, and gives up after the lot would have answered.
func TestOneUndoWindow(t *testing.T) {
	c, err := load(t, "[sip]\nlisten = [\"udp:eth0:5060\"]\n[lot]\nundo_window = \"8s\"\nclaim_timeout = \"1m\"\nfetch_timeout = \"1m\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Phone.Undo != 8*time.Second || c.Phone.ParkTimeout <= c.Lot.ClaimTimeout || c.Phone.FetchTimeout <= c.Lot.FetchTimeout*5/4 {
		t.Errorf("the phone has %v, %v, %v", c.Phone.Undo, c.Phone.ParkTimeout, c.Phone.FetchTimeout)
	}
	if _, err := load(t, "[phone]\nundo = \"5s\"\n[sip]\nlisten = [\"udp:eth0:5060\"]\n"); err == nil {
		t.Error("phone.undo is a key")
	}
}

// Each fault names file, line, column, key, value and what is allowed.
func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "[appliance]\nnmae = \"x\"\n", `dock.toml:2:1: appliance.nmae: unknown key; did you mean "name"?`},
		{"unknown table", "[appliances]\n", `dock.toml:1:2: appliances: unknown key; did you mean "appliance"?`},
		{"unknown key far from any", "[dial]\nzzzzzzzz = 1\n", "dock.toml:2:1: dial.zzzzzzzz: unknown key; allowed here: directory"},
		{"wrong kind", "[appliance]\nname = 7\n", "dock.toml:2:1: appliance.name: 7 is not a text in quotes"},
		{"duration as number", "[lot]\ntimeout = 90\n", "dock.toml:2:1: lot.timeout: 90 is not a length of time"},
		{"out of range", "[lot]\ntimeout = \"1ms\"\n", "dock.toml:2:1: lot.timeout: 1ms: 1s to 24h0m0s"},
		{"text out of range", "[appliance]\nname = \"a b\"\n", `dock.toml:2:1: appliance.name: "a b": 1 to 63 letters`},
		{"list element", "[[lot.escalation]]\nto = \"sip:a@b\"\nring = \"1h\"\n", "dock.toml:3:1: lot.escalation[0].ring: 1h0m0s: 1s to 10m"},
		{"address", "[panel]\nlisten = \"localhost\"\n", `dock.toml:2:1: panel.listen: "localhost" is not an IP address with a port`},
		{"syntax", "[lot]\ntimeout = \n", "dock.toml:2:"},
		{"key twice", "[appliance]\nname = \"a\"\nname = \"b\"\n", "dock.toml:"},
		{"listen", "[sip]\nlisten = [\"udp:127.0.0.1:5060\", \"carrier-pigeon:1\"]\n", `dock.toml:2:1: sip.listen[1]: "carrier-pigeon:1"`},
		{"no listener", "[sip]\nlisten = []\n", "dock.toml:2:1: sip.listen: names no socket; write for example"},
		{"empty file", "", "dock.toml: sip.listen: names no socket"},
		{"table for a list", "[federation.peers]\nname = \"a\"\n", "dock.toml:1:13: federation.peers: is a list of tables; begin each with [[federation.peers]]"},
		{"missing key", "\n[[federation.peers]]\naddress = \"192.0.2.2:5060\"\n", `dock.toml:2:14: federation.peers[0].name: ""`},
		{"orbit with a star", "[lot]\norbits = [\"*1\"]\n", `dock.toml:2:1: lot.orbits[0]: "*1": each is one number of 1 to 16 digits`},
		{"srtp without TLS", "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n\n[calls]\nsrtp = \"required\"\n", `dock.toml:5:1: calls.srtp: "required": no call could be had`},
		{"srtp of an account without TLS", "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[[registration.accounts]]\naor = \"sip:a@b\"\ntransport = \"udp\"\nsrtp = \"required\"\n",
			`dock.toml:6:1: registration.accounts[0].srtp: "required": no call could be had: keys need TLS, and transport is "udp"`},
		{"unknown board", "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[board]\nmodel = \"rpi-5\"\n", `dock.toml:4:1: board.model: "rpi-5" is not one of auto, `},
		{"more sessions than ports", "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[media]\nport_min = 20001\nport_max = 20100\nmax_sessions = 60\n",
			`dock.toml:6:1: media.max_sessions: 60: 49 is allowed, as the ports 20001 to 20100`},
		{"SIP among the RTP ports", "[sip]\nlisten = [\"udp:eth0:5060\"]\n[media]\nport_min = 5000\n", `dock.toml:4:1: media.port_min: the RTP ports 5000 to 20999 hold the port of sip.listen[0] = "udp:eth0:5060"`},
		{"SIP among the usual RTP ports", "[sip]\nlisten = [\"tcp:127.0.0.1:20500\", \"udp:[::1]:20500\"]\n", `dock.toml:2:1: sip.listen[1]: the RTP ports 20000 to 20999 hold`},
		{"unknown key of three letters", "[foo]\na = 1\n", "dock.toml:1:2: foo: unknown key; allowed here: access, "},
		{"directory", "[dial.directory]\n202 = \"dock-2\"\n", `dock.toml:2:1: dial.directory.202: "dock-2": want a SIP URI`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.text)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %q\n want %q", err, c.want)
			} else if strings.Count(err.Error(), "board.") > 1 {
				t.Errorf("twice: %q", err)
			}
		})
	}
}

// A narrow range of RTP ports alone is right: it bounds the sessions.
func TestNarrowPorts(t *testing.T) {
	if _, err := load(t, "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[media]\nport_max = 20099\n"); err != nil {
		t.Error(err)
	}
}

// A relative name is that of a file beside the configuration, for every key that names one.
func TestRelativeNames(t *testing.T) {
	keys := map[string]func(Config) string{
		"sip.tls_cert": func(c Config) string { return c.SIP.TLSCert }, "sip.tls_key": func(c Config) string { return c.SIP.TLSKey },
		"sip.tls_ca": func(c Config) string { return c.SIP.TLSCA }, "sip.site_ca": func(c Config) string { return c.SIP.SiteCA },
		"access.password_file": func(c Config) string { return c.Access.PasswordFile }, "journal.path": func(c Config) string { return c.Journal.Path },
		"board.file": func(c Config) string { return c.Board.File }, "music.file": func(c Config) string { return c.Music.File },
		"audio.speech": func(c Config) string { return c.Audio.Speech }, "panel.socket": func(c Config) string { return c.Panel.Socket },
		"selftest.reports": func(c Config) string { return c.SelfTest.Reports }, "selftest.key": func(c Config) string { return c.SelfTest.Key },
		"selftest.certificate": func(c Config) string { return c.SelfTest.Certificate },
	}
	text := "sip.listen = [\"tls:127.0.0.1:5061\"]\n"
	for key := range keys {
		text += fmt.Sprintf("%s = \"files/x\"\n", key)
	}
	text += "[[registration.accounts]]\naor = \"sip:a@example.net\"\npassword_file = \"files/x\"\n"
	c, err := read("/site/dock.toml", []byte(text), func(*faults, Config) {})
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range keys {
		if got := value(c); got != "/site/files/x" {
			t.Errorf("%s = %q", key, got)
		}
	}
	if got := c.Registration.Accounts[0].PasswordFile; got != "/site/files/x" {
		t.Errorf("registration.accounts[0].password_file = %q", got)
	}
	if c, err = read("/site/dock.toml", []byte("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[journal]\npath = \"\"\n[panel]\nsocket = \"@x\"\n"), func(*faults, Config) {}); err != nil ||
		c.Journal.Path != "" || c.Panel.Socket != "@x" || c.SelfTest.Reports != Default().SelfTest.Reports {
		t.Errorf("%v: journal %q, reports %q: want what is empty or begins with / as it is", err, c.Journal.Path, c.SelfTest.Reports)
	}
	if c, err = read("dock.toml", []byte("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[journal]\npath = \"calls\"\n"), func(*faults, Config) {}); err != nil || !filepath.IsAbs(c.Journal.Path) {
		t.Errorf("%v: journal %q", err, c.Journal.Path)
	}
	// What names a file and is missing above would be looked for in the working directory.
	reference, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^#? ?((?:PEM |WAV )?[Ff](?:ile|older) |Unix socket |Board definition )`).FindAllIndex(reference, -1) {
		rest := string(reference[m[0]:])
		key := regexp.MustCompile(`(?m)^(?:# )?([a-z_]+) = `).FindStringSubmatch(rest)[1]
		if !strings.Contains(fmt.Sprint(slices.Collect(maps.Keys(keys))), "."+key) {
			t.Errorf("%s names a file and is not beside the configuration", key)
		}
	}
}

func TestAllFaultsAtOnceInOrder(t *testing.T) {
	_, err := load(t, "[appliance]\nb = 1\na = 1\n[lot]\ntimeout = 5\n[sip]\nlisten = [\"udp:eth0:5060\"]\n")
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "appliance.b") || !strings.Contains(lines[2], "lot.timeout") {
		t.Errorf("errors %q, want all three in the order of the file", lines)
	}
}

// A value that another section takes over is complained about once.
func TestFaultOnce(t *testing.T) {
	for _, text := range []string{"[appliance]\nname = \"a b\"\n", "[lot]\norbits = [\"abc\"]\n"} {
		if _, err := load(t, text+"[sip]\nlisten = [\"udp:eth0:5060\"]\n"); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want one line", text, err)
		}
	}
}

// Everything that is wrong is told at once: each value of each section, and each file that cannot be used.
func TestEveryFault(t *testing.T) {
	dir := t.TempDir()
	noWAV, empty, noPEM := filepath.Join(dir, "music.wav"), filepath.Join(dir, "empty"), filepath.Join(dir, "cert.pem")
	for name, text := range map[string]string{noWAV: "this is no WAV", empty: "", noPEM: "this is no certificate"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := load(t, strings.NewReplacer("NOWAV", noWAV, "EMPTY", empty, "NOPEM", noPEM, "MISSING", filepath.Join(dir, "missing")).Replace(`
[appliance]
name = "a b"
number = ""
log_level = "loud"
[sip]
listen = ["udp:192.0.2.1:0", "tls:192.0.2.1:5061"]
tls_cert = "NOPEM"
tls_key = "NOPEM"
[access]
password_file = "MISSING"
trusted = ["224.0.0.1"]
[dial.directory]
202 = "sip:"
203 = "x"
204 = "sip:204@192.0.2.4"
[lot]
timeout = "1ms"
fetch_timeout = "1h"
recall_refused = "never"
[[lot.escalation]]
to = "the boss"
ring = "15s"
[[lot.escalation]]
to = "sip:a@b"
ring = "1h"
[[lot.escalation]]
to = "sip:a@b"
ring = "2h"
[phone]
dial_plan = []
[music]
file = "NOWAV"
level_dbfs = 5
[board]
file = "NOWAV"
[audio]
speech = "MISSING"
[audio.handset]
output = "up"
input = "both"
mic_gain = 31
[audio.speaker]
sidetone = -3
[[registration.accounts]]
aor = "sip:a@b"
password_file = "EMPTY"
[[registration.accounts]]
aor = "nobody"
[[federation.peers]]
name = "dock-2"
address = "0.0.0.0:5060"
[[federation.peers]]
name = "dock-3"
address = "224.0.0.1:5060"
`))
	if err == nil {
		t.Fatal("no error")
	}
	var got []string
	for line := range strings.Lines(err.Error()) {
		_, rest, _ := strings.Cut(line, ": ")
		key, _, _ := strings.Cut(rest, ": ")
		got = append(got, key)
	}
	want := []string{"appliance.name", "appliance.number", "appliance.log_level", "sip.listen[0]", "sip.tls_cert", "access.password_file",
		"access.trusted[0]", "dial.directory.202", "dial.directory.203", "lot.timeout", "lot.fetch_timeout", "lot.recall_refused",
		"lot.escalation[0].to", "lot.escalation[1].ring", "lot.escalation[2].ring", "phone.dial_plan", "music.file", "music.level_dbfs",
		"board.file", "audio.speech", "audio.handset.output", "audio.handset.input", "audio.handset.mic_gain", "audio.speaker.sidetone", "registration.accounts[0].password_file", "registration.accounts[1].aor", "federation.peers[0].address",
		"federation.peers[1].address"}
	if !slices.Equal(got, want) {
		t.Errorf("complains about\n%q\nwant\n%q\n%v", got, want, err)
	}
	if strings.Contains(err.Error(), "this is no") {
		t.Errorf("shows what is in a file: %v", err)
	}
}

// Each entry of a list tells all that is wrong with it, and all entries do, also those that are wrong only beside another.
func TestEveryFaultOfAnEntry(t *testing.T) {
	_, err := load(t, `[sip]
listen = ["udp:192.0.2.1:5060"]
[lot]
orbits = ["7o1", "702", "x", "702", "703"]
recall_refused = "never"
[[lot.escalation]]
to = ""
ring = "1h"
[[lot.escalation]]
to = "sip:a@b"
ring = "1h"
[[registration.accounts]]
aor = "nobody"
registrar = "pbx"
proxy = "proxy"
transport = "pigeon"
srtp = "perhaps"
expires = "1s"
keep_alive = "1s"
[[registration.accounts]]
aor = "sip:a@b"
[[registration.accounts]]
aor = "sip:a@b"
expires = "1s"
[[federation.peers]]
name = "a b"
srtp = "perhaps"
[[federation.peers]]
name = "dock-2"
address = "192.0.2.2:0"
[[federation.peers]]
name = "dock-3"
address = "192.0.2.3:5060"
[[federation.peers]]
name = "dock-2"
address = "192.0.2.3:5060"
srtp = "required"
[federation]
dead_after = "1ms"
`)
	want := []string{"4:1: lot.orbits[0]", "4:1: lot.orbits[2]", "4:1: lot.orbits[3]", "5:1: lot.recall_refused", "7:1: lot.escalation[0].to",
		"8:1: lot.escalation[0].ring", "11:1: lot.escalation[1].ring", "13:1: registration.accounts[0].aor", "14:1: registration.accounts[0].registrar",
		"15:1: registration.accounts[0].proxy", "16:1: registration.accounts[0].transport", "17:1: registration.accounts[0].srtp",
		"18:1: registration.accounts[0].expires", "19:1: registration.accounts[0].keep_alive", "23:1: registration.accounts[2].aor",
		"24:1: registration.accounts[2].expires", "25:14: federation.peers[0].address", "26:1: federation.peers[0].name", "27:1: federation.peers[0].srtp",
		"30:1: federation.peers[1].address", "35:1: federation.peers[3].name", "36:1: federation.peers[3].address", "37:1: federation.peers[3].srtp",
		"39:1: federation.dead_after"}
	var got []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		parts := strings.SplitN(strings.TrimPrefix(line, "dock.toml:"), ": ", 3)
		got = append(got, strings.Join(parts[:min(2, len(parts))], ": "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("complains about\n%q\nwant\n%q\n%v", got, want, err)
	}
}

// A key has one line, however many files are behind it.
func TestOneLineForAKey(t *testing.T) {
	_, err := load(t, "[sip]\nlisten = [\"udp:192.0.2.1:5060\"]\ntls_cert = \"missing.crt\"\ntls_key = \"missing.key\"\n")
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "missing.crt: no such file or directory; stat ") {
		t.Errorf("%v", err)
	}
}

// A phone keeps its accounts and orbits when it lacks no more than a piece of music; whoever checks the file hears of it.
func TestLoadWithoutComforts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dock.toml")
	for text, needed := range map[string]bool{"[music]\nfile = 'none.wav'\n": false, "[audio]\nspeech = 'dock.toml'\n": false, "[board]\nfile = 'none.toml'\n": true,
		"[access]\npassword_file = 'none'\n": true} {
		if err := os.WriteFile(path, []byte("[sip]\nlisten = ['udp:127.0.0.1:5060']\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Check(path); err == nil {
			t.Errorf("%q is right", text)
		}
		if c, err := Load(path); (err != nil) != needed || !needed && len(c.SIP.Listen) != 1 {
			t.Errorf("%q: starts with %v, %v", text, c.SIP.Listen, err)
		}
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"))
	if err == nil || !strings.Contains(err.Error(), "none.toml") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[appliance]\nname = \"dock-1\"\n")
	f.Add("[[lot.escalation]]\nto = \"sip:a@b\"\nring = \"15s\"\n")
	f.Add("a = {b = [1, {c = 2}], d.e = 3}\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = read("fuzz.toml", []byte(text), (*faults).openFiles) // an error or a configuration, no panic
	})
}
