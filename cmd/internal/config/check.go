package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/board"
	"parklamp/cmd/internal/access"
	"parklamp/cmd/internal/tomlfile"
	"parklamp/media/audio"
	"parklamp/media/moh"
	"parklamp/sip"
)

// faults are what is wrong with a file; they know what no section knows.
type faults struct{ *tomlfile.File }

// maxFaults bounds how often one section is asked.
const maxFaults = 100

// validator is a section that knows its ranges. Its error begins with the key, or is several such errors, joined.
type validator interface{ Validate() error }

// validate asks each section for every wrong value, and finds the line of the key that each error names. A section may stop
// at the first but for the entries of a list; so what it has named is put right in a copy, and it is asked again.
func (a *faults) validate(c reflect.Value) {
	well := Default()
	well.complete()
	defaults := reflect.ValueOf(well)
	for i := range c.NumField() {
		section := tomlfile.KeyOf(c.Type().Field(i))
		copied := reflect.New(c.Field(i).Type()).Elem()
		copied.Set(c.Field(i))
		r := repairs{at: copied, defaults: defaults.Field(i), removed: map[string][]int{}}
		for range maxFaults {
			v, ok := copied.Interface().(validator)
			if !ok {
				break
			}
			var keys []string
			for _, err := range each(v.Validate()) {
				keys = append(keys, a.complain(section, err.Error(), &r))
			}
			if !r.repairAll(keys) {
				break
			}
		}
	}
}

// each are the errors that one is made of.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// complain notes what a section says of a copy and returns the key in it, as the copy counts.
func (a *faults) complain(section, text string, r *repairs) (key string) {
	key, path := leadingKey.FindString(text), section
	if key != "" {
		path = tomlfile.Join(section, r.original(key))
		if origin, ok := origins[path]; ok {
			path = origin
		}
		text = strings.TrimLeft(text[len(key):], " :")
		if value, ok := strings.CutPrefix(text, "= "); ok {
			text = value
		}
	}
	if !a.Complained(path) {
		a.Fail(path, "%s", text)
	}
	return key
}

// origins are the keys in a file behind the values that complete fills in.
var origins = map[string]string{"federation.name": "appliance.name", "phone.undo": "lot.undo_window",
	"phone.park_timeout": "lot.claim_timeout", "phone.fetch_timeout": "lot.fetch_timeout"}

// leadingKey is the key that a section's error begins with, such as "peers[1].address".
var leadingKey = regexp.MustCompile(`^[a-z][A-Za-z0-9_*#]*(\[[0-9]+\])?(\.[A-Za-z0-9_*#]+)*`)

// repairs is a copy of a section in which wrong values are put right. An element of a list is taken out whole.
type repairs struct {
	at, defaults reflect.Value
	removed      map[string][]int // by list: the elements taken out, as the file counts, ascending
}

// indexed is the first step of a key: a field, and the element of a list.
var indexed = regexp.MustCompile(`^([a-z0-9_]+)(?:\[([0-9]+)\])?`)

// original is a key as the file counts.
func (r *repairs) original(key string) string {
	m := indexed.FindStringSubmatch(key)
	if m == nil || m[2] == "" {
		return key
	}
	return fmt.Sprintf("%s[%d]%s", m[1], r.place(m[1], m[2]), key[len(m[0]):])
}

// place is where the element of a list stood before others were taken out.
func (r *repairs) place(list, index string) int {
	n, _ := strconv.Atoi(index) // digits, by the pattern
	for _, gone := range r.removed[list] {
		if gone <= n {
			n++
		}
	}
	return n
}

// repairAll puts values right and says whether it could any, the last of a list first: those behind one that is taken out move.
func (r *repairs) repairAll(keys []string) (any bool) {
	before := ""
	for _, key := range slices.Backward(keys) {
		if entry := indexed.FindString(key); strings.HasSuffix(entry, "]") {
			if entry == before {
				continue // is taken out already
			}
			before = entry
		}
		any = r.repair(key) || any
	}
	return any
}

