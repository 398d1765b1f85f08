// Package fleet keeps a site's folder on the administrator's desk: one file, site.toml, from which the configuration of
// every appliance follows, the site's certificate authority, and the key that signs its updates.
//
//	site.toml             what people edit
//	ca.crt, ca.key        the authority of the site
//	update.pub, .key      the key of updates, ed25519, PEM
//	secrets/              passwords that site.toml names, one a file
//	appliances/ID/        what goes onto the card of appliance ID: package provision
//
// Nothing is written unless all of it is right. Files are replaced one by one, each whole; a run that was cut off is made
// good by the next. Secrets are readable by their owner alone and never printed. The package starts no goroutine.
package fleet

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/authority"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/storage"
	"parklamp/cmd/internal/tomlfile"
)

// Files of the folder.
const (
	SiteFile      = "site.toml"
	authorityFile = "ca.crt"
	AuthorityKey  = "ca.key"
	UpdateKey     = "update.key"
	updatePub     = "update.pub"
	appliances    = "appliances"
	secrets       = "secrets"
)

// Errors of this package that a caller tells apart.
var (
	errExists = errors.New("is there already")
	errNoSite = errors.New("no site folder")
	errNobody = errors.New("has no appliance")

	errMissing = errors.New("is missing")
)

// Appliance is one entry of site.toml.
type Appliance struct {
	ID      string         `toml:"id"`
	Name    string         `toml:"name"`
	Number  string         `toml:"number"`
	Address netip.Addr     `toml:"address"` // by which its peers find it
	Board   string         `toml:"board"`   // board.model of its configuration, or a definition in the folder; empty: the board finds out
	Config  map[string]any `toml:"config"`  // keys of its configuration that no other has
	Network map[string]any `toml:"network"` // keys of its network.toml
}

// Site is a site's folder, as it was when it was opened.
type Site struct {
	Name       string         `toml:"site"`
	All        map[string]any `toml:"all"`     // keys of every configuration
	Network    map[string]any `toml:"network"` // keys of every network.toml
	Appliances []Appliance    `toml:"appliances"`

	dir       string
	file      *tomlfile.File
	authority *authority.Authority // nil without its key
	root      *x509.Certificate
	now       time.Time
	broken    []bool // by appliance: something is wrong with its entry itself, so that nothing follows from it
}

const template = `# A site of Parklamp appliances. "parkctl site write" makes every appliance's files from this one, "parkctl site check" says
# what is wrong with it.

site = %q

# The panel of every appliance, for "parkctl --at" on this desk, updates too, and for browsers. Whoever reaches port 8080 of an
# appliance can look at it, press its keys and hear its handset; an update needs the signature of update.key all the same. For
# phones among strangers take these two lines away: then the panel is for programs on the appliance alone.
[all.panel]
listen = "0.0.0.0:8080"

# Keys of every appliance's configuration, as "parkctl config describe" lists them. In texts {id}, {name}, {number}, {address}
# and {site} stand for the appliance's own; a password_file that names a file below secrets/ goes onto the card.
#
# [all.lot]
# orbits = ["701", "702", "703"]
# timeout = "90s"
#
# [all.dial.directory]
# 0 = "sip:reception@192.0.2.9"
#
# [[all.registration.accounts]]
# aor = "sip:{number}@pbx.example.com"
# password_file = "secrets/pbx-{number}"

# The appliances; "parkctl site add" adds more. config has keys for one of them alone:
#
# [[appliances]]
# id = "dock-1"
# number = "201"
# address = "192.0.2.1"
# board = "rpi-3"
# config.phone.ringer_volume = 9
`

