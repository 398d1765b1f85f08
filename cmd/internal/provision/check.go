package provision

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"parklamp/cmd/internal/authority"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/tomlfile"
)

// Identity says who an appliance is.
type Identity struct {
	Site   string `toml:"site"`   // name of the site
	ID     string `toml:"id"`     // unique in the site: its name to peers, its host name, the name in its certificate
	Name   string `toml:"name"`   // for people, such as where it hangs; may be empty
	Number string `toml:"number"` // extension of its phone
}

var (
	label     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	extension = regexp.MustCompile(`^[0-9A-Za-z*#+._-]{1,32}$`)
)

// maxName is the length of an appliance's name in characters.
const maxName = 64

// Faults has what is wrong with an identity: key, value and what is allowed.
func (i Identity) Faults() map[string]string {
	faults := map[string]string{}
	if !label.MatchString(i.Site) {
		faults["site"] = fmt.Sprintf("%q: 1 to 63 letters, digits and hyphens", i.Site)
	}
	if !label.MatchString(i.ID) {
		faults["id"] = fmt.Sprintf("%q: 1 to 63 letters, digits and hyphens, such as dock-7", i.ID)
	}
	if len([]rune(i.Name)) > maxName || !utf8.ValidString(i.Name) || strings.ContainsFunc(i.Name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		faults["name"] = fmt.Sprintf("%q: at most %d printable characters", i.Name, maxName)
	}
	if !extension.MatchString(i.Number) {
		faults["number"] = fmt.Sprintf("%q: 1 to 32 of 0-9 A-Z a-z * # + . _ -", i.Number)
	}
	for key, value := range map[string]string{"site": i.Site, "id": i.ID, "number": i.Number} {
		if value == "" {
			faults[key] = "is missing" + strings.TrimPrefix(faults[key], `""`)
		}
	}
	return faults
}

// Check checks a whole set. where says in errors from where it came.
func (f Files) Check(where string, o Options) (*Set, error) { return f.check(where, o, maxFile) }

