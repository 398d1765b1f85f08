// Command parkctl is the tool of the technician and the administrator: it shows
// an appliance, presses its keys, watches it live, tests, updates and restarts
// it, checks its configuration, and keeps the folder of a site on the desk.
//
// It talks to the appliance's unix socket in the HTTP API of parkd/panel, or
// with --at to the panel of another appliance in the same, and to the first
// process (package initapi) of its own about updates and restarts. What it is told it does not keep. Its
// tables are for people, with colour on a terminal alone; with --json it prints
// what the appliance said, for programs. Exit codes: 0 done, 1 could not be
// done, 2 the command or the configuration file is wrong. It starts no
// goroutines besides those of net/http.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/board/spelling"
	"parklamp/cmd/internal/client"
	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/provision"
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
	at     string // the panel of another appliance, in place of the socket
	count  bool
	show   bool     // the version
	helped bool     // --help
	given  []string // names of the options on the command line
	site   siteFlags
	test   testFlags
	up     updateFlags

	initSocket string // of the first process of an image
}

// output remembers that something could not be written: `parkctl config describe > FILE` on a full disk has not been done.
type output struct {
	to  io.Writer
	err error // the first
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// run carries out one command line and returns the exit code.
func (t *tool) run(ctx context.Context, args []string) int {
	out := &output{to: t.out}
	t.out = out
	err := t.dispatch(ctx, args)
	if err == nil && out.err != nil {
		err = fmt.Errorf("not all could be printed: %w", out.err)
	}
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitDone
	case errors.Is(err, errUsage):
		fmt.Fprintf(t.err, "parkctl: %v\nTry parkctl --help.\n", strings.TrimPrefix(err.Error(), "usage: "))
		return exitUsage
	case errors.As(err, new(configError)):
		fmt.Fprintf(t.err, "%v%s\n", err, whose(err))
		return exitUsage
	case errors.Is(err, client.ErrNoSocket):
		fmt.Fprintf(t.err, "parkctl: %v Give its socket with --socket or PARKLAMP_SOCKET\n", err)
		return exitError
	case errors.As(err, new(*client.Refusal)):
		fmt.Fprintf(t.err, "parkctl: %s\n", clean(err.Error())) // whatever answers at an address, a terminal does not obey it
		return exitError
	}
	fmt.Fprintf(t.err, "parkctl: %v%s\n", err, whose(err))
	return exitError
}

// whose says who may use a file that the caller may not.
func whose(err error) string {
	denied := (*fs.PathError)(nil)
	if !errors.As(err, &denied) || !errors.Is(denied, fs.ErrPermission) {
		return ""
	}
	path := denied.Path
	info, err := os.Stat(path)
	for ; err != nil && path != filepath.Dir(path); info, err = os.Stat(path) { // what is to be made belongs to whoever has its folder
		path = filepath.Dir(path)
	}
	if err != nil {
		return ""
	}
	owner := "another user"
	if u, err := user.LookupId(fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid)); err == nil {
		owner = u.Username
	}
	return fmt.Sprintf("; %s belongs to %s: run this as %[2]s, or with sudo", path, owner)
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
	if len(words) > 0 && words[0] == "help" {
		t.helped, words = true, words[1:]
	}
	if t.helped {
		return t.help(words)
	}
	if len(words) == 0 {
		return usagef("no command")
	}
	c, rest := commandOf(words)
	if c == nil {
		return unknown(words)
	}
	if len(rest) > c.most && c.isGroup() {
		return unknown(words)
	}
	if err := c.takes(t.given); err != nil {
		return err
	}
	if len(rest) < c.least || len(rest) > c.most {
		return usagef("want: parkctl %s", c.usage())
	}
	return c.do(t, ctx, rest)
}

