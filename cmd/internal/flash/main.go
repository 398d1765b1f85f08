// Flash writes the image of a card to an SD card, or to a file, and puts an appliance's identity, certificate and
// configuration onto it. `make flash` and `make flash-many` run it.
//
// It refuses what is not a card: a partition, a disk in use, one that is built in, one that is too large, a file that holds
// something else. It shows what it will
// erase and asks for the name of the device. What it wrote it reads back from the medium. The partition table comes last:
// a card that was not written to its end starts nothing. It starts no goroutine.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/fleet"
	"parklamp/cmd/internal/update"
)

var errNoDevice = errors.New("DEV is missing: name the card's disk, such as DEV=/dev/sdb, or a file, such as DEV=card.img")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	_, noTerminal := unix.IoctlGetTermios(int(os.Stdout.Fd()), unix.TCGETS)
	f := flasher{machine: machine{"/"}, in: bufio.NewReader(os.Stdin), out: os.Stdout, terminal: noTerminal == nil,
		now: time.Now, wait: 500 * time.Millisecond, facts: "buildroot/boards", images: "out/image"}
	err := f.run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "flash:", err)
		os.Exit(1)
	}
}

// flasher is one run.
type flasher struct {
	machine
	in       *bufio.Reader
	out      io.Writer
	terminal bool // out overwrites its last line
	now      func() time.Time
	wait     time.Duration // between two looks for a card
	facts    string        // folder with a file of facts for each image
	images   string        // folder with a folder for each image

	board, dev, image, site, id, csv string
	source                           string // version of the source and its date; empty: not told
	yes                              bool
	allow                            allowance
	told                             time.Time // of the progress that was shown last
}

func (f *flasher) run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("flash", flag.ContinueOnError)
	flags.SetOutput(f.out)
	flags.StringVar(&f.board, "board", "", "model of the board, such as rpi-3")
	flags.StringVar(&f.dev, "dev", "", "disk, such as /dev/sdb, or file to write")
	flags.StringVar(&f.image, "image", "", "image to write; default: that of the board in out/image")
	flags.StringVar(&f.site, "site", "", "folder of the site, as parkctl site makes it")
	flags.StringVar(&f.id, "id", "", "appliance of the site")
	flags.StringVar(&f.csv, "csv", "", "file with columns id, device and perhaps board, for many cards")
	flags.StringVar(&f.source, "source", "", "version and date of the source, to tell an image that is older")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	allow := flags.String("allow", "", "internal, large: what may be in spite of the usual doubts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, word := range strings.FieldsFunc(*allow, func(r rune) bool { return r == ' ' || r == ',' }) {
		switch word {
		case "internal":
			f.allow.internal = true
		case "large":
			f.allow.large = true
		default:
			return fmt.Errorf("ALLOW=%s: allowed are internal and large", word)
		}
	}
	if f.csv != "" {
		return f.many(ctx)
	}
	if fleet.IsDefinition(f.board) {
		if err := f.definition(); err != nil {
			return err
		}
	}
	if f.image == "" {
		if f.board == "" {
			if err := f.guess(); err != nil {
				return err
			}
		}
		name, err := f.imageOf(f.board)
		if err != nil {
			return err
		}
		f.image = filepath.Join(f.images, name, cardFile)
	}
	if f.dev == "" {
		return errNoDevice
	}
	if (f.site == "") != (f.id == "") {
		return errors.New("SITE and ID belong together: the folder of the site, and which appliance of it this card is for")
	}
	d, err := f.look(f.dev)
	if err != nil {
		return err
	}
	return f.one(ctx, d, f.id)
}

