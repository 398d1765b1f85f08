package fleet

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"parklamp/board"
	"parklamp/cmd/internal/authority"
	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/netconf"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/tomlfile"
)

// On is the folder in which an appliance keeps its set.
const On = "/data/parklamp"

// SIP ports of an appliance.
const (
	sipPort  = 5060
	sipsPort = 5061
)

// Checks are what provision does not know of a set.
func Checks() provision.Options {
	return provision.Options{Check: map[string]func(string, []byte) error{
		provision.PhonedFile: config.CheckElsewhere,
		provision.BoardFile: func(name string, text []byte) error {
			_, err := board.Parse(name, text)
			return err
		},
		provision.NetworkFile: func(name string, text []byte) error {
			_, err := netconf.Parse(name, text)
			return err
		},
	}}
}

// Write makes the files of every appliance. Those that are right already stay as they are: keys and certificates are made
// once. It returns the ids whose files have changed. If anything is wrong, nothing is written; the error names site.toml's
// lines.
func (s *Site) Write() (changed []string, err error) {
	unlock, err := lock(s.dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	sets := make([]provision.Files, len(s.Appliances))
	var errs []error
	for i := range s.Appliances {
		var err error
		if sets[i], err = s.set(i); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, s.file.Err())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, a := range s.Appliances {
		dir := s.Folder(a.ID)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return changed, err
		}
		differs, err := update(dir, sets[i])
		if err != nil {
			return changed, err
		}
		if differs {
			changed = append(changed, a.ID)
		}
	}
	return changed, nil
}

// update makes a folder have exactly the files of a set.
func update(dir string, want provision.Files) (differs bool, err error) {
	have, err := provision.ReadDir(dir)
	if err != nil && !errors.Is(err, provision.ErrNone) {
		return false, err
	}
	for name := range have {
		if want[name] == nil {
			differs = true
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return differs, err
			}
		}
	}
	// The key before its certificate: a run that is cut off between leaves a pair that does not fit, which set replaces.
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(want))) {
		if !bytes.Equal(have[name], want[name]) {
			differs = true
			if err := replace(filepath.Join(dir, name), want[name]); err != nil {
				return differs, err
			}
		}
	}
	return differs, nil
}

// Folder is where the files of an appliance are, as they go onto its card.
func (s *Site) Folder(id string) string { return filepath.Join(s.dir, appliances, id) }

// set makes the files of an appliance and checks them. What is wrong with its configuration is noted at the lines of
// site.toml that it came from.
func (s *Site) set(i int) (provision.Files, error) {
	a := s.Appliances[i]
	merged := s.configuration(i)
	f := provision.Files{}
	if err := s.takeSecrets(merged, f); err != nil {
		return nil, err
	}
	var err error
	if f[provision.PhonedFile], err = encode("# Written by parkctl site from site.toml: change that instead.\n\n", merged); err != nil {
		return nil, err
	}
	identity := map[string]any{"site": s.Name, "id": a.ID, "name": a.Name, "number": a.Number}
	if f[provision.IdentityFile], err = encode("", identity); err != nil {
		return nil, err
	}
	if network := merge(merge(map[string]any{}, s.Network), a.Network); len(network) > 0 {
		if f[provision.NetworkFile], err = encode("", s.expand(network, a).(map[string]any)); err != nil {
			return nil, err
		}
	}
	for name, from := range map[string]string{provision.SiteFile: AuthorityFile, provision.UpdateFile: UpdatePub} {
		if f[name], err = os.ReadFile(filepath.Join(s.dir, from)); err != nil {
			return nil, err
		}
	}
	if err := s.certify(a, f); err != nil {
		return nil, err
	}
	if err := config.CheckElsewhere(provision.PhonedFile, f[provision.PhonedFile]); err != nil {
		return nil, s.blame(i, err, "config.", "all.")
	}
	if _, err := netconf.Parse(provision.NetworkFile, f[provision.NetworkFile]); err != nil {
		return nil, s.blame(i, err, "network.", "network.")
	}
	if _, err := f.Check(s.Folder(a.ID), Checks()); err != nil {
		return nil, err
	}
	return f, nil
}

// certify puts the appliance's certificate and key into its set: those that it has, if they are right and will be for a
// while, else new ones.
func (s *Site) certify(a Appliance, f provision.Files) error {
	have, err := provision.ReadDir(s.Folder(a.ID))
	if err == nil && have[provision.KeyFile] != nil {
		cert, err := authority.Parse(have[provision.CertificateFile])
		right := err == nil && authority.Verify(cert, s.root, s.now.Add(renewBefore)) == nil && cert.VerifyHostname(a.ID) == nil &&
			(!a.Address.IsValid() || cert.VerifyHostname(addressText(a.Address)) == nil)
		if right {
			f[provision.CertificateFile], f[provision.KeyFile] = have[provision.CertificateFile], have[provision.KeyFile]
			return nil
		}
	}
	pair, err := s.authority.Issue(authority.Subject{ID: a.ID, Address: a.Address,
		From: s.now.Add(-authority.Backdate), Until: s.now.Add(authority.Lifetime)})
	f[provision.CertificateFile], f[provision.KeyFile] = pair.Cert, pair.Key
	return err
}

