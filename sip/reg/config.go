package reg

import (
	"errors"
	"fmt"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Config lists the accounts.
type Config struct {
	Accounts []Account `toml:"accounts" doc:"the accounts to keep registered; empty for an appliance without a registrar"`
}

// Account is one address-of-record at one registrar.
type Account struct {
	AOR          string        `toml:"aor" doc:"address-of-record to register, for example sip:701@example.com"`
	Registrar    string        `toml:"registrar" doc:"URI of the registrar, for example sip:pbx.example.com:5060; empty means the domain of aor"`
	Proxy        string        `toml:"proxy" doc:"URI of an outbound proxy that everything of this account goes through; empty for none"`
	Username     string        `toml:"username" doc:"user name for digest; empty means the user of aor"`
	PasswordFile string        `toml:"password_file" doc:"file whose first line is the password; empty for a registrar that asks for none"`
	Transport    string        `toml:"transport" doc:"udp, tcp or tls; empty leaves it to the registrar's URI and DNS"`
	SRTP         string        `toml:"srtp" doc:"encryption of the media of its calls: required, preferred or off; empty means calls.srtp"`
	Expires      time.Duration `toml:"expires" doc:"time to ask for; the registrar may grant less, refreshed at 90 %; 0s means 1h"`
	KeepAlive    time.Duration `toml:"keep_alive" doc:"pause between the OPTIONS that keep a NAT open and notice a dead registrar; 0s means 30s"`
}

// The values of an Account that does not set them.
const (
	defaultExpires   = time.Hour
	defaultKeepAlive = 30 * time.Second
)

// Default returns a configuration without accounts.
func Default() Config { return Config{} }

// Validate reports every value that cannot work, joined, each with its allowed range.
func (c Config) Validate() error {
	var errs []error
	seen := make(map[string]bool, len(c.Accounts))
	for i, a := range c.Accounts {
		faults := a.faults()
		if seen[a.AOR] {
			faults = append(faults, fmt.Errorf("aor = %q: is listed twice", a.AOR))
		}
		seen[a.AOR] = true
		for _, err := range faults {
			errs = append(errs, fmt.Errorf("accounts[%d].%w", i, err))
		}
	}
	return errors.Join(errs...)
}

func (a Account) faults() (errs []error) {
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	aor, err := parseURI(a.AOR)
	if err != nil || aor.User == "" {
		fail("aor = %q: wants a URI such as sip:701@example.com", a.AOR)
	}
	for _, uri := range [][2]string{{"registrar", a.Registrar}, {"proxy", a.Proxy}} {
		if _, err := parseURI(uri[1]); uri[1] != "" && err != nil {
			fail("%s = %q: wants a URI such as sip:pbx.example.com:5060", uri[0], uri[1])
		}
	}
	switch a.Transport {
	case "", "udp", "tcp", "tls":
	default:
		fail("transport = %q: allowed are udp, tcp, tls and nothing", a.Transport)
	}
	switch a.SRTP {
	case "", "off", "preferred", "required":
	default:
		fail("srtp = %q: allowed are required, preferred, off and nothing", a.SRTP)
	}
	// Zero: a table of the configuration file that does not say.
	if a.Expires != 0 && (a.Expires < time.Minute || a.Expires > 24*time.Hour) {
		fail("expires = %v: allowed are 1m to 24h", a.Expires)
	}
	if a.KeepAlive != 0 && (a.KeepAlive < 5*time.Second || a.KeepAlive > 10*time.Minute) {
		fail("keep_alive = %v: allowed are 0s and 5s to 10m", a.KeepAlive)
	}
	return errs
}

func parseURI(text string) (gosip.Uri, error) {
	var u gosip.Uri
	if strings.ContainsAny(text, "<>\" \t\r\n") {
		return u, fmt.Errorf("%q: not a plain URI", text)
	}
	if err := gosip.ParseUri(text, &u); err != nil {
		return u, err
	}
	if u.Scheme != "sip" && u.Scheme != "sips" || u.Host == "" || u.Wildcard {
		return u, fmt.Errorf("%q: not a SIP URI", text)
	}
	return u, nil
}
