// Package access decides who may call, park, fetch and watch: with a password file, everybody but the peers and the
// addresses that are trusted has to prove a user and a password by digest (RFC 3261 §22, RFC 8760). Without one, as on
// an isolated network of phones, nobody is asked. How many calls one address may begin and have is limited in any case.
// It starts no goroutine and never logs a password.
package access

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// maxUsers bounds the password file.
const maxUsers = 10000

// Config is the access section.
type Config struct {
	PasswordFile string       `toml:"password_file" doc:"file with a line user:password for each user who may call, park, fetch or watch; empty asks nobody"`
	Realm        string       `toml:"realm" doc:"realm of the challenge; phones show it"`
	Algorithms   []string     `toml:"algorithms" doc:"digest algorithms that are offered, preferred first: SHA-256, MD5; some old phones want MD5 alone"`
	Trusted      []netip.Addr `toml:"trusted" doc:"addresses that are not asked, such as the registrar's; peers never are"`

	InvitesPerMinute int `toml:"invites_per_minute" doc:"calls that one address may begin in a minute, more are answered 503; 0 is no limit. Not for trusted addresses and peers (0 to 100000)"`
	CallsPerSource   int `toml:"calls_per_source" doc:"calls that one address may have at the same time, more are answered 503; 0 is no limit. Not for trusted addresses and peers (0 to 10000)"`
}

// Default asks nobody.
func Default() Config {
	return Config{Realm: "parklamp", Algorithms: sip.Algorithms, Trusted: []netip.Addr{}, InvitesPerMinute: 600, CallsPerSource: 100}
}

// Validate reports a realm that cannot stand in a header and an algorithm that is not known.
func (c Config) Validate() error {
	if c.Realm == "" || len(c.Realm) > 64 || strings.ContainsAny(c.Realm, "\"\\\r\n") {
		return fmt.Errorf("realm = %q: 1 to 64 characters without quotes, backslashes and line breaks", c.Realm)
	}
	if len(c.Algorithms) == 0 {
		return fmt.Errorf("algorithms is empty: at least one of %s", strings.Join(sip.Algorithms, ", "))
	}
	for i, a := range c.Algorithms {
		if !slices.Contains(sip.Algorithms, a) {
			return fmt.Errorf("algorithms[%d] = %q: one of %s", i, a, strings.Join(sip.Algorithms, ", "))
		}
	}
	if c.InvitesPerMinute < 0 || c.InvitesPerMinute > 100000 {
		return fmt.Errorf("invites_per_minute = %d: allowed are 0 to 100000", c.InvitesPerMinute)
	}
	if c.CallsPerSource < 0 || c.CallsPerSource > 10000 {
		return fmt.Errorf("calls_per_source = %d: allowed are 0 to 10000", c.CallsPerSource)
	}
	return nil
}

// IsPeer says whether an appliance of the site is at an address, or among the names that a far end has proved.
type IsPeer func(a netip.Addr, proved []string) bool

// trusts says whether who sent a request is never asked or refused.
func (c Config) trusts(a netip.Addr, proved []string, isPeer IsPeer) bool {
	return slices.Contains(c.Trusted, a) || isPeer != nil && isPeer(a, proved)
}

// Guard returns what sip.Endpoint.Guard takes, nil when nobody is asked. Who isPeer says is
// trusted as well; it may be nil.
func Guard(c Config, isPeer IsPeer) (func(req *gosip.Request, tx *sip.ServerTx) bool, error) {
	if c.PasswordFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("access.password_file: %w", err)
	}
	passwords, err := parse(c.PasswordFile, text)
	if err != nil {
		return nil, err
	}
	door := sip.NewAuthenticator(c.Realm, func(user string) (string, bool) {
		p, ok := passwords[user]
		return p, ok
	}, c.Algorithms...)
	return func(req *gosip.Request, tx *sip.ServerTx) bool {
		return c.trusts(tx.Source().Addr().Unmap(), tx.Proved(), isPeer) || door.Check(req, tx)
	}, nil
}

// parse reads user:password lines; empty lines and lines that begin with # are passed over. Errors name the line and
// nothing of what it holds.
func parse(file string, text []byte) (map[string]string, error) {
	passwords := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, password, ok := strings.Cut(line, ":")
		switch {
		case !ok || user == "" || password == "":
			return nil, fmt.Errorf("%s:%d: want user:password", file, n)
		case passwords[user] != "":
			return nil, fmt.Errorf("%s:%d: that user stands in the file already", file, n)
		case len(passwords) == maxUsers:
			return nil, fmt.Errorf("%s:%d: more than %d users", file, n, maxUsers)
		}
		passwords[user] = password
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return passwords, nil
}
