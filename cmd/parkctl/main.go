// Parkctl is the tool of the technician and the administrator: it shows an
// appliance, presses its keys, watches it live, checks its configuration, and
// keeps the folder of a site on the desk.
//
// It talks to the appliance's unix socket in the HTTP API of parkd/panel and
// keeps nothing. Its tables are for people, with colour on a terminal alone;
// with --json it prints what the appliance said, for programs. Exit codes: 0
// done, 1 could not be done, 2 the command or the configuration file is wrong.
// It starts no goroutines besides those of net/http.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/client"
	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/initapi"
	"parklamp/parkd/panel"
)

var version = "unversioned" // set by the linker

// Exit codes.
const (
	exitDone  = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	_, notTerminal := unix.IoctlGetTermios(int(os.Stdout.Fd()), unix.TCGETS)
	t := tool{
		out: os.Stdout, err: os.Stderr, env: os.Getenv,
		colour:     notTerminal == nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		retry:      time.Second,
		initSocket: initapi.Socket,
		describe:   config.Describe, check: config.Check,
	}
	code := t.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// errUsage: the command line is wrong; what is wrong has been printed.
var errUsage = errors.New("usage")

// tool is one call of parkctl.
type tool struct {
	out, err io.Writer
	env      func(string) string
	colour   bool          // out is a terminal that shows colours
	retry    time.Duration // before watch asks an appliance again that stopped
	describe func(io.Writer) error
	check    func(path string) error

	json   bool
	socket string
	count  bool
	show   bool // the version
	site   siteFlags
	test   testFlags
	up     updateFlags

	initSocket string // of the first process of an image
}

// command is one subcommand: its name, what it takes, and what it does.
type command struct {
	name string
	args string // as in the usage, for people
	least,
	most int // arguments
	about string
	do    func(t *tool, ctx context.Context, args []string) error
}

// commands in the order of the usage. A name of two words has two words.
var commands = []command{
	{"status", "[--counters]", 0, 0, "who the appliance is, what it does and what ails it; or every counter with its meaning", (*tool).status},
	{"orbits", "", 0, 0, "who is parked where, since when and by whom", (*tool).orbits},
	{"calls", "", 0, 0, "the calls on this appliance and their sound", (*tool).calls},
	{"lamps", "", 0, 0, "every lamp with its colour and cadence", (*tool).lamps},
	{"watch", "", 0, 0, "print changes as they come, until interrupted", (*tool).watch},
	{"press", "KEY [down|up|tap|long]", 1, 2, "press a key: park, hold, 5, 701 (an orbit key); tap is the default", (*tool).press},
	{"hook", "up|down", 1, 1, "lift or replace the handset", (*tool).hook},
	{"dial", "DIGITS", 1, 1, "press digit keys one after another", (*tool).dial},
	{"selftest verify", "FILE --ca CA.CRT", 1, 1, "check the signature of a self test's report, and print it", (*tool).testVerify},
	{"selftest reports", "[NAME] [--out FILE]", 0, 1, "the reports that the appliance keeps; or print one, or copy it", (*tool).testReports},
	{"selftest", "[--steps A,B] [--force] [--out FILE]", 0, 0, "walk through lamps, keys, hook, sound, network, disk and clock, and write a signed report", (*tool).selfTest},
	{"board check", "MODEL|FILE", 1, 1, "say which lines and chips of a board definition this machine lacks", (*tool).boardCheck},
	{"board wiring", "MODEL|FILE [OUT.svg]", 1, 2, "print where every key, lamp and the hook are wired, or draw the sheet for it", (*tool).boardWiring},
	{"site new", "FOLDER [--name SITE]", 1, 1, "make the folder of a site: its file, its authority, its key for updates", (*tool).siteNew},
	{"site add", "FOLDER ID [--address IP]", 2, 2, "add an appliance to the site; also --name TEXT, --number N, --board MODEL", (*tool).siteAdd},
	{"site write", "FOLDER", 1, 1, "make every appliance's files from site.toml", (*tool).siteWrite},
	{"site list", "FOLDER", 1, 1, "the appliances of the site and their certificates", (*tool).siteList},
	{"site check", "FOLDER", 1, 1, "say what is wrong with the folder of a site", (*tool).siteCheck},
	{"site renew", "FOLDER ID", 2, 2, "give an appliance a new key and certificate", (*tool).siteRenew},
	{"site card", "FOLDER", 1, 1, "say what is wrong with the folder parklamp of a card", (*tool).siteCard},
	{"update", "FILE|URL|status [--at HOST:PORT] [--now]", 1, 1, "install a signed bundle here, or on the appliance of that panel; --now does not wait for calls to end", (*tool).update},
	{"bundle", "FOLDER KEY [FILE]", 2, 3, "make a signed bundle of out/image/BOARD; also --min-version V, --downgrade-from V", (*tool).bundle},
	{"config describe", "", 0, 0, "print every configuration key with its default and meaning", (*tool).configDescribe},
	{"config check", "FILE", 1, 1, "say what is wrong with a configuration file", (*tool).configCheck},
}

const defaultSocket = "/run/parklamp/phoned.sock"

func (t *tool) usage(w io.Writer) {
	fmt.Fprint(w, "usage: parkctl [--json] [--socket PATH] COMMAND\n       parkctl --version\n\n")
	rows := make([][]cell, len(commands))
	for i, c := range commands {
		rows[i] = []cell{{text: "  " + strings.TrimSpace(c.name+" "+c.args)}, {text: c.about}}
	}
	t.table(w, rows)
	fmt.Fprintf(w, "\n  --json         print JSON for programs\n  --socket PATH  of the appliance; else $PARKLAMP_SOCKET, else %s\n", defaultSocket)
}

// run carries out one command line and returns the exit code.
func (t *tool) run(ctx context.Context, args []string) int {
	err := t.dispatch(ctx, args)
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitDone
	case errors.Is(err, flag.ErrHelp):
		t.usage(t.out)
		return exitDone
	case errors.Is(err, errUsage):
		fmt.Fprintf(t.err, "parkctl: %v\nTry parkctl --help.\n", strings.TrimPrefix(err.Error(), "usage: "))
		return exitUsage
	case errors.As(err, new(configError)):
		fmt.Fprintln(t.err, err)
		return exitUsage
	}
	fmt.Fprintf(t.err, "parkctl: %v\n", err)
	return exitError
}

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
}

