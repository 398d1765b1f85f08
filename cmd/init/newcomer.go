package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/depot"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/netconf"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/supervise"
)

// An appliance without an identity asks the server that network.toml or DHCP names or, if neither does, those that its link
// names by DNS-SD. Once it has one, however it came, it asks nobody: neither DHCP nor the link proves anything, and whoever
// answers first must not be able to make another phone of this one. That holds as well where its files are damaged or refused, and
// where the card that had them does not show them.
// For the same reason http is good enough here and nowhere else: there is nothing yet that a forger could take over.

const (
	// fetchCommand as the first argument makes this program the child that fetches: TLS and its memory do not stay in PID 1.
	fetchCommand = "fetch"
	// The child's environment, which other users cannot read as they can its arguments: a URL may hold a password.
	fetchURL, fetchMAC = "PARKLAMP_URL", "PARKLAMP_MAC"
	fetchFolder        = "/run/parklamp-fetch" // of root, so that no other file can take the place of the one in it
	// byDNSSD in place of a URL: whoever the link names.
	byDNSSD = "dns-sd:"
	// nobodyThere is the child's exit status where nobody is named: nothing that must be told, as it is so on most links.
	nobodyThere = 3
)

// errKnown: there is an identity already.
var errKnown = errors.New("this appliance has an identity")

// newcomer looks for the identity of an appliance that has none.
type newcomer struct {
	urls   func() []string                                                // to ask now, the best first
	fetch  func(ctx context.Context, url string) (provision.Files, error) // brings what a server has for us
	take   func(where string, f provision.Files) error                    // brings it into force
	failed func(why string)
	stir   <-chan struct{} // urls may have changed
}

// run asks until there is an identity or ctx ends.
func (n *newcomer) run(ctx context.Context) {
	var patience depot.Patience
	var asked []string
	for ctx.Err() == nil {
		urls := n.urls()
		if !slices.Equal(urls, asked) {
			patience.Renew()
		}
		asked = urls
		done, why := n.ask(ctx, urls)
		if done {
			return
		}
		var again <-chan time.Time // never, without a URL
		if len(urls) > 0 {
			if why != "" {
				n.failed(why)
			}
			again = time.After(patience.Next(rand.Float64()))
		}
		n.wait(ctx, asked, again)
	}
}

// ask asks each server once; why is what each of them lacked.
func (n *newcomer) ask(ctx context.Context, urls []string) (done bool, why string) {
	var lacks []string
	for _, u := range urls {
		f, err := n.fetch(ctx, u)
		if err == nil {
			_, where, _ := strings.Cut(whereOf(u), "://")
			err = n.take(where, f)
		}
		if err == nil || errors.Is(err, errKnown) {
			return true, ""
		}
		if ctx.Err() != nil {
			return false, ""
		}
		if errors.Is(err, depot.ErrNobody) {
			continue
		}
		lacks = append(lacks, firstOf(err.Error()))
	}
	return false, strings.Join(lacks, "; ")
}

// wait returns when it is time to ask again or there are other servers to ask.
func (n *newcomer) wait(ctx context.Context, asked []string, again <-chan time.Time) {
	for {
		select {
		case <-n.stir:
			if !slices.Equal(n.urls(), asked) {
				return
			}
		case <-again:
			return
		case <-ctx.Done():
			return
		}
	}
}

// startNewcomer looks for an identity if there is none.
func (s *system) startNewcomer(g *group) {
	if !s.identity.isNew() {
		return
	}
	n := &newcomer{stir: s.network.newURLs, fetch: s.fetch,
		urls: func() []string {
			state := s.network.state()
			switch {
			case !state.Address.IsValid():
				return nil
			case s.network.cfg.URL != "":
				return []string{s.network.cfg.URL}
			case len(state.URLs) > 0:
				return state.URLs
			}
			return []string{byDNSSD}
		},
		failed: func(why string) {
			s.raise(health.Condition{Code: "provision.fetch", Text: "no identity from the network yet: " + why,
				Hint: "put this appliance's set where DHCP option 160 or 66 or DNS-SD points, named by its Ethernet address " + s.network.state().MAC})
		},
		take: func(where string, f provision.Files) error {
			set, err := s.identity.adopt(where, f, dataFolder, checks())
			if err != nil {
				return err
			}
			s.clear("provision.fetch")
			s.begin(g.ctx, set)
			return nil
		}}
	g.start(n.run)
}