// repair puts a value right and says whether it could.
func (r *repairs) repair(key string) bool {
	m := indexed.FindStringSubmatch(key)
	if m == nil {
		return false
	}
	for i := range r.at.NumField() {
		if tomlfile.KeyOf(r.at.Type().Field(i)) != m[1] && !(tomlfile.KeyOf(r.at.Type().Field(i)) == "" && strings.EqualFold(r.at.Type().Field(i).Name, m[1])) {
			continue
		}
		field := r.at.Field(i)
		switch rest := key[len(m[0]):]; {
		case m[2] != "" && field.Kind() == reflect.Slice:
			n, _ := strconv.Atoi(m[2])
			if n >= field.Len() {
				return false
			}
			place := r.place(m[1], m[2])
			kept := reflect.AppendSlice(reflect.MakeSlice(field.Type(), 0, field.Len()), field.Slice(0, n))
			field.Set(reflect.AppendSlice(kept, field.Slice(n+1, field.Len())))
			r.removed[m[1]] = append(r.removed[m[1]], place)
			slices.Sort(r.removed[m[1]])
		case rest != "" && field.Kind() == reflect.Map:
			kept := reflect.MakeMap(field.Type())
			for it := field.MapRange(); it.Next(); {
				if it.Key().String() != rest[1:] {
					kept.SetMapIndex(it.Key(), it.Value())
				}
			}
			field.Set(kept)
		case rest != "" && field.Kind() == reflect.Struct:
			inner := repairs{at: field, defaults: r.defaults.Field(i), removed: map[string][]int{}}
			return inner.repair(rest[1:])
		default:
			if reflect.DeepEqual(field.Interface(), r.defaults.Field(i).Interface()) {
				return false // the default is not right either, with the other values
			}
			field.Set(r.defaults.Field(i))
		}
		return true
	}
	return false
}

// inspect refuses what is in range and cannot work.
func (a *faults) inspect(c Config) {
	for i, text := range c.SIP.Listen {
		_, at, _ := strings.Cut(text, ":")
		if ap, err := netip.ParseAddrPort(at); err == nil && ap.Port() == 0 {
			a.try(fmt.Sprintf("sip.listen[%d]", i), fmt.Errorf("%q: nobody could know the port: name one, such as 5060", text))
		}
	}
	a.inspectPorts(c)
	for number, text := range c.Dial.Directory {
		var u gosip.Uri
		if err := gosip.ParseUri(text, &u); err != nil || u.Host == "" || strings.ContainsAny(text, " \t<>\"") {
			a.try("dial.directory."+number, fmt.Errorf("%q: want a SIP URI, such as \"sip:201@192.0.2.7\"", text))
		}
	}
	if c.SIP.SiteCA != "" && !slices.ContainsFunc(c.SIP.Listen, func(l string) bool { return strings.HasPrefix(l, "tls:") }) {
		a.try("sip.listen", fmt.Errorf("has no tls socket, such as \"tls:eth0:5061\": peers come by TLS where sip.site_ca is set (%q)", c.SIP.SiteCA))
	}
	if c.Calls.SRTP == "required" && !slices.ContainsFunc(c.SIP.Listen, func(l string) bool { return strings.HasPrefix(l, "tls:") }) {
		a.try("calls.srtp", errors.New(`"required": no call could be had: keys need TLS, and sip.listen has no tls socket`))
	}
	for i, account := range c.Registration.Accounts {
		if account.SRTP == "required" && (account.Transport == "udp" || account.Transport == "tcp") {
			a.try(fmt.Sprintf("registration.accounts[%d].srtp", i),
				fmt.Errorf(`"required": no call could be had: keys need TLS, and transport is %q; allowed is transport = "tls"`, account.Transport))
		}
	}
	if len(c.Phone.DialPlan) == 0 {
		a.try("phone.dial_plan", errors.New(`is empty: no number could be dialled; the default is ["xx.T", "*xx.T", "*xx*xx.T"]`))
	}
	for i, e := range c.Lot.Escalation {
		var u gosip.Uri
		if strings.ContainsAny(e.To, " \t") || strings.Contains(e.To, ":") && (gosip.ParseUri(e.To, &u) != nil || u.Host == "") {
			a.try(fmt.Sprintf("lot.escalation[%d].to", i), fmt.Errorf("%q: want a URI or an extension without spaces", e.To))
		}
	}
	for i, t := range c.Access.Trusted {
		if t.IsUnspecified() || t.IsMulticast() {
			a.try(fmt.Sprintf("access.trusted[%d]", i), fmt.Errorf("%q: want the address of one machine", t))
		}
	}
	if at := c.Panel.Listen.Addr(); at.IsValid() && at.IsMulticast() {
		a.try("panel.listen", fmt.Errorf("%q: want an address of this machine, or 0.0.0.0:0 for none", c.Panel.Listen))
	}
}

