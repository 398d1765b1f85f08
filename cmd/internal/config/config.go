// Package config reads the one TOML file of an appliance. Each package owns the Config of its section, with its
// documentation, defaults and ranges; this package puts them together, finds the line and the column of whatever is
// wrong, and prints the reference.
//
// An unknown key, a value of the wrong kind and a value out of its range are errors, all of them reported at once, each
// with file, line, column, key, value and what is allowed; so is a file that is named and cannot be used. The package
// starts no goroutine and writes no file.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"parklamp/board"
	"parklamp/cmd/internal/access"
	"parklamp/cmd/internal/selftest"
	"parklamp/cmd/internal/tomlfile"
	"parklamp/keypad"
	"parklamp/media"
	"parklamp/media/audio"
	"parklamp/media/moh"
	"parklamp/media/tone"
	"parklamp/parkd"
	"parklamp/parkd/federation"
	"parklamp/parkd/journal"
	"parklamp/parkd/panel"
	"parklamp/sip"
	"parklamp/sip/call"
	"parklamp/sip/event"
	"parklamp/sip/event/vqreport"
	"parklamp/sip/phone"
	"parklamp/sip/reg"
)

//go:generate sh -c "go run ../../parkctl config describe > reference.toml"

// Config is the file of one appliance.
type Config struct {
	Appliance    Appliance         `toml:"appliance" doc:"Who this appliance is."`
	SIP          sip.Config        `toml:"sip" doc:"The SIP endpoint: where it listens and how much it accepts."`
	Access       access.Config     `toml:"access" doc:"Who may call, park, fetch and watch."`
	Registration reg.Config        `toml:"registration" doc:"Accounts at registrars; none is needed."`
	Dial         Dial              `toml:"dial" doc:"What dialled numbers mean besides orbits and codes."`
	Calls        call.Config       `toml:"calls" doc:"Calls in general."`
	Events       event.Config      `toml:"events" doc:"Subscriptions: peers, and phones with lamps for our orbits."`
	Lot          parkd.Config      `toml:"lot" doc:"The orbits and what happens to a parked call. It must be the same on every appliance of the site."`
	Journal      journal.Config    `toml:"journal" doc:"How parked calls outlive a crash."`
	Federation   federation.Config `toml:"federation" doc:"The other appliances of the site."`
	Phone        phone.Config      `toml:"phone" doc:"The desk phone. A gateway ignores it but for the codes."`
	Board        board.Config      `toml:"board" doc:"The hardware."`
	Keypad       keypad.Config     `toml:"keypad" doc:"How keys are read."`
	Media        media.Config      `toml:"media" doc:"RTP."`
	Quality      vqreport.Config   `toml:"quality" doc:"Reports on how calls sounded."`
	Music        moh.Config        `toml:"music" doc:"Music on hold."`
	Tones        tone.Config       `toml:"tones" doc:"The sounds of the phone."`
	Audio        audio.Config      `toml:"audio" doc:"Handset and loudspeaker."`
	Panel        panel.Config      `toml:"panel" doc:"The page for a browser, and parkctl."`
	SelfTest     selftest.Config   `toml:"selftest" doc:"The self test of the technician: parkctl selftest, or Park held at power-on."`
}

// Appliance is the section of what fits nowhere else.
type Appliance struct {
	Name     string `toml:"name" doc:"Name of the appliance at its site: letters, digits and hyphens, as peers and people know it."`
	Number   string `toml:"number" doc:"Extension of the desk phone, shown to whom it calls."`
	LogLevel string `toml:"log_level" doc:"debug, info, warn or error."`
}

// Validate reports the first value out of its range.
func (a Appliance) Validate() error {
	if !regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`).MatchString(a.Name) {
		return fmt.Errorf("name = %q: 1 to 63 letters, digits and hyphens", a.Name)
	}
	if !regexp.MustCompile(`^[0-9A-Za-z*#+._-]{1,32}$`).MatchString(a.Number) {
		return fmt.Errorf("number = %q: 1 to 32 of 0-9 A-Z a-z * # + . _ -", a.Number)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, a.LogLevel) {
		return fmt.Errorf("log_level = %q: debug, info, warn or error", a.LogLevel)
	}
	return nil
}

// Dial is the section of numbers.
type Dial struct {
	Directory map[string]string `toml:"directory" doc:"Number = SIP URI. Numbers that are not listed go to the first account's registrar."`
}

// Validate reports the first entry that cannot be dialled.
func (d Dial) Validate() error {
	for number, uri := range d.Directory {
		if strings.Trim(number, "0123456789*#") != "" || number == "" {
			return fmt.Errorf("directory.%s = %q: the number may have only 0-9 * #", number, uri)
		}
		if !strings.HasPrefix(uri, "sip:") && !strings.HasPrefix(uri, "sips:") {
			return fmt.Errorf("directory.%s = %q: want a SIP URI, such as \"sip:201@192.0.2.7\"", number, uri)
		}
	}
	return nil
}

