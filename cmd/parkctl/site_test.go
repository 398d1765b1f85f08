package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parklamp/cmd/internal/config"
)

func TestSite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hall")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"site list " + dir, exitUsage, "'parkctl site new FOLDER' makes one"},
		{"site new " + dir, exitDone, "Site hall is in"},
		{"site new " + dir, exitError, "is there already"},
		{"site add " + dir + " dock-7 --address 192.0.2.7 --number 207", exitDone, "Written for dock-7."},
		{"site add " + dir + " dock-8 --address 192.0.2", exitUsage, `--address "192.0.2": want an IP address`},
		{"site add " + dir + " dock-8 --address 192.0.2.8 --board rpi-4", exitDone, "dock-8 has number 208.\nWritten for dock-7, dock-8."},
		{"site add " + dir + " dock-8", exitUsage, "is there already"},
		{"site write " + dir, exitDone, "Nothing has changed."},
		{"site list " + dir, exitDone, "dock-8  208"},
		{"--json site list " + dir, exitDone, `"Address":"192.0.2.8"`},
		{"site check " + dir, exitDone, "is right: 2 appliances."},
		{"site add " + dir + " dock-9", exitDone, "dock-9 has number 209.\nwarning: dock-9 has no address: the others cannot see what it parks, nor call it\n"},
		{"site write " + dir, exitDone, "warning: dock-9 has no address"},
		{"site renew " + dir + " dock-7", exitDone, "a new key and certificate"},
		{"site renew " + dir + " dock-7", exitDone, "Written for dock-7. An appliance that runs knows it when its card has it"},
		{"config check " + dir + "/appliances/dock-7/phoned.toml", exitUsage, "parkctl site card " + dir + "/appliances/dock-7 checks it as that will"},
		{"site renew " + dir + " dock-10", exitError, "has no appliance dock-10"},
		{"site card " + dir + "/appliances/dock-7", exitDone, "dock-7 of site hall, number 207."},
		{"site card " + dir, exitUsage, "site.toml: unknown file"},
		{"site", exitUsage, "want: parkctl site new|add"},
		{"site list " + dir + " --number 7", exitUsage, "--number belongs to site add, not to site list"},
	} {
		var out bytes.Buffer
		tool := tool{out: &out, err: &out, env: func(string) string { return "" }, check: config.Check}
		if code := tool.run(context.Background(), strings.Fields(c.args)); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: code %d, want %d; printed %s\nwant %s", c.args, code, c.code, &out, c.want)
		}
	}
}

// A site may be renamed: its folder stays usable, and who looks at a card is told of the two names.
func TestRenamedSite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hall")
	run := func(args string, want ...string) {
		t.Helper()
		var out bytes.Buffer
		tool := tool{out: &out, err: &out, env: func(string) string { return "" }}
		code := tool.run(context.Background(), strings.Fields(args))
		for _, w := range want {
			if code != exitDone || !strings.Contains(out.String(), w) {
				t.Errorf("%s: code %d; printed %s\nwant %s", args, code, &out, w)
			}
		}
	}
	run("site new "+dir, "Site hall is in")
	run("site add "+dir+" dock-7 --address 192.0.2.7", "Written for dock-7.")
	path := filepath.Join(dir, "site.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	renamed := bytes.Replace(text, []byte(`"hall"`), []byte(`"lager"`), 1)
	if bytes.Equal(text, renamed) {
		t.Fatalf("site.toml does not name the site:\n%s", text)
	}
	if err := os.WriteFile(path, renamed, 0o644); err != nil {
		t.Fatal(err)
	}
	run("site write "+dir, "Written for dock-7.")
	run("site check "+dir, "is right: 1 appliances.")
	run("site card "+dir+"/appliances/dock-7", "warning: site.crt was made for site hall", "dock-7 of site lager")
}
