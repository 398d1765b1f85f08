package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"parklamp/board/spelling"
	"parklamp/cmd/internal/initapi"
)

// command is one subcommand: its name, what it takes, and what it does.
type command struct {
	name string
	args string // as in the usage, for people
	least,
	most int // arguments
	options []string // names
	about   string
	example string // what follows parkctl
	do      func(t *tool, ctx context.Context, args []string) error
}

// atPanel are the options of a command that asks an appliance and has none besides.
var atPanel = []string{"at"}

// commands in the order of the usage. A name of two words has two words; it stands before the name of its first word.
var commands = []command{
	{"status", "", 0, 0, []string{"counters", "at"}, "who the appliance is, what it does and what ails it; or every counter with its meaning", "status --counters", (*tool).status},
	{"orbits", "", 0, 0, atPanel, "who is parked where, since when and by whom", "orbits", (*tool).orbits},
	{"calls", "", 0, 0, atPanel, "the calls on this appliance and their sound", "calls", (*tool).calls},
	{"lamps", "", 0, 0, atPanel, "every lamp with its colour and cadence", "lamps", (*tool).lamps},
	{"watch", "", 0, 0, atPanel, "print changes as they come, until interrupted", "watch", (*tool).watch},
	{"press", "KEY [down|up|tap|long]", 1, 2, atPanel, "press a key: park, hold, 5, 701 (an orbit key); tap is the default", "press 701", (*tool).press},
	{"hook", "up|down", 1, 1, atPanel, "lift or replace the handset", "hook up", (*tool).hook},
	{"dial", "DIGITS", 1, 1, atPanel, "press digit keys one after another", "dial 202", (*tool).dial},
	{"selftest verify", "FILE --ca CA.CRT", 1, 1, []string{"ca"}, "check the signature of a self test's report, and print it", "selftest verify report.json --ca hall/ca.crt", (*tool).testVerify},
	{"selftest reports", "[NAME]", 0, 1, []string{"out", "at"}, "the reports that the appliance keeps; or print one, or copy it", "selftest reports selftest-20261122T120000000Z.json --out report.json", (*tool).testReports},
	{"selftest", "", 0, 0, []string{"steps", "force", "out", "at"}, "walk through lamps, keys, hook, sound, network, disk and clock, and write a signed report", "selftest --steps lamps,keys --out report.json", (*tool).selfTest},
	{"board check", "MODEL|FILE", 1, 1, nil, "say which lines and chips of a board definition this machine lacks", "board check auto", (*tool).boardCheck},
	{"board wiring", "MODEL|FILE [OUT.svg]", 1, 2, nil, "print where every key, lamp and the hook are wired, or draw the sheet for it", "board wiring rpi-4 rpi-4.svg", (*tool).boardWiring},
	{"site new", "FOLDER", 1, 1, []string{"name"}, "make the folder of a site: its file, its authority, its key for updates", "site new hall", (*tool).siteNew},
	{"site add", "FOLDER ID", 2, 2, []string{"address", "name", "number", "board"}, "add an appliance to the site", `site add hall dock-7 --address 192.0.2.7 --name "Gate 7"`, (*tool).siteAdd},
	{"site write", "FOLDER", 1, 1, nil, "make every appliance's files from site.toml", "site write hall", (*tool).siteWrite},
	{"site list", "FOLDER", 1, 1, nil, "the appliances of the site and their certificates", "site list hall", (*tool).siteList},
	{"site check", "FOLDER", 1, 1, nil, "say what is wrong with the folder of a site", "site check hall", (*tool).siteCheck},
	{"site renew", "FOLDER ID", 2, 2, nil, "give an appliance a new key and certificate", "site renew hall dock-7", (*tool).siteRenew},
	{"site card", "FOLDER", 1, 1, nil, "say what is wrong with the folder parklamp of a card", "site card /media/boot/parklamp", (*tool).siteCard},
	{"update", "FILE|URL|status", 1, 1, []string{"anyway", "at", "now"}, "install a signed bundle here or on another appliance, or say how far that is", "update out/image/rpi/rpi-v1.2.bundle --at 192.0.2.7:8080", (*tool).update},
	{"bundle", "FOLDER KEY [FILE]", 2, 3, []string{"min-version", "downgrade-from"}, "make a signed bundle of out/image/BOARD", "bundle out/image/rpi hall/update.key", (*tool).bundle},
	{"restart", "[phone|appliance]", 0, 1, []string{"now"}, "start the phone's program, or the whole appliance, anew when nobody talks; who is parked waits on", "restart phone", (*tool).restart},
	{"config describe", "", 0, 0, nil, "print every configuration key with its default and meaning", "config describe", (*tool).configDescribe},
	{"config check", "FILE", 1, 1, nil, "say what is wrong with a configuration file", "config check parklamp.toml", (*tool).configCheck},
}

// option is one option of a command.
type option struct{ value, about string } // no value: it is there or not

var options = map[string]option{
	"counters":       {"", "every counter with its meaning"},
	"ca":             {"CA.CRT", "ca.crt of the site's folder"},
	"out":            {"FILE", "where the report goes; its signature goes to FILE.jws"},
	"steps":          {"A,B", "these alone: lamps, keys, hook, tones, microphone, loop, network, disk, clock"},
	"force":          {"", "also while callers are parked here; they notice nothing"},
	"name":           {"TEXT", "name for people; of a site, its name where that is not the folder's"},
	"address":        {"IP", "where the other appliances find it"},
	"number":         {"N", "extension of its phone; else the one after the greatest"},
	"board":          {"MODEL|FILE", "its board, or a definition in the folder; else it finds out"},
	"at":             {"HOST[:PORT]", "the panel of another appliance, in place of --socket"},
	"now":            {"", "does not wait for calls to end: they are lost"},
	"anyway":         {"", "also an update that will hardly be kept, as the appliance is not healthy now"},
	"min-version":    {"V", "an appliance that runs no release, or an older one than V, refuses it"},
	"downgrade-from": {"V", "an appliance that runs V takes it although it is older"},
}

