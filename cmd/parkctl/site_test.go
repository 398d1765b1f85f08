package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
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
		{"site renew " + dir + " dock-7", exitDone, "a new key and certificate"},
		{"site renew " + dir + " dock-9", exitError, "has no appliance dock-9"},
		{"site card " + dir + "/appliances/dock-7", exitDone, "dock-7 of site hall, number 207."},
		{"site card " + dir, exitUsage, "site.toml: unknown file"},
		{"site", exitUsage, "want: parkctl site new|add"},
		{"site list " + dir + " --number 7", exitUsage, "--number belongs to site add, not to site list"},
	} {
		var out bytes.Buffer
		tool := tool{out: &out, err: &out, env: func(string) string { return "" }}
		if code := tool.run(context.Background(), strings.Fields(c.args)); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: code %d, want %d; printed %s\nwant %s", c.args, code, c.code, &out, c.want)
		}
	}
}