// one writes one card.
func (f *flasher) one(ctx context.Context, d disk, id string) error {
	c, err := openCard(f.image)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := f.refuse(d, c); err != nil {
		return asRoot(err)
	}
	who := "an appliance without identity: it will say so by its fault lamp"
	if id != "" {
		folder, err := f.appliance(id)
		if err != nil {
			return err
		}
		if err := c.provision(ctx, folder); err != nil {
			return err
		}
		who = id
	}
	of := f.image
	if f.board != "" {
		of += " (" + f.board + ")"
	}
	fmt.Fprintf(f.out, "%s, for %s, goes onto\n%s%s%s", of, who, d.describe(), f.age(c), c.updates())
	if err := f.ask(d); err != nil {
		return err
	}
	if d, err = f.again(d, c); err != nil {
		return err
	}
	v, err := openDevice(d, c.size)
	if err != nil {
		return asRoot(err)
	}
	begin := f.now()
	err = flash(ctx, v, c, c.size, f.show)
	if f.terminal {
		fmt.Fprintln(f.out)
	}
	if err = errors.Join(err, v.Close()); err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	last := " The card can be taken out."
	if d.file {
		last = ""
	}
	fmt.Fprintf(f.out, "Done: %s written and read back in %v.%s\n", bytesText(c.size), f.now().Sub(begin).Round(time.Second/10), last)
	return nil
}

// asRoot says how to do what the caller may not.
func asRoot(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; run as root: sudo %s", err, strings.Join(os.Args, " "))
	}
	return err
}

// age says which version an image is, and whether the source has gone on since.
func (f *flasher) age(c *card) string {
	if c.version == "" {
		return ""
	}
	text := "It is version " + c.version
	if m, err := update.ReadImage(filepath.Dir(c.image.Name())); err == nil && !m.Time.IsZero() { // an image alone has none
		text += " of " + m.Time.Format(time.DateOnly)
	}
	if source, _, _ := strings.Cut(f.source, " "); source != "" && source != c.version {
		text += "; the source is at " + strings.Replace(f.source, " ", " of ", 1) + ": 'make image' makes that one"
	}
	return text + ".\n"
}

// refuse says why the card must not be written onto d.
func (f *flasher) refuse(d disk, c *card) error {
	if d.file {
		return f.refuseFile(d, c.image)
	}
	return d.refuse(c.size, f.allow)
}

// again looks at what was shown: while the technician read that, another disk may have come by its name, or somebody may have
// begun to use it.
func (f *flasher) again(shown disk, c *card) (disk, error) {
	d, err := f.look(shown.path)
	if err == nil {
		err = f.refuse(d, c)
	}
	if err == nil && (d.number != shown.number || d.size != shown.size || d.describe() != shown.describe()) {
		err = fmt.Errorf("%s: %w", d.path, errOther)
	}
	return d, err
}

// appliance makes the files of an appliance and says where they are.
func (f *flasher) appliance(id string) (string, error) {
	s, err := fleet.Open(f.site, f.now())
	if err != nil {
		return "", err
	}
	i, err := f.index(s, id)
	if err != nil {
		return "", err
	}
	if err := f.fits(s, s.Appliances[i], f.board); err != nil {
		return "", err
	}
	if _, err := s.Write(); err != nil {
		return "", err
	}
	return s.Folder(id), nil
}

// index is which of the site's appliances has an id.
func (f *flasher) index(s *fleet.Site, id string) (int, error) {
	i := slices.IndexFunc(s.Appliances, func(a fleet.Appliance) bool { return a.ID == id })
	if i < 0 {
		return i, fmt.Errorf("%s has no appliance %s; 'parkctl site add %[1]s %[2]s' adds it", f.site, id)
	}
	return i, nil
}

// ask has the technician type the name of what will be erased.
func (f *flasher) ask(d disk) error {
	if f.yes || d.file {
		return nil
	}
	fmt.Fprintf(f.out, "Everything on it will be lost. Type %s to go on: ", d.name)
	answer, err := f.in.ReadString('\n')
	if strings.TrimSpace(answer) == d.name {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !f.terminal {
		fmt.Fprintln(f.out) // what was typed into a pipe does not show
	}
	return fmt.Errorf("nothing was written: %q is not %q", strings.TrimSpace(answer), d.name)
}

// show draws the progress bar, at most a few times a second.
func (f *flasher) show(stage string, done, total int64) {
	const width = 40
	if now := f.now(); done < total && now.Sub(f.told) < 200*time.Millisecond {
		return
	} else {
		f.told = now
	}
	full := int(width * done / total)
	line := fmt.Sprintf("  %-12s [%s%s] %3d %%", stage, strings.Repeat("#", full), strings.Repeat(".", width-full), 100*done/total)
	if f.terminal {
		fmt.Fprintf(f.out, "\r%s", line)
	} else if done == total {
		fmt.Fprintln(f.out, line)
	}
}