// New makes a folder with an authority and a key for updates, and without appliances.
func New(dir, site string, now time.Time) error {
	if fault, bad := (provision.Identity{Site: site, ID: "x", Number: "1"}).Faults()["site"]; bad {
		return fmt.Errorf("site %s", fault)
	}
	if _, err := os.Stat(filepath.Join(dir, SiteFile)); err == nil {
		return fmt.Errorf("%s %w", filepath.Join(dir, SiteFile), errExists)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	// A run that was cut off has left an authority that has issued nothing: site.toml comes last.
	_, pair, err := authority.New(site, now)
	if err != nil {
		return err
	}
	public, private, err := updateKeys()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{".gitignore", []byte("*.key\n" + secrets + "/\n" + provision.SecretPrefix + "*\n")},
		{AuthorityKey, pair.Key}, {authorityFile, pair.Cert}, {UpdateKey, private}, {updatePub, public},
		{SiteFile, fmt.Appendf(nil, template, site)},
	} {
		if err := replace(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

func updateKeys() (public, private []byte, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	public, err = x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, nil, err
	}
	private, err = x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), err
}

// keyless says what to do where a certificate is wanted and the key of the authority is not there.
func (s *Site) keyless() error {
	if s.authority != nil {
		return nil
	}
	return fmt.Errorf("%s %w, and no certificate can be made without: restore your copy of it, or make a new site", filepath.Join(s.dir, AuthorityKey), errMissing)
}

// Open reads site.toml and the authority, whose key may be missing. The error lists all that is wrong with site.toml, a line each.
func Open(dir string, now time.Time) (*Site, error) {
	s := &Site{dir: dir, now: now}
	path := filepath.Join(dir, SiteFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing; 'parkctl site new FOLDER' makes one", errNoSite, path)
	}
	if err != nil {
		return nil, err
	}
	if s.file, err = tomlfile.Decode(path, text, s); s.file == nil {
		return nil, err
	}
	s.check()
	faults := s.file.Err()
	if err := s.readAuthority(); err != nil {
		return nil, errors.Join(faults, err)
	}
	if faults != nil { // a person mends the file in one go, also what is wrong with the configurations of other entries
		_, faults = s.sets()
		return nil, faults
	}
	return s, nil
}

func (s *Site) readAuthority() error {
	var pair authority.Pair
	var err error
	if pair.Cert, err = os.ReadFile(filepath.Join(s.dir, authorityFile)); err != nil {
		return err
	}
	if s.root, err = authority.Parse(pair.Cert); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(s.dir, authorityFile), err)
	}
	if pair.Key, err = os.ReadFile(filepath.Join(s.dir, AuthorityKey)); errors.Is(err, fs.ErrNotExist) {
		return nil // whoever makes no certificate can do without
	}
	if err != nil {
		return err
	}
	if s.authority, err = authority.Load(pair); err != nil {
		return fmt.Errorf("%s, %s: %w", authorityFile, AuthorityKey, err)
	}
	return nil
}

// check notes what is wrong with the entries of site.toml.
func (s *Site) check() {
	fail := func(path, format string, args ...any) {
		if !s.file.Complained(path) {
			s.file.Fail(path, format, args...)
		}
	}
	for key, fault := range (provision.Identity{Site: s.Name, ID: "x", Number: "1"}).Faults() {
		if !s.file.Has(key) {
			fault = "is missing; it stands above the first line with [ ]"
		}
		fail(key, "%s", fault)
	}
	seen := map[string]string{}
	for i, a := range s.Appliances {
		at := fmt.Sprintf("appliances[%d]", i)
		for key, fault := range (provision.Identity{Site: "x", ID: a.ID, Name: a.Name, Number: a.Number}).Faults() {
			fail(at+"."+key, "%s", fault)
		}
		if strings.Trim(a.Number, "0123456789*#") != "" {
			fail(at+".number", "%q: the others dial it: only 0-9 * #", a.Number)
		}
		if why := s.unfit(a.Address); why != "" {
			fail(at+".address", "%q: %s: want the address of one appliance in the network of the others, such as 192.0.2.7", a.Address, why)
		}
		for key, value := range map[string]string{"id": strings.ToLower(a.ID), "number": a.Number, "address": addressText(a.Address)} {
			if other, twice := seen[key+value]; twice && value != "" {
				fail(at+"."+key, "%q: %s has it already", value, other)
			}
			seen[key+value] = a.ID
		}
	}
	s.broken = make([]bool, len(s.Appliances))
	for i := range s.Appliances {
		s.broken[i] = s.file.Complained(entryKey(i))
	}
}

