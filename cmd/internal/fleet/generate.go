package fleet

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
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
	"parklamp/sip"
)

// on is the folder in which an appliance keeps its set.
const on = provision.DataFolder

// SIP ports of an appliance.
const (
	sipPort  = 5060
	sipsPort = 5061
)

// Checks are what provision does not know of a set.
func Checks() provision.Options {
	return provision.Options{Check: map[string]func(string, []byte) error{
		provision.PhonedFile: func(name string, text []byte) error {
			return errors.Join(config.CheckElsewhere(name, text), provision.CheckPaths(on)(name, text))
		},
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
	sets, err := s.sets()
	if err != nil {
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

// sets makes the files of every appliance, or says what is wrong with any of them.
func (s *Site) sets() ([]provision.Files, error) {
	sets := make([]provision.Files, len(s.Appliances))
	var errs []error
	s.twice()
	for i := range s.Appliances {
		if s.broken[i] {
			continue // which is told of already
		}
		var err error
		sets[i], err = s.set(i)
		if err != nil && !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) { // of a file that several have
			errs = append(errs, err)
		}
	}
	return sets, errors.Join(append(errs, s.file.Err())...)
}

// twice notes the appliances that give themselves an address that another has.
func (s *Site) twice() {
	holder := map[netip.Addr]string{}
	for _, a := range s.Appliances {
		if a.Address.IsValid() {
			holder[a.Address.Unmap()] = a.ID
		}
	}
	for i, a := range s.Appliances {
		own, set := s.static(i)
		if !set || !own.IsValid() {
			continue
		}
		own = own.Unmap()
		if other, has := holder[own]; has && other != a.ID {
			if at := s.network(i); !s.file.Complained(at.origin("address")) {
				s.file.Fail(at.origin("address"), "%q: %s would have it as well as %s; \"{address}/24\" is each appliance's own", at.values["address"], a.ID, other)
			}
			continue
		}
		holder[own] = a.ID
	}
}

// update makes a folder have exactly the files of a set.
func update(dir string, want provision.Files) (differs bool, err error) {
	if differs, err = sweep(dir, want); err != nil {
		return differs, err
	}
	have, err := provision.ReadDir(dir)
	if err != nil && !errors.Is(err, provision.ErrNone) {
		return differs, err
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

// sweep takes away the secrets of a folder that are not those of its set, and what has another length than in it. They may be such
// as no set can have, which Write did not always refuse, and with which the folder could not be read any more.
func sweep(dir string, want provision.Files) (differs bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		data, ok := want[e.Name()]
		if ok && info.Size() != int64(len(data)) || !ok && strings.HasPrefix(e.Name(), provision.SecretPrefix) {
			differs = true
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return differs, err
			}
		}
	}
	return differs, nil
}

// Folder is where the files of an appliance are, as they go onto its card.
func (s *Site) Folder(id string) string { return filepath.Join(s.dir, appliances, id) }

// set makes the files of an appliance and checks them; none if they are wrong, which is noted at the lines of site.toml that
// it comes from.
func (s *Site) set(i int) (provision.Files, error) {
	a := s.Appliances[i]
	f := provision.Files{}
	files := map[string]made{provision.PhonedFile: s.configuration(i), provision.IdentityFile: s.identity(i)}
	if network := s.network(i); len(network.values) > 0 {
		files[provision.NetworkFile] = network
	}
	phoned := files[provision.PhonedFile]
	s.takeSecrets("", phoned.values, &phoned, f, map[string]secretFile{})
	for name, m := range files {
		head := ""
		if name == provision.PhonedFile {
			head = "# Written by parkctl site from site.toml: change that instead.\n\n"
		}
		var err error
		if f[name], err = encode(head, m.values); err != nil {
			return nil, err
		}
	}
	for name, from := range map[string]string{provision.AuthorityFile: authorityFile, provision.UpdateFile: updatePub} {
		var err error
		if f[name], err = os.ReadFile(filepath.Join(s.dir, from)); err != nil {
			return nil, err
		}
	}
	var noBoard error
	if IsDefinition(a.Board) {
		if f[provision.BoardFile], noBoard = s.boardFile(i); f[provision.BoardFile] == nil {
			delete(f, provision.BoardFile) // the rest is looked at without
		}
	}
	if err := s.certify(a, f); err != nil {
		return nil, err
	}
	if _, err := f.Check(s.Folder(a.ID), Checks()); err != nil {
		return nil, errors.Join(noBoard, s.blame(a, err, files))
	}
	if IsDefinition(a.Board) && f[provision.BoardFile] == nil {
		return nil, noBoard
	}
	return f, nil
}

// IsDefinition says whether what names a board names a definition of one's own, a file, and no model.
func IsDefinition(board string) bool { return strings.HasSuffix(board, ".toml") }

// Model is the built-in model of an appliance: its board, or the one that its own definition is made from, which the device tree's
// names in it tell. "" where nothing says that.
func (s *Site) Model(a Appliance) (string, error) {
	switch {
	case a.Board == board.Auto:
		return "", nil
	case !IsDefinition(a.Board):
		return a.Board, nil
	}
	m, err := board.Config{File: filepath.Join(s.dir, a.Board)}.Load(nil)
	if err != nil {
		return "", err
	}
	name, err := board.Detect(m.Compatible)
	if errors.Is(err, board.ErrUnknownBoard) {
		return "", nil
	}
	return name, err
}

// boardFile reads the board definition of an appliance.
func (s *Site) boardFile(i int) ([]byte, error) {
	name := s.Appliances[i].Board
	path := filepath.Join(s.dir, name)
	text, err := os.ReadFile(path)
	if err == nil && filepath.IsLocal(name) {
		if _, err = board.Parse(path, text); err != nil {
			return nil, err
		}
		return text, nil
	}
	if !filepath.IsLocal(name) || errors.Is(err, fs.ErrNotExist) {
		s.file.Fail(entryKey(i)+".board", "%q: want a model, or a board definition in %s", name, s.dir)
		return nil, nil
	}
	return nil, err
}

// certify puts the appliance's certificate and key into its set: those that it has, if they are right and will be for a
// while, else new ones.
func (s *Site) certify(a Appliance, f provision.Files) error {
	own, err := os.ReadFile(filepath.Join(s.Folder(a.ID), provision.CertificateFile))
	key, noKey := os.ReadFile(filepath.Join(s.Folder(a.ID), provision.KeyFile))
	if err == nil && noKey == nil {
		cert, err := authority.Parse(own)
		right := err == nil && authority.Verify(cert, s.root, s.now.Add(renewBefore)) == nil && cert.VerifyHostname(a.ID) == nil &&
			(!a.Address.IsValid() || cert.VerifyHostname(addressText(a.Address)) == nil)
		if right {
			f[provision.CertificateFile], f[provision.KeyFile] = own, key
			return nil
		}
	}
	if err := s.keyless(); err != nil {
		return err
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
func (s *Site) configuration(i int) made {
	a, at := s.Appliances[i], entryKey(i)
	from := map[string]source{"": {at, true}, "appliance.name": {at + ".id", true}, "appliance.number": {at + ".number", true},
		"board": {at + ".board", true}, "sip": {at + ".address", true}}
	var peers []map[string]any
	directory := map[string]any{}
	for j, p := range s.Appliances {
		if j != i && p.Address.IsValid() && !s.broken[j] {
			from[fmt.Sprintf("federation.peers[%d]", len(peers))] = source{entryKey(j) + ".address", true}
			from["dial.directory."+p.Number] = source{entryKey(j) + ".number", true}
			peers = append(peers, map[string]any{"name": p.ID, "address": netip.AddrPortFrom(p.Address, sipsPort).String()})
			directory[p.Number] = fmt.Sprintf("sip:%s@%s:%d;transport=tls", p.Number, sip.Host(p.Address), sipsPort)
		}
	}
	link := netconf.LinkName
	if a.Address.Is6() {
		link = "[" + link + "]"
	}
	listen := []any{fmt.Sprintf("udp:%s:%d", link, sipPort), fmt.Sprintf("tcp:%s:%d", link, sipPort), fmt.Sprintf("tls:%s:%d", link, sipsPort)}
	c := map[string]any{
		"appliance": map[string]any{"name": a.ID, "number": a.Number},
		"sip": map[string]any{"listen": listen,
			"tls_cert": on + "/" + provision.CertificateFile, "tls_key": on + "/" + provision.KeyFile, "site_ca": on + "/" + provision.AuthorityFile},
		"board":    map[string]any{"model": cmp.Or(a.Board, board.Auto)},
		"journal":  map[string]any{"path": filepath.Join(on, provision.JournalFolder, "calls")},
		"selftest": map[string]any{"reports": filepath.Join(on, provision.ReportsFolder)},
	}
	if IsDefinition(a.Board) {
		c["board"] = map[string]any{"file": on + "/" + provision.BoardFile}
	}
	if len(peers) > 0 {
		c["federation"] = map[string]any{"peers": peers}
		c["dial"] = map[string]any{"directory": directory}
	}
	m := made{c, from}
	m.lay(s.All, "all")
	m.lay(a.Config, at+".config")
	s.doubt(&m)
	m.values = s.expand(m.values, a).(map[string]any)
	return m
}

// placeholder is what expand looks for, and what it may be mistyped as.
var placeholder = regexp.MustCompile(`\{[A-Za-z0-9_ ]*\}`)

// placeholders are what expand knows.
const placeholders = "{id}, {name}, {number}, {address}, {site}"

// doubt notes what is no fault where the files are used, but cannot be meant: placeholders of another name, and a board
// definition in a folder that the appliance does not have.
func (s *Site) doubt(m *made) {
	fail := func(path, format string, args ...any) {
		if at := m.origin(path); !s.file.Complained(at) { // all appliances may have it
			s.file.Fail(at, format, args...)
		}
	}
	var look func(path string, v any)
	look = func(path string, v any) {
		switch v := v.(type) {
		case string:
			for _, p := range placeholder.FindAllString(v, -1) {
				if !strings.Contains(placeholders, p) {
					fail(path, "%q: %s stands for nothing; there are %s", v, p, placeholders)
				}
			}
		case []any:
			for i := range v {
				look(fmt.Sprintf("%s[%d]", path, i), v[i])
			}
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				look(tomlfile.Join(path, key), v[key])
			}
		}
	}
	look("", m.values)
	table, _ := m.values["board"].(map[string]any)
	if file, _ := table["file"].(string); file != "" && !filepath.IsAbs(file) {
		fail("board.file", `%q: the appliance has no such file; board = "dock.toml" under [[appliances]] names a definition in the folder of the site, and puts it on the card`, file)
	}
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

// secretFile is the file of a secret in the folder of the site, and the key that names it.
type secretFile struct{ at, file string }

// takeSecrets puts the files that password_file keys name below secrets/ into the set, and makes the keys name them as they
// are called on the appliance. taken is which each of those names is already.
func (s *Site) takeSecrets(path string, v any, m *made, f provision.Files, taken map[string]secretFile) {
	fail := func(at, file string, err error) {
		if origin := m.origin(at); !s.file.Complained(origin) {
			s.file.Fail(origin, "%q: %v", file, err)
		}
	}
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			s.takeSecrets(fmt.Sprintf("%s[%d]", path, i), e, m, f, taken)
		}
	case map[string]any:
		for key, value := range v {
			at := tomlfile.Join(path, key)
			file, text := value.(string)
			if !text || key != "password_file" || !strings.HasPrefix(file, secrets+"/") {
				s.takeSecrets(at, value, m, f, taken)
				continue
			}
			data, err := os.ReadFile(filepath.Join(s.dir, file))
			name, unfit := provision.Secret(filepath.Base(file), data)
			switch {
			case !filepath.IsLocal(file) || strings.Count(file, "/") != 1:
				err = fmt.Errorf("want %s/NAME", secrets)
			case unfit != nil:
				err = unfit
			case errors.Is(err, fs.ErrNotExist):
				err = fmt.Errorf("there is no such file in %s: write the password into that file", s.dir)
			}
			if err != nil {
				fail(at, file, err)
			}
			if other, is := taken[name]; is && other.file != file {
				fail(other.at, other.file, fmt.Errorf("would be the same file on the card as %q: names there have small letters", file))
				fail(at, file, fmt.Errorf("would be the same file on the card as %q: names there have small letters", other.file))
			}
			taken[name] = secretFile{at, file}
			f[name], v[key] = data, on+"/"+name
		}
	}
}

func encode(head string, table map[string]any) ([]byte, error) {
	text, err := toml.Marshal(table)
	return append([]byte(head), text...), err
}
