package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"parklamp/cmd/internal/fleet"
	"parklamp/cmd/internal/provision"
)

// siteFlags are the flags of site add.
type siteFlags struct{ name, number, address, board string }

func (t *tool) siteNew(_ context.Context, args []string) error {
	dir := args[0]
	name := filepath.Base(filepath.Clean(dir))
	if t.site.name != "" {
		name = t.site.name
	}
	if err := fleet.New(dir, name, time.Now()); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "Site %s is in %s. Keep %s and %s there secret, and keep a copy: without them no appliance can be added.\nNext: parkctl site add %s dock-1 --address 192.0.2.1\n",
		name, dir, fleet.AuthorityKey, fleet.UpdateKey, dir)
	return nil
}

func (t *tool) siteAdd(_ context.Context, args []string) error {
	a := fleet.Appliance{ID: args[1], Name: t.site.name, Number: t.site.number, Board: t.site.board}
	if t.site.address != "" {
		var err error
		if a.Address, err = netip.ParseAddr(t.site.address); err != nil {
			return usagef(`--address %q: want an IP address, such as 192.0.2.7`, t.site.address)
		}
	}
	a, err := fleet.Add(args[0], a, time.Now())
	if err != nil {
		return configError{err}
	}
	fmt.Fprintf(t.out, "%s has number %s.\n", a.ID, a.Number)
	return t.siteWrite(context.Background(), args[:1])
}

func (t *tool) siteWrite(_ context.Context, args []string) error {
	s, err := fleet.Open(args[0], time.Now())
	if err != nil {
		return configError{err}
	}
	changed, err := s.Write()
	if err != nil {
		return configError{err}
	}
	defer t.reserve(s)
	t.warn(s.Unfound())
	if len(changed) == 0 {
		fmt.Fprintln(t.out, "Nothing has changed.")
		return nil
	}
	t.onCards(changed...)
	return nil
}

// onCards says what is still to be done with what was written.
func (t *tool) onCards(changed ...string) {
	fmt.Fprintf(t.out, "Written for %s. An appliance that runs knows it when its card has it: make flash, or copy the folder to parklamp/ of its boot partition.\n",
		strings.Join(changed, ", "))
}

func (t *tool) siteList(_ context.Context, args []string) error {
	s, err := fleet.Open(args[0], time.Now())
	if err != nil {
		return configError{err}
	}
	rows := s.Rows()
	if t.json {
		return json.NewEncoder(t.out).Encode(rows)
	}
	out := [][]cell{head("ID", "NUMBER", "NAME", "ADDRESS", "BOARD", "CERTIFICATE UNTIL", "FILES")}
	for _, r := range rows {
		until, files := "", cell{"written", green}
		if !r.Expires.IsZero() {
			until = r.Expires.Format(time.DateOnly)
		}
		if !r.Ready {
			files = cell{"to be written", yellow}
		}
		out = append(out, []cell{{text: r.ID}, {text: r.Number}, {text: r.Name}, {text: r.Address}, {text: r.Board}, {text: until}, files})
	}
	t.table(t.out, out)
	return nil
}

func (t *tool) siteCheck(_ context.Context, args []string) error {
	s, err := fleet.Open(args[0], time.Now())
	if err != nil {
		return configError{err}
	}
	warnings, err := s.Check()
	t.warn(warnings)
	if err != nil {
		return configError{err}
	}
	fmt.Fprintf(t.out, "%s is right: %d appliances.\n", filepath.Join(args[0], fleet.SiteFile), len(s.Appliances))
	t.reserve(s)
	return nil
}

func (t *tool) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(t.out, "warning: %s\n", w)
	}
}

// reserve says whose address is not theirs by site.toml alone.
func (t *tool) reserve(s *fleet.Site) {
	if all := s.Reserve(); len(all) > 0 {
		fmt.Fprintf(t.out, "The DHCP server must have these addresses reserved (or set network.address): %s.\n", strings.Join(all, ", "))
	}
}

func (t *tool) siteRenew(_ context.Context, args []string) error {
	s, err := fleet.Open(args[0], time.Now())
	if err != nil {
		return configError{err}
	}
	if err := s.Renew(args[1]); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%s has a new key and certificate. The old certificate is good until its end: if its key was stolen, make a new site.\n", args[1])
	t.onCards(args[1])
	return nil
}

// siteCard checks a folder as it is on a card.
func (t *tool) siteCard(_ context.Context, args []string) error {
	set, err := provision.Read(args[0], fleet.Checks())
	if err != nil {
		return configError{err}
	}
	if w := set.Warning(); w != "" {
		fmt.Fprintf(t.out, "warning: %s\n", w)
	}
	fmt.Fprintf(t.out, "%s is right: %s of site %s, number %s.\n", args[0], set.Identity.ID, set.Identity.Site, set.Identity.Number)
	return nil
}