// unfit says why the others cannot find an appliance by an address, as it is in site.toml.
func (s *Site) unfit(a netip.Addr) string {
	elsewhere := func(o Appliance) bool { return o.Address.IsValid() && !o.Address.Unmap().IsLoopback() }
	switch a = a.Unmap(); {
	case !a.IsValid():
		return "" // it has none
	case a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is nobody's own"
	case a.IsLinkLocalUnicast():
		return "is good on one link only" // RFC 3927 §1.9, RFC 4291 §2.5.6
	case a.IsLoopback() && slices.ContainsFunc(s.Appliances, elsewhere):
		return "is each machine's own" // where all are on loopback they are programs on one machine, for a trial: Check warns
	}
	return ""
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

// Add writes an entry for an appliance at the end of site.toml; the rest of the file, comments too, stays as it is. Without
// a number it gets the one after the greatest. Files for its card are Write's.
func Add(dir string, a Appliance, now time.Time) (Appliance, error) {
	unlock, err := lock(dir)
	if err != nil {
		return a, err
	}
	defer unlock()
	s, err := Open(dir, now)
	if err != nil {
		return a, err
	}
	if i := s.index(a.ID); i >= 0 {
		return a, fmt.Errorf("appliance %s of site %s %w", a.ID, s.Name, errExists)
	}
	if a.Number == "" {
		a.Number = s.nextNumber()
	}
	path := filepath.Join(dir, SiteFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return a, err
	}
	text = append(text, entry(a)...)
	// What would be wrong is told before it is written.
	next := &Site{dir: dir, now: now, authority: s.authority, root: s.root}
	if next.file, err = tomlfile.Decode(path, text, next); err == nil {
		next.check()
		err = next.file.Err()
	}
	if err == nil { // what would be generated from a wrong id is wrong once more
		_, err = next.sets()
	}
	if err != nil {
		return a, inEntry(err, entryKey(len(s.Appliances))+".")
	}
	return a, replace(path, text)
}

// inEntry tells faults of an entry that is not written yet by its keys alone: it has no line.
func inEntry(err error, key string) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, inEntry(e, key))
		}
		return errors.Join(out...)
	}
	if fault := (*tomlfile.Fault)(nil); errors.As(err, &fault) {
		if own, ok := strings.CutPrefix(fault.Path, key); ok {
			return fmt.Errorf("%s: %s", own, fault.Text)
		}
	}
	return err
}

func entry(a Appliance) string {
	var b strings.Builder
	b.WriteString("\n[[appliances]]\n")
	for _, l := range [][2]string{{"id", a.ID}, {"name", a.Name}, {"number", a.Number}, {"address", addressText(a.Address)}, {"board", a.Board}} {
		if l[1] != "" {
			fmt.Fprintf(&b, "%s = %s\n", l[0], quoted(l[1]))
		}
	}
	return b.String()
}

// quoted writes a basic string of TOML 1.0, whose escapes are not Go's.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// firstNumber is the extension of a site's first appliance.
const firstNumber = 201

func (s *Site) nextNumber() string {
	next := firstNumber
	for _, a := range s.Appliances {
		if n, err := strconv.Atoi(a.Number); err == nil {
			next = max(next, n+1)
		}
	}
	return strconv.Itoa(next)
}

func (s *Site) index(id string) int {
	return slices.IndexFunc(s.Appliances, func(a Appliance) bool { return a.ID == id })
}

// lock keeps two runs from writing the folder at once.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s; 'parkctl site new FOLDER' makes one", errNoSite, dir)
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { d.Close() }, nil
}

// replace writes a file whole or not at all. Keys and secrets are for their owner alone.
func replace(path string, data []byte) error {
	mode := fs.FileMode(0o644)
	if strings.HasSuffix(path, ".key") || strings.HasPrefix(filepath.Base(path), provision.SecretPrefix) {
		mode = 0o600
	}
	return storage.Replace(path, data, mode)
}