// notes are what --help says besides, by the name of a command.
var notes = map[string]string{
	"calls": `  For a call that lasts:
  OUT IN    packets sent and received; LOST did not come, LATE came too late to be played
  JITTER    how unevenly they come (RFC 3550); R 0 to 100 and MOS 1 to 5 rate what is heard here (ITU-T G.107)
  THERE     the MOS at the far end, as its reports say; TRIP the time to the far end and back
  Of the last calls a line tells what was HEARD here and one there, as the far end's reports say; LOST and LATE are
  percent of the sound.
`,
}

const globalOptions = `
  --json         print JSON for programs
  --socket PATH  of the appliance; else $PARKLAMP_SOCKET, else ` + initapi.PhonedSocket + "\n" +
	"  --at HOST      ask the panel of another appliance instead, at HOST or HOST:PORT, where its panel.listen is open\n"

func (t *tool) usage(w io.Writer) {
	fmt.Fprint(w, "usage: parkctl [--json] [--socket PATH | --at HOST[:PORT]] COMMAND\n       parkctl --version\n\n")
	rows := make([][]cell, len(commands))
	for i, c := range commands {
		rows[i] = []cell{{text: "  " + strings.TrimSpace(c.name+" "+c.args)}, {text: c.about}}
	}
	t.table(w, rows)
	fmt.Fprint(w, globalOptions, "\nparkctl COMMAND --help tells its options and has an example.\n")
}

// help tells of the commands whose names begin with words, or of all of them.
func (t *tool) help(words []string) error {
	if len(words) == 0 {
		t.usage(t.out)
		return nil
	}
	wanted := commands
	if c, _ := commandOf(words); c != nil && len(words) > 1 {
		wanted = []command{*c}
	}
	found := 0
	for _, c := range wanted {
		if name := strings.Fields(c.name); name[0] != words[0] {
			continue
		}
		if found++; found > 1 {
			fmt.Fprintln(t.out)
		}
		fmt.Fprintf(t.out, "parkctl %s: %s\n", c.usage(), c.about)
		var rows [][]cell
		for _, o := range c.options {
			rows = append(rows, []cell{{text: "  " + strings.TrimSpace("--"+o+" "+options[o].value)}, {text: options[o].about}})
		}
		t.table(t.out, rows)
		fmt.Fprint(t.out, notes[c.name])
		fmt.Fprintf(t.out, "  for example: parkctl %s\n", c.example)
	}
	if found == 0 {
		return unknown(words)
	}
	return nil
}

// usage is the command with its arguments.
func (c *command) usage() string {
	text := strings.TrimSpace(c.name + " " + c.args)
	for _, o := range c.options {
		if strings.Contains(c.args, "--"+o+" ") {
			continue // it must be there
		}
		text += " [" + strings.TrimSpace("--"+o+" "+options[o].value) + "]"
	}
	return text
}

// commandOf is the command that words begin with, nil if there is none, and its arguments.
func commandOf(words []string) (*command, []string) {
	for i, c := range commands {
		name := strings.Fields(c.name)
		if len(words) >= len(name) && slices.Equal(words[:len(name)], name) {
			return &commands[i], words[len(name):]
		}
	}
	return nil, nil
}

// isGroup says whether other commands begin with the name of this one.
func (c *command) isGroup() bool {
	return slices.ContainsFunc(commands, func(o command) bool { return strings.HasPrefix(o.name, c.name+" ") })
}

// unknown says which command was probably meant.
func unknown(words []string) error {
	var names, group []string
	for _, c := range commands {
		names = append(names, c.name)
		first, second, _ := strings.Cut(c.name, " ")
		names = append(names, first)
		if first == words[0] && second != "" {
			group = append(group, second)
		}
	}
	typed := words[0]
	if len(group) > 0 && len(words) > 1 {
		typed += " " + words[1]
	}
	near := spelling.Near(names, typed)
	switch {
	case len(group) > 0 && len(words) == 1:
		return usagef("want: parkctl %s %s", words[0], strings.Join(group, "|"))
	case near != "":
		return usagef("unknown command %q; did you mean %q?", typed, near)
	case len(group) > 0:
		return usagef("unknown command %q; want: parkctl %s %s", typed, words[0], strings.Join(group, "|"))
	}
	return usagef("unknown command %q", typed)
}

// takes complains of an option that a command does not take.
func (c *command) takes(given []string) error {
	for _, o := range given {
		if _, own := options[o]; !own || slices.Contains(c.options, o) {
			continue
		}
		if o == "at" {
			if c.name == "restart" {
				return usagef("--at: no panel restarts anything for whoever reaches it: run parkctl restart on the appliance, or switch it off and on")
			}
			return usagef("--at: %s does not ask an appliance", c.name)
		}
		var of []string
		for _, other := range commands {
			if slices.Contains(other.options, o) {
				of = append(of, other.name)
			}
		}
		return usagef("--%s belongs to %s, not to %s", o, strings.Join(of, " and "), c.name)
	}
	return nil
}