func (t *tool) dispatch(ctx context.Context, args []string) error {
	words, err := t.parse(args)
	if err != nil {
		return err
	}
	if t.show {
		fmt.Fprintln(t.out, "parkctl", version)
		return nil
	}
	if len(words) == 0 {
		return usagef("no command")
	}
	if words[0] == "help" {
		return flag.ErrHelp
	}
	for _, c := range commands {
		name := strings.Fields(c.name)
		if len(words) < len(name) || !slices.Equal(words[:len(name)], name) {
			continue
		}
		rest := words[len(name):]
		if t.count && c.name != "status" {
			return usagef("--counters belongs to status")
		}
		if err := t.test.belongs(c.name); err != nil {
			return err
		}
		if t.up != (updateFlags{}) && c.name != "update" && c.name != "bundle" {
			return usagef("--now and --at belong to update, --min-version and --downgrade-from to bundle")
		}
		if t.site != (siteFlags{}) && c.name != "site add" && (c.name != "site new" || t.site != (siteFlags{name: t.site.name})) {
			return usagef("--name, --number, --address and --board belong to site add")
		}
		if len(rest) < c.least || len(rest) > c.most {
			return usagef("want: parkctl %s", strings.TrimSpace(c.name+" "+c.args))
		}
		return c.do(t, ctx, rest)
	}
	switch words[0] {
	case "config":
		return usagef("want: parkctl config describe, or parkctl config check FILE")
	case "site":
		return usagef("want: parkctl site new, add, write, list, check, renew or card")
	case "board":
		return usagef("want: parkctl board check MODEL, or parkctl board wiring MODEL")
	}
	return usagef("unknown command %q", words[0])
}