// renewBefore is how long before its end a certificate is replaced when the files are written.
const renewBefore = 365 * 24 * time.Hour

// configuration is what phoned.toml of an appliance says: what follows from the site, over it what all have, over it its
// own.
func (s *Site) configuration(i int) map[string]any {
	a := s.Appliances[i]
	var peers []map[string]any
	directory := map[string]any{}
	for j, p := range s.Appliances {
		if j != i && p.Address.IsValid() {
			peers = append(peers, map[string]any{"name": p.ID, "address": netip.AddrPortFrom(p.Address, sipsPort).String()})
			directory[p.Number] = fmt.Sprintf("sip:%s@%s:%d;transport=tls", p.Number, host(p.Address), sipsPort)
		}
	}
	listen := []any{fmt.Sprintf("udp:eth0:%d", sipPort), fmt.Sprintf("tcp:eth0:%d", sipPort), fmt.Sprintf("tls:eth0:%d", sipsPort)}
	if a.Address.Is6() {
		for j, l := range listen {
			listen[j] = strings.Replace(l.(string), "eth0", "[eth0]", 1)
		}
	}
	c := map[string]any{
		"appliance": map[string]any{"name": a.ID, "number": a.Number},
		"sip": map[string]any{"listen": listen,
			"tls_cert": On + "/" + provision.CertificateFile, "tls_key": On + "/" + provision.KeyFile, "site_ca": On + "/" + provision.SiteFile},
		"board":    map[string]any{"model": cmp.Or(a.Board, board.Auto)},
		"journal":  map[string]any{"path": On + "/journal/calls"},
		"selftest": map[string]any{"reports": On + "/reports"},
	}
	if len(peers) > 0 {
		c["federation"] = map[string]any{"peers": peers}
		c["dial"] = map[string]any{"directory": directory}
	}
	return s.expand(merge(merge(c, s.All), a.Config), a).(map[string]any)
}

func host(a netip.Addr) string {
	if a.Unmap().Is6() {
		return "[" + a.String() + "]"
	}
	return a.Unmap().String()
}

// merge lays one table over another; tables in both are merged, other values replaced.
func merge(under, over map[string]any) map[string]any {
	for key, v := range over {
		a, tableUnder := under[key].(map[string]any)
		b, tableOver := v.(map[string]any)
		if tableUnder && tableOver {
			v = merge(maps.Clone(a), b)
		}
		under[key] = v
	}
	return under
}

// expand copies a value and puts what is the appliance's own in place of {id}, {name}, {number}, {address} and {site}.
func (s *Site) expand(v any, a Appliance) any {
	switch v := v.(type) {
	case string:
		return strings.NewReplacer("{id}", a.ID, "{name}", a.Name, "{number}", a.Number, "{address}", addressText(a.Address), "{site}", s.Name).Replace(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = s.expand(v[i], a)
		}
		return list
	case map[string]any:
		table := make(map[string]any, len(v))
		for key := range v {
			table[key] = s.expand(v[key], a)
		}
		return table
	}
	return v
}

// takeSecrets puts the files that password_file keys name below secrets/ into the set, and makes the keys name them as they
// are called on the appliance.
func (s *Site) takeSecrets(v any, f provision.Files) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := s.takeSecrets(e, f); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			path, text := v[key].(string)
			if !text || key != "password_file" || !strings.HasPrefix(path, secrets+"/") {
				if err := s.takeSecrets(v[key], f); err != nil {
					return err
				}
				continue
			}
			if !filepath.IsLocal(path) || strings.Count(path, "/") != 1 {
				return fmt.Errorf("password_file = %q: want %s/NAME", path, secrets)
			}
			data, err := os.ReadFile(filepath.Join(s.dir, path))
			if err != nil {
				return fmt.Errorf("password_file = %q: %w; write the password into that file", path, err)
			}
			name := provision.SecretPrefix + strings.ToLower(filepath.Base(path))
			f[name], v[key] = data, On+"/"+name
		}
	}
	return nil
}

func encode(head string, table map[string]any) ([]byte, error) {
	text, err := toml.Marshal(table)
	return append([]byte(head), text...), err
}

// blame notes faults in a file of an appliance at the keys of site.toml that they came from, which stand in the appliance's
// table own or in the table all; those that came from none are returned.
func (s *Site) blame(i int, err error, own, all string) error {
	faults := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		faults = joined.Unwrap()
	}
	var rest []error
	for _, e := range faults {
		fault := (*tomlfile.Fault)(nil)
		if !errors.As(e, &fault) {
			rest = append(rest, fmt.Errorf("%s: %w", s.Appliances[i].ID, e))
			continue
		}
		origin := ""
		for _, path := range []string{fmt.Sprintf("appliances[%d].%s", i, own+fault.Path), all + fault.Path} {
			if s.file.Has(path) {
				origin = path
				break
			}
		}
		switch {
		case fault.Path == "board.model" && origin == "":
			origin = fmt.Sprintf("appliances[%d].board", i)
		case origin == "":
			rest = append(rest, fmt.Errorf("%s: %w", s.Appliances[i].ID, e))
			continue
		}
		if !s.file.Complained(origin) { // all appliances may have it
			s.file.Fail(origin, "%s", fault.Text)
		}
	}
	return errors.Join(rest...)
}