// parse takes the flags out of args, wherever they stand.
func (t *tool) parse(args []string) (words []string, err error) {
	flags := flag.NewFlagSet("parkctl", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&t.json, "json", false, "")
	flags.BoolVar(&t.count, "counters", false, "")
	flags.BoolVar(&t.show, "version", false, "")
	flags.BoolVar(&t.helped, "help", false, "")
	flags.BoolVar(&t.helped, "h", false, "")
	flags.BoolVar(&t.test.force, "force", false, "")
	for name, value := range map[string]*string{"steps": &t.test.steps, "out": &t.test.out, "ca": &t.test.ca} {
		flags.StringVar(value, name, "", "")
	}
	for name, value := range map[string]*string{"name": &t.site.name, "number": &t.site.number, "address": &t.site.address, "board": &t.site.board} {
		flags.StringVar(value, name, "", "")
	}
	flags.BoolVar(&t.up.now, "now", false, "")
	flags.BoolVar(&t.up.anyway, "anyway", false, "")
	for name, value := range map[string]*string{"at": &t.at, "min-version": &t.up.minVersion, "downgrade-from": &t.up.downgradeFrom} {
		flags.StringVar(value, name, "", "")
	}
	flags.StringVar(&t.socket, "socket", t.env("PARKLAMP_SOCKET"), "")
	for {
		if err := flags.Parse(args); err != nil {
			return nil, usagef("%s", optionText(err))
		}
		if args = flags.Args(); len(args) == 0 {
			break
		}
		words, args = append(words, args[0]), args[1:]
	}
	flags.Visit(func(f *flag.Flag) { t.given = append(t.given, f.Name) })
	if t.socket == "" {
		t.socket = initapi.PhonedSocket
	}
	if slices.Contains(t.given, "at") {
		if slices.Contains(t.given, "socket") {
			return nil, usagef("--at and --socket name two appliances: want one of them")
		}
		if t.at, err = panelAt(t.at); err != nil {
			return nil, err
		}
	}
	return words, nil
}

// panelAt is where the panel behind --at is: without a port it is that of the panel's default.
func panelAt(text string) (base string, err error) {
	host := text
	if !strings.Contains(text, "://") {
		if _, _, err := net.SplitHostPort(text); err != nil {
			host = net.JoinHostPort(strings.Trim(text, "[]"), fmt.Sprint(panel.Default().Listen.Port()))
		}
		host = "http://" + strings.Replace(host, "%", "%25", 1) // of a link-local address: RFC 6874 §2
	}
	u, err := url.Parse(host)
	if err == nil && u.Port() != "" {
		if port, bad := strconv.ParseUint(u.Port(), 10, 16); bad != nil || port == 0 {
			return "", usagef("--at %q: port %s: want 1 to 65535", text, u.Port())
		}
	}
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", usagef("--at %q: want the panel's address, such as 192.0.2.7 or 192.0.2.7:8080", text)
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String(), nil
}

// appliance is a client of the one that the command line names.
func (t *tool) appliance() *client.Client {
	if t.at != "" {
		return client.Panel(t.at)
	}
	return client.Socket(t.socket)
}

// optionText says what is wrong with an option as it is written: with two hyphens.
func optionText(err error) string {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		text := fmt.Sprintf("there is no option --%s", name)
		if near := spelling.Near(append(slices.Sorted(maps.Keys(options)), "help", "json", "socket", "version"), name); near != "" {
			text += fmt.Sprintf("; did you mean --%s?", near)
		}
		return text
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
	c := t.appliance()
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
	return t.appliance().Post(ctx, "hook", map[string]bool{"up": args[0] == "up"})
}

func (t *tool) dial(ctx context.Context, args []string) error {
	if strings.Trim(args[0], "0123456789*#ABCD") != "" || args[0] == "" {
		return usagef("dial %q: want 0-9, *, # and A-D alone", args[0])
	}
	return t.appliance().Post(ctx, "dial", map[string]string{"digits": args[0]})
}

func (t *tool) configDescribe(context.Context, []string) error { return t.describe(t.out) }

// configError: a configuration file is wrong; its text says where.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }

func (t *tool) configCheck(_ context.Context, args []string) error {
	if err := t.check(args[0]); err != nil {
		folder := filepath.Dir(args[0])
		if _, none := os.Stat(filepath.Join(folder, provision.IdentityFile)); none == nil {
			err = fmt.Errorf("%w\n%s is of a card, whose appliance has its files elsewhere: parkctl site card %s checks it as that will", err, args[0], folder)
		}
		return configError{err}
	}
	if !t.json {
		fmt.Fprintf(t.out, "%s is right.\n", args[0])
	}
	return nil
}
