package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parklamp/cmd/internal/authority"
	"parklamp/cmd/internal/provision"
	"parklamp/parkd/panel"
)

// Row is one appliance for a table.
type Row struct {
	ID, Number, Name, Board string
	Address                 string    // empty: none
	Expires                 time.Time // of the certificate; zero: none yet
	Fingerprint             string    // of the certificate
	Ready                   bool      // its files are those that site.toml asks for
}

// Rows are the appliances of the site in the order of site.toml.
func (s *Site) Rows() []Row {
	rows := make([]Row, len(s.Appliances))
	for i, a := range s.Appliances {
		rows[i] = Row{ID: a.ID, Number: a.Number, Name: a.Name, Board: a.Board, Address: addressText(a.Address), Ready: s.ready(i)}
		text, err := os.ReadFile(filepath.Join(s.Folder(a.ID), provision.CertificateFile))
		if err != nil {
			continue
		}
		if cert, err := authority.Parse(text); err == nil {
			rows[i].Expires, rows[i].Fingerprint = cert.NotAfter, authority.Fingerprint(cert)
		}
	}
	return rows
}

// ready says whether the folder of an appliance has what Write would write.
func (s *Site) ready(i int) bool {
	want, err := s.set(i)
	return err == nil && s.has(i, want)
}

// has says whether the folder of an appliance has exactly these files.
func (s *Site) has(i int, want provision.Files) bool {
	have, err := provision.ReadDir(s.Folder(s.Appliances[i].ID))
	return err == nil && maps.EqualFunc(want, have, bytes.Equal)
}

// Unfound are warnings of appliances that the others have no address of.
func (s *Site) Unfound() (warnings []string) {
	for _, a := range s.Appliances {
		if !a.Address.IsValid() && len(s.Appliances) > 1 {
			warnings = append(warnings, fmt.Sprintf("%s has no address: the others cannot see what it parks, nor call it", a.ID))
		}
	}
	return warnings
}

// Check says what is wrong with the folder, and what works and is not as it should be.
func (s *Site) Check() (warnings []string, err error) {
	sets, err := s.sets()
	warnings = s.Unfound()
	var stale []int
	for i, a := range s.Appliances {
		if err == nil && !s.has(i, sets[i]) {
			stale = append(stale, i)
		}
		if a.Address.Unmap().IsLoopback() {
			warnings = append(warnings, fmt.Sprintf("%s: address %s is found on its own machine alone: this is a site for trials on one machine, not for cards", a.ID, a.Address))
		}
		if own, set := s.static(i); set && own.IsValid() && a.Address.IsValid() && own != a.Address {
			warnings = append(warnings, fmt.Sprintf("%s gives itself %s by network.address, and the others look for it at %s", a.ID, own, a.Address))
		}
	}
	if err != nil {
		return warnings, err
	}
	if closed := s.closed(); len(closed) > 0 {
		warnings = append(warnings, fmt.Sprintf("%s: the panel listens to programs on the appliance alone, so that 'parkctl update --at' from here does not reach it: listen = \"0.0.0.0:8080\" under [all.panel] opens it, and to whoever reaches it also the keys",
			strings.Join(closed, ", ")))
	}
	for _, i := range stale {
		warnings = append(warnings, fmt.Sprintf("%s: its files are not what site.toml says: 'parkctl site write' makes them", s.Appliances[i].ID))
	}
	if s.root.NotAfter.Before(s.now.Add(renewBefore)) {
		warnings = append(warnings, fmt.Sprintf("the authority ends on %s: a new site folder is needed before", s.root.NotAfter.Format(time.DateOnly)))
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, appliances))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return warnings, err
	}
	for _, e := range entries {
		if s.index(e.Name()) < 0 {
			warnings = append(warnings, fmt.Sprintf("%s is not in %s: its certificate is still good; remove the folder if the appliance is gone", e.Name(), SiteFile))
		}
	}
	return append(warnings, s.exposed()...), nil
}

// closed are the appliances whose panel nobody reaches from another machine.
func (s *Site) closed() (ids []string) {
	for i, a := range s.Appliances {
		listen := panel.Default().Listen
		if table, ok := s.configuration(i).values["panel"].(map[string]any); ok {
			if text, ok := table["listen"].(string); ok {
				listen, _ = netip.ParseAddrPort(text) // another text is an error of Check
			}
		}
		if listen.Addr().IsLoopback() || listen.Port() == 0 {
			ids = append(ids, a.ID)
		}
	}
	return ids
}

// static is the address that an appliance gives itself by network.address; set is false if it gives itself none.
func (s *Site) static(i int) (own netip.Addr, set bool) {
	text, set := s.network(i).values["address"].(string)
	p, _ := netip.ParsePrefix(text) // another text is an error of Check
	return p.Addr(), set && text != ""
}

// Reserve lists the appliances, with their addresses, that do not give themselves theirs: the network must, as a DHCP server
// does that has them reserved.
func (s *Site) Reserve() (all []string) {
	for i, a := range s.Appliances {
		if _, set := s.static(i); !set && a.Address.IsValid() {
			all = append(all, a.ID+" "+a.Address.String())
		}
	}
	return all
}

// exposed names secrets that others on this machine can read.
func (s *Site) exposed() []string {
	paths := []string{filepath.Join(s.dir, AuthorityKey), filepath.Join(s.dir, UpdateKey)}
	for _, pattern := range []string{secrets + "/*", appliances + "/*/" + provision.KeyFile, appliances + "/*/" + provision.SecretPrefix + "*"} {
		found, _ := filepath.Glob(filepath.Join(s.dir, pattern)) // the pattern is right
		paths = append(paths, found...)
	}
	var out []string
	for _, path := range paths {
		if info, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			out = append(out, path+" is missing: restore your copy of it")
		} else if err != nil {
			out = append(out, err.Error())
		} else if info.Mode().Perm()&0o077 != 0 {
			out = append(out, fmt.Sprintf("%s can be read by others: chmod 600 %[1]s", path))
		}
	}
	slices.Sort(out)
	return out
}

// Renew gives an appliance a new key and certificate, for a key that somebody may have seen. The old certificate stays good
// until its end: there is no list of revoked ones.
func (s *Site) Renew(id string) error {
	if s.index(id) < 0 {
		return fmt.Errorf("site %s %w %s", s.Name, errNobody, id)
	}
	if err := s.keyless(); err != nil {
		return err // before the old pair is gone
	}
	for _, name := range []string{provision.CertificateFile, provision.KeyFile} {
		if err := os.Remove(filepath.Join(s.Folder(id), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	_, err := s.Write()
	return err
}