// Default is the configuration of an appliance whose file is empty.
func Default() Config {
	return Config{
		Appliance:    Appliance{Name: "parklamp", Number: "100", LogLevel: "info"},
		SIP:          sip.Default(),
		Access:       access.Default(),
		Registration: reg.Default(),
		Dial:         Dial{Directory: map[string]string{}},
		Calls:        call.Default(),
		Events:       event.Default(),
		Lot:          parkd.Default(),
		Journal:      journal.Default(),
		Federation:   federation.Default(),
		Phone:        phone.Default(),
		Board:        board.Default(),
		Keypad:       keypad.Default(),
		Media:        media.Default(),
		Quality:      vqreport.Default(),
		Music:        moh.Default(),
		Tones:        tone.Default(),
		Audio:        audio.Default(),
		Panel:        panel.Default(),
		SelfTest:     selftest.Default(),
	}
}

// Load reads and checks a file. The error lists everything that is wrong with it, a line each. What the file names for comfort
// only, music and the simulated microphone's speech, may be missing or damaged: an appliance does without.
func Load(path string) (Config, error) { return readFile(path, (*faults).openNeeded) }

func readFile(path string, files func(*faults, Config)) (Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("%w; 'parkctl config describe > FILE' writes one with every key", err)
	}
	if err != nil {
		return Config{}, err
	}
	return read(path, data, files)
}

// CheckElsewhere checks the file of another machine, on which the files that it names will be.
func CheckElsewhere(path string, data []byte) error {
	_, err := read(path, data, func(a *faults, c Config) {
		if c.Board.File == "" && c.Board.Model != board.Auto {
			_, err := c.Board.Load(c.Lot.Orbits)
			a.try("board.model", err)
		}
	})
	return err
}

// read decodes and checks a file; files looks at the ones that it names.
func read(path string, data []byte, files func(*faults, Config)) (Config, error) {
	c := Default()
	f, err := tomlfile.Parse(path, data)
	if err != nil {
		return Config{}, err
	}
	a := &faults{f}
	a.Assign(&c)
	c.beside(filepath.Dir(path))
	c.complete()
	a.validate(reflect.ValueOf(c))
	a.inspect(c)
	files(a, c)
	if len(c.SIP.Listen) == 0 && !a.Complained("sip.listen") {
		a.Fail("sip.listen", `names no socket; write for example ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"] with an address of this machine`)
	}
	if err := a.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// beside makes relative names of files, folders and sockets those of the folder of the configuration, wherever the program
// was started.
func (c *Config) beside(folder string) {
	names := []*string{&c.SIP.TLSCert, &c.SIP.TLSKey, &c.SIP.TLSCA, &c.SIP.SiteCA, &c.Access.PasswordFile, &c.Journal.Path, &c.Board.File,
		&c.Music.File, &c.Audio.Speech, &c.Panel.Socket, &c.SelfTest.Reports,
		&c.SelfTest.Key, &c.SelfTest.Certificate}
	for i := range c.Registration.Accounts {
		names = append(names, &c.Registration.Accounts[i].PasswordFile)
	}
	if abs, err := filepath.Abs(folder); err == nil { // else they are those of where the program runs, which it does not leave
		folder = abs
	}
	for _, name := range names {
		if *name != "" && !filepath.IsAbs(*name) && (*name)[0] != '@' { // a socket without a file (unix(7))
			*name = filepath.Join(folder, *name)
		}
	}
}

// lotMargin is how much later than the lot the phone gives up.
const lotMargin = 2 * time.Second

// complete fills in what follows from other keys.
func (c *Config) complete() {
	c.Phone.Orbits = c.Lot.Orbits
	c.Phone.Undo = max(c.Lot.UndoWindow, time.Second)
	// The lot answers first: the phone only makes sure that nobody waits for ever. A fetch from a peer may take a quarter
	// longer, and a park that meets its own caller's old orbit is asked again for a second.
	c.Phone.ParkTimeout = c.Lot.ClaimTimeout + lotMargin
	c.Phone.FetchTimeout = c.Lot.FetchTimeout*5/4 + lotMargin
	c.Federation.Name = c.Appliance.Name
	c.Federation.Proof = c.SIP.SiteCA != ""
	c.Lot.RescueAfter = c.Federation.RescueAfter
	c.Lot.BackWithin = c.Journal.MaxAge
}

// Check reads a file like Load, also what Load does without, and keeps nothing.
func Check(path string) error {
	_, err := readFile(path, (*faults).openFiles)
	return err
}

// Describe prints every key with its documentation and default, as a file that could be read back.
func Describe(w io.Writer) error {
	fmt.Fprint(w, "# Every key of an appliance's configuration, with its default. A file, folder or socket whose name does not begin with\n"+
		"# / is in the folder of the configuration or below it, wherever the program is started.\n\n")
	c := Default()
	describe(w, "", reflect.ValueOf(c))
	return nil
}