// begin makes the appliance what its new set says, when no call is there: by a restart of phoned, or of the whole appliance if
// the set says more than phoned reads. Without a card that would end where it began; a system on trial may not be left.
func (s *system) begin(ctx context.Context, set *provision.Set) {
	if err := setHostname(set.Identity.ID); err != nil {
		s.log.Warn("hostname", "err", err)
	}
	what := initapi.Phoned
	if s.store.isOnCard() && !s.updates.onTrial() && (set.File(provision.NetworkFile) != nil || set.File(provision.UpdateFile) != nil) {
		what = initapi.Appliance
	}
	s.phone.forgive()
	s.restarts.restart(ctx, initapi.Restart{Service: what, When: initapi.Idle}, anybody)
}

// fetch lets a child of another user bring the archive into memory, and reads it.
func (s *system) fetch(ctx context.Context, url string) (provision.Files, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	u := &supervise.User{UID: parklampID, GID: parklampID}
	return fetchBy(ctx, s.reaper, supervise.Spec{Path: program, User: u, Output: s.logbook.Writer(fetchCommand, time.Now)}, fetchFolder, url, s.network.state().MAC)
}

// fetchBy is fetch by a program that understands fetchCommand, with files in a folder.
func fetchBy(ctx context.Context, r *supervise.Reaper, spec supervise.Spec, folder, url, mac string) (provision.Files, error) {
	path := filepath.Join(folder, "set")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	_ = os.Remove(path)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer os.Remove(path)
	if spec.User != nil {
		if err := f.Chown(int(spec.User.UID), int(spec.User.GID)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, depot.Limit+5*time.Second)
	defer cancel()
	spec.Args, spec.Env = []string{fetchCommand, path}, append(spec.Env, fetchURL+"="+url, fetchMAC+"="+mac)
	st, err := r.Do(ctx, spec)
	if err != nil {
		return nil, err
	}
	from := io.LimitReader(f, depot.MaxArchive)
	switch st.Wait.ExitStatus() {
	case 0:
	case nobodyThere:
		return nil, depot.ErrNobody
	default:
		why, _ := io.ReadAll(io.LimitReader(from, 1<<10))
		if len(why) == 0 {
			return nil, fmt.Errorf("fetch %s: %s", whereOf(url), st)
		}
		return nil, errors.New(string(why))
	}
	set, err := provision.ReadTar(from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", whereOf(url), err)
	}
	return set, nil
}

// fetchChild is the child: it leaves in the file what the server has, or why there is nothing. It returns the exit status.
func fetchChild(path string) int {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(context.Background(), depot.Limit)
	defer cancel()
	err = fetchTo(ctx, f)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, depot.ErrNobody):
		return nobodyThere
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(err.Error()), 0)
	return 1
}

// fetchTo writes what the server of the child's environment has to f, or what the first of the link's servers has.
func fetchTo(ctx context.Context, f *os.File) error {
	r := depot.Request{URL: os.Getenv(fetchURL), MAC: os.Getenv(fetchMAC), Authorities: []string{filepath.Join(bootMount, provision.Folder, provision.AuthorityFile)}}
	if r.URL != byDNSSD {
		return depot.Fetch(ctx, r, f)
	}
	offers, err := depot.Find(ctx, netconf.LinkName)
	if err != nil {
		return err
	}
	return fetchFirst(ctx, r, offers, f)
}

// fetchFirst writes what the first of the servers has that has something to f. Each gets an equal share of the time that is left:
// one that stalls takes none of the others'.
func fetchFirst(ctx context.Context, r depot.Request, offers []depot.Offer, f *os.File) error {
	var lacks []string
	for i, o := range offers {
		asking, cancel := ctx, context.CancelFunc(func() {})
		if end, limited := ctx.Deadline(); limited {
			asking, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(len(offers)-i))
		}
		r.URL, r.Address = o.URL, o.Address
		err := depot.Fetch(asking, r, f)
		cancel()
		if err == nil {
			return nil
		}
		lacks = append(lacks, err.Error())
		if _, err = f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err = f.Truncate(0); err != nil {
			return err
		}
	}
	return fmt.Errorf("found by DNS-SD: %s", strings.Join(lacks, "; "))
}

// whereOf is a URL as messages show it, with nothing secret.
func whereOf(url string) string {
	if url == byDNSSD {
		return "dns-sd://" + netconf.LinkName
	}
	return depot.Show(url)
}
