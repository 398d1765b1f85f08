package main

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"parklamp/board"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/netconf"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/slots"
)

// identity is who this appliance is.
type identity struct {
	*ground
	store *store

	mu       sync.Mutex
	is       provision.Identity // guarded by mu; zero: nobody
	nameless string             // guarded by mu: why the set that is there makes nobody of this appliance; "" without a set
}

// checks is what must hold of a set besides what package provision knows, before it is imported: what phoned or this
// program could not start with.
func checks() provision.Options {
	return provision.Options{Group: parklampID, Check: map[string]func(string, []byte) error{
		provision.PhonedFile:  provision.CheckPaths(dataFolder),
		provision.NetworkFile: func(name string, data []byte) error { _, err := netconf.Parse(name, data); return err },
		provision.BoardFile:   func(name string, data []byte) error { _, err := board.Parse(name, data); return err }}}
}

// takeIn brings the set of files on the boot partition into force if it is another than the one in use.
func (i *identity) takeIn(from, to string, o provision.Options) {
	f, err := provision.ReadDir(from)
	if err == nil && f.Bare() {
		err = provision.ErrNone // how to find an identity, and none
	}
	var res provision.Result
	if err == nil {
		res, err = f.Import(from, to, o)
	}
	i.settle(res, err, to)
	if err == nil && res.KeyLeft && i.store.isOnCard() {
		if err := i.store.removeKey(from); err != nil {
			i.log.Warn("the private key is still on the boot partition", "err", err)
		}
	}
}

// networkConfig is network.toml of the set in force, else that of the boot partition, which may be there without an identity.
func networkConfig(folders ...string) (netconf.Config, error) {
	for _, folder := range folders {
		path := filepath.Join(folder, provision.NetworkFile)
		if _, err := os.Stat(path); err == nil {
			return netconf.Load(path)
		}
	}
	return netconf.DefaultConfig(), nil
}

// settle says what came of an import into a folder.
func (i *identity) settle(res provision.Result, err error, to string) {
	if err != nil && !errors.Is(err, provision.ErrNone) {
		i.raise(health.Condition{Code: "provision", Severity: health.Error, Text: "the new identity is not used: " + err.Error(),
			Hint: "mend the folder parklamp of the card's first partition, or make it anew with parkctl site"})
	}
	set := res.Set
	if set == nil {
		var lost error
		if set, lost = provision.Current(to, provision.Options{}); lost != nil {
			if errors.Is(lost, provision.ErrNone) && err != nil {
				lost = err // what is on the boot partition is all that there is
			}
			none := noIdentity(lost)
			i.raise(none)
			i.mu.Lock()
			if i.nameless = none.Text; errors.Is(lost, provision.ErrNone) {
				i.nameless = ""
			}
			i.mu.Unlock()
			return
		}
	}
	i.clear(initapi.CodeIdentity)
	i.mu.Lock()
	i.is, i.nameless = set.Identity, ""
	i.mu.Unlock()
	i.log.Info("identity", "site", set.Identity.Site, "id", set.Identity.ID, "number", set.Identity.Number, "new", res.Imported, "was", res.Renamed)
}

// noIdentity tells a card that has never had an identity from one whose files are damaged or refused.
func noIdentity(err error) health.Condition {
	text := "this appliance has no identity yet"
	if !errors.Is(err, provision.ErrNone) {
		text = "the identity of this appliance cannot be used: " + err.Error()
	}
	return health.Condition{Code: initapi.CodeIdentity, Severity: health.Error, Text: text, Hint: "write one with make flash SITE=... ID=..., or name a server that has it by DHCP option 160 or 66"}
}

// isNew says that this appliance has never been anybody, as far as its card can tell.
func (i *identity) isNew() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	noCard := i.store.disk == nil && i.boot.Slot == slots.None // started over the network, or by hand
	return i.is.ID == "" && i.nameless == "" && (noCard || i.store.isOnCard())
}

// adopt brings a set that came over the network into force in a folder that has none.
func (i *identity) adopt(where string, f provision.Files, to string, o provision.Options) (*provision.Set, error) {
	if _, err := provision.Current(to, provision.Options{}); !errors.Is(err, provision.ErrNone) {
		return nil, errKnown
	}
	res, err := f.Import(where, to, o)
	if err != nil {
		return nil, err
	}
	i.settle(res, nil, to)
	return res.Set, nil
}

// hostname is the host name where network.toml has none.
func (i *identity) hostname() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.is.ID != "" {
		return i.is.ID
	}
	return ownHostname(firstMAC())
}

// lacks says why the set that is there makes nobody of this appliance; "" without a set.
func (i *identity) lacks() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.nameless
}