// inspectPorts refuses a range of RTP ports that SIP is in, and one that has no room for the sessions that the file names. Who
// names a narrow range alone has as many sessions as it has ports for.
func (a *faults) inspectPorts(c Config) {
	low, high := int(c.Media.PortMin), int(c.Media.PortMax)
	key := "media.port_min"
	if a.Has("media.port_max") && !a.Has(key) {
		key = "media.port_max"
	}
	for i, text := range c.SIP.Listen {
		port, err := strconv.Atoi(text[strings.LastIndex(text, ":")+1:])
		if err != nil || !strings.HasPrefix(text, "udp:") || port < low || port > high {
			continue
		}
		if !a.Has(key) {
			key = fmt.Sprintf("sip.listen[%d]", i)
		}
		a.try(key, fmt.Errorf("the RTP ports %d to %d hold the port of sip.listen[%d] = %q; name a range, or a port, beside it", low, high, i, text))
		break
	}
	if room := (high - (low + low%2) + 1) / 2; a.Has("media.max_sessions") && c.Media.MaxSessions > room && room > 0 {
		a.try("media.max_sessions", fmt.Errorf("%d: %d is allowed, as the ports %d to %d (media.port_min, media.port_max) have room for; a session takes two",
			c.Media.MaxSessions, room, low, high))
	}
}

// openFiles reads what the programs will read.
func (a *faults) openFiles(c Config) {
	_, err := moh.Open(c.Music)
	a.try("music.file", err)
	_, err = audio.OpenSpeech(c.Audio)
	a.try("audio.speech", err)
	a.openNeeded(c)
}

// openNeeded reads what they cannot do without.
func (a *faults) openNeeded(c Config) {
	_, err := c.Board.Load(c.Lot.Orbits)
	if !errors.Is(err, board.ErrUnknownBoard) { // which is no reason not to start
		key := "board.file"
		if c.Board.File == "" {
			key = "board.model"
		}
		a.try(key, err)
	}
	_, err = access.Guard(c.Access, nil)
	a.try("access.password_file", err)
	for i, account := range c.Registration.Accounts {
		if account.PasswordFile != "" {
			a.try(fmt.Sprintf("registration.accounts[%d].password_file", i), readable(account.PasswordFile))
		}
	}
	pair := sip.Default()
	pair.Listen = []string{"udp:127.0.0.1:5060"} // New reads the files and opens no socket
	pair.TLSCert, pair.TLSKey = c.SIP.TLSCert, c.SIP.TLSKey
	_, err = sip.New(pair, nil)
	a.try("sip.tls_cert", err)
	if c.SIP.SiteCA != "" && c.SIP.TLSCert != "" && !a.Complained("sip.tls_cert") {
		pair.SiteCA = c.SIP.SiteCA
		_, err = sip.New(pair, nil)
		a.try("sip.site_ca", err)
	}
	pair.TLSCert, pair.TLSKey, pair.SiteCA, pair.TLSCA = "", "", "", c.SIP.TLSCA
	_, err = sip.New(pair, nil)
	a.try("sip.tls_ca", err)
}

// try complains about a key if there is an error and it has not been complained about.
func (a *faults) try(path string, err error) {
	if err != nil && !a.Complained(path) {
		a.Fail(path, "%s", strings.ReplaceAll(strings.TrimPrefix(err.Error(), path+": "), "\n", "; ")) // a line each
	}
}

// readable says why a file cannot be read.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s is empty", path)
	}
	return err
}