// check checks a set whose files have so many bytes each at most.
func (f Files) check(where string, o Options, most int) (*Set, error) {
	at := func(name string) string { return filepath.Join(where, name) }
	s := &Set{files: f}
	if err := f.bounded(at, most); err != nil {
		return nil, err
	}
	var errs []error
	phoned, err := f.phoned(at(PhonedFile))
	errs = append(errs, err)
	s.Identity, err = f.identity(at(IdentityFile), phoned)
	errs = append(errs, err)
	if phoned != nil {
		answers(phoned)
		if err == nil {
			agree(phoned, s.Identity)
		}
		errs = append(errs, phoned.Err())
	}
	if s.Expires, err = f.certificates(s.Identity.ID); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", where, err))
	}
	if text, ok := f[UpdateFile]; ok {
		if err := updateKey(text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", at(UpdateFile), err))
		}
	}
	for _, name := range f.sorted() {
		if text, ok := f[name]; ok && o.Check[name] != nil {
			errs = append(errs, o.Check[name](at(name), text))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.Hash = f.hash()
	return s, nil
}

// bounded says which files of a set no appliance would take.
func (f Files) bounded(at func(string) string, most int) error {
	var errs []error
	sum := 0
	for _, name := range f.sorted() {
		if sum += len(f[name]); len(f[name]) > most {
			errs = append(errs, fmt.Errorf("%s: has %d bytes: at most %d are allowed", at(name), len(f[name]), maxFile))
		}
	}
	if sum > maxSet {
		errs = append(errs, fmt.Errorf("%s: the files have %d bytes together: at most %d are allowed", at(""), sum, maxSet))
	}
	return errors.Join(errs...)
}

func (f Files) phoned(where string) (*tomlfile.File, error) {
	text, ok := f[PhonedFile]
	if !ok {
		return nil, fmt.Errorf("%s: is missing; it holds the whole configuration", where)
	}
	return tomlfile.Parse(where, text)
}

// identity reads identity.toml. Where there is none and no certificate either, as with a server that sends nothing but a
// configuration, the configuration says who the appliance is.
func (f Files) identity(where string, phoned *tomlfile.File) (Identity, error) {
	var i Identity
	text, ok := f[IdentityFile]
	if !ok {
		if f[CertificateFile] != nil || phoned == nil {
			return i, fmt.Errorf("%s: is missing; it holds site, id, name and number", where)
		}
		i.ID, _ = phoned.Value("appliance.name").(string)
		i.Number, _ = phoned.Value("appliance.number").(string)
		if i.ID == "" {
			return i, fmt.Errorf("%s: is missing, and %s does not say who the appliance is: set appliance.name there", where, PhonedFile)
		}
		faults := i.Faults()
		for key, id := range map[string]string{"appliance.name": "id", "appliance.number": "number"} {
			fault, bad := faults[id]
			switch phoned.Value(key).(type) {
			case nil:
			case string:
				if bad {
					phoned.Fail(key, "%s", fault)
				}
			default:
				phoned.Fail(key, "is not a text in quotes")
			}
		}
		return i, nil // Check tells the faults of phoned.toml
	}
	file, err := tomlfile.Decode(where, text, &i)
	if file == nil {
		return i, err
	}
	for key, fault := range i.Faults() {
		if !file.Complained(key) {
			file.Fail(key, "%s", fault)
		}
	}
	return i, file.Err()
}

// answers complains of a configuration with which the first process would take the phone for one that hangs.
func answers(phoned *tomlfile.File) {
	if v := phoned.Value("panel.socket"); v != nil && v != initapi.PhonedSocket {
		phoned.Fail("panel.socket", "%#v: must be %q, or left away: the first process asks there whether the phone works", v, initapi.PhonedSocket)
	}
}

// The folders beside a set in which phoned writes; all else there is not its own.
const (
	JournalFolder = "journal"
	ReportsFolder = "reports"
)

// CheckPaths is a check of the configuration of an appliance that keeps its set in a folder: what phoned writes must lie in its own
// folders there. Elsewhere the system of an image is in memory and not phoned's. A set that is in force already is not asked.
func CheckPaths(folder string) func(name string, phoned []byte) error {
	return func(name string, phoned []byte) error {
		f, err := tomlfile.Parse(name, phoned)
		if err != nil {
			return nil // Check says it
		}
		for _, key := range []string{"journal.path", "selftest.reports"} {
			path, _ := f.Value(key).(string)
			if path == "" {
				continue
			}
			if !filepath.IsAbs(path) { // as phoned takes it
				path = filepath.Join(folder, path)
			}
			rel, err := filepath.Rel(folder, path)
			top, below, _ := strings.Cut(rel, "/")
			own := (top == JournalFolder || top == ReportsFolder) && (below != "" || key != "journal.path")
			if err != nil || !own {
				f.Fail(key, "%q: must lie below %s or %s: elsewhere phoned writes nothing that lasts", path, filepath.Join(folder, JournalFolder), filepath.Join(folder, ReportsFolder))
			}
		}
		return f.Err()
	}
}

// agree complains where the configuration says another name or number than the identity.
func agree(phoned *tomlfile.File, i Identity) {
	for _, c := range []struct{ key, want, from string }{
		{"appliance.name", i.ID, "id"}, {"appliance.number", i.Number, "number"},
	} {
		if v := phoned.Value(c.key); v == nil && c.want != "" {
			phoned.Fail(c.key, "is missing: must be %q, the %s in %s", c.want, c.from, IdentityFile)
		} else if v != c.want && c.want != "" {
			phoned.Fail(c.key, "%#v: must be %q, the %s in %s", v, c.want, c.from, IdentityFile)
		}
	}
}

// certificates checks that the three belong together and to the appliance, and returns the end of the certificate.
// Whether it is in force today is not asked: a board without a clock does not know the day. Who uses it asks.
func (f Files) certificates(id string) (time.Time, error) {
	three := []string{AuthorityFile, CertificateFile, KeyFile}
	var have, lack []string
	for _, name := range three {
		if f[name] != nil {
			have = append(have, name)
		} else {
			lack = append(lack, name)
		}
	}
	if len(have) == 0 {
		return time.Time{}, nil
	}
	if len(lack) > 0 {
		return time.Time{}, fmt.Errorf("%s: is missing beside %s", strings.Join(lack, " and "), strings.Join(have, " and "))
	}
	root, err := authority.Parse(f[AuthorityFile])
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", AuthorityFile, err)
	}
	own, err := authority.Parse(f[CertificateFile])
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", CertificateFile, err)
	}
	if !root.IsCA {
		return time.Time{}, fmt.Errorf("%s: %q is no certificate authority; copy ca.crt of the site here", AuthorityFile, root.Subject.CommonName)
	}
	if err := authority.Verify(own, root, time.Time{}); err != nil {
		return time.Time{}, fmt.Errorf("%s: was not issued by %s for an appliance: %w", CertificateFile, AuthorityFile, err)
	}
	// RFC 5922 §7.1: the subject alternative names count, the common name does not.
	if id != "" && own.VerifyHostname(id) != nil {
		return time.Time{}, fmt.Errorf("%s: is for %s; must be for %q, the id in %s", CertificateFile, strings.Join(own.DNSNames, ", "), id, IdentityFile)
	}
	if _, err := tls.X509KeyPair(f[CertificateFile], f[KeyFile]); err != nil {
		return time.Time{}, fmt.Errorf("%s: does not belong to %s: %w", KeyFile, CertificateFile, err)
	}
	return own.NotAfter, nil
}

// Warning says what of a set may be a slip, "" for nothing: that its authority was made for a site of another name. That is no
// fault, since a site that was renamed keeps its authority. Only of our own authorities is it known whose they are.
func (s *Set) Warning() string {
	root, err := authority.Parse(s.files[AuthorityFile])
	if err != nil {
		return ""
	}
	of := authority.SiteOf(root)
	if of == "" || s.Identity.Site == "" || of == s.Identity.Site {
		return ""
	}
	return fmt.Sprintf("%s was made for site %s, and %s says %q: right only if the site was renamed", AuthorityFile, of, IdentityFile, s.Identity.Site)
}

// updateKey says why a text is not the public key of updates.
func updateKey(text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return errors.New("holds no PEM public key (-----BEGIN PUBLIC KEY-----)")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if _, ok := key.(ed25519.PublicKey); err == nil && !ok {
		return fmt.Errorf("is a %T; must be an ed25519 key", key)
	}
	return err
}