// parse takes the flags out of args, wherever they stand.
func (t *tool) parse(args []string) (words []string, err error) {
	flags := flag.NewFlagSet("parkctl", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&t.json, "json", false, "")
	flags.BoolVar(&t.count, "counters", false, "")
	flags.BoolVar(&t.show, "version", false, "")
	flags.BoolVar(&t.test.force, "force", false, "")
	for name, value := range map[string]*string{"steps": &t.test.steps, "out": &t.test.out, "ca": &t.test.ca} {
		flags.StringVar(value, name, "", "")
	}
	for name, value := range map[string]*string{"name": &t.site.name, "number": &t.site.number, "address": &t.site.address, "board": &t.site.board} {
		flags.StringVar(value, name, "", "")
	}
	flags.BoolVar(&t.up.now, "now", false, "")
	for name, value := range map[string]*string{"at": &t.up.at, "min-version": &t.up.minVersion, "downgrade-from": &t.up.downgradeFrom} {
		flags.StringVar(value, name, "", "")
	}
	flags.StringVar(&t.socket, "socket", t.env("PARKLAMP_SOCKET"), "")
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, usagef("%s", optionText(err))
		}
		if args = flags.Args(); len(args) == 0 {
			break
		}
		words, args = append(words, args[0]), args[1:]
	}
	if t.socket == "" {
		t.socket = defaultSocket
	}
	return words, nil
}

// optionText says what is wrong with an option as it is written: with two hyphens.
func optionText(err error) string {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		return fmt.Sprintf("there is no option --%s", name)
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return fmt.Sprintf("--%s: its value is missing", name)
	}
	return err.Error()
}

func (t *tool) press(ctx context.Context, args []string) error {
	key, action := args[0], panel.Tap
	if len(args) == 2 {
		action = panel.Action(args[1])
		if !slices.Contains([]panel.Action{panel.Down, panel.Up, panel.Tap, panel.Long}, action) {
			return usagef("press %s %s: want down, up, tap or long", key, args[1])
		}
	}
	if len(key) > 1 && strings.Trim(key, "0123456789") == "" {
		key = "orbit-" + key
	}
	c := client.Socket(t.socket)
	err := c.Post(ctx, "press", map[string]any{"key": key, "action": action})
	if r := (*client.Refusal)(nil); !errors.As(err, &r) || r.Code != http.StatusNotFound {
		return err
	}
	// The keys that there are help more than the one that is not.
	s, statusErr := c.Status(ctx)
	if statusErr != nil || len(s.Keys) == 0 {
		return err
	}
	names := make([]string, len(s.Keys))
	for i, k := range s.Keys {
		names[i] = k.ID
	}
	return fmt.Errorf("no key %q; the keys are %s", key, strings.Join(names, " "))
}

func (t *tool) hook(ctx context.Context, args []string) error {
	if args[0] != "up" && args[0] != "down" {
		return usagef("hook %s: want up or down", args[0])
	}
	return client.Socket(t.socket).Post(ctx, "hook", map[string]bool{"up": args[0] == "up"})
}

func (t *tool) dial(ctx context.Context, args []string) error {
	if strings.Trim(args[0], "0123456789*#ABCD") != "" || args[0] == "" {
		return usagef("dial %q: want 0-9, *, # and A-D alone", args[0])
	}
	return client.Socket(t.socket).Post(ctx, "dial", map[string]string{"digits": args[0]})
}

func (t *tool) configDescribe(context.Context, []string) error { return t.describe(t.out) }

// configError: a configuration file is wrong; its text says where.
type configError struct{ error }

func (t *tool) configCheck(_ context.Context, args []string) error {
	if err := t.check(args[0]); err != nil {
		return configError{err}
	}
	if !t.json {
		fmt.Fprintf(t.out, "%s is right.\n", args[0])
	}
	return nil
}
