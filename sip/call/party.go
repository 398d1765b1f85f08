package call

import (
	"errors"
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// errAddress says that a name-addr could not be read.
var errAddress = errors.New("call: unreadable address")

// Party is a person or a line at one end of a call, as shown to people.
type Party struct {
	Name   string `json:"name"`   // display name, "" if none was given; "Anonymous" if the caller asked for privacy
	URI    string `json:"uri"`    // "sip:4711@example.com", without parameters of the header
	Number string `json:"number"` // user part of the URI, or the digits of a tel URI
}

// nameAddr reads `"Name" <uri>;params` or `uri;params`.
func nameAddr(v string) (Party, gosip.Uri, error) {
	var uri gosip.Uri
	var params gosip.HeaderParams
	if strings.TrimSpace(v) == "" || strings.ContainsAny(v, "\r\n") {
		return Party{}, uri, errAddress
	}
	name, err := gosip.ParseAddressValue(v, &uri, &params)
	if err != nil || uri.Wildcard || uri.Host == "" && uri.Raw() == "" {
		return Party{}, uri, errAddress
	}
	return party(name, uri), uri, nil
}

// party makes a Party of a raw display name and a URI.
func party(name string, uri gosip.Uri) Party {
	number := uri.User
	if uri.Raw() != "" {
		// RFC 3966: tel:+1-201-555-0123;phone-context=...
		number, _, _ = strings.Cut(uri.Raw(), ";")
	}
	// RFC 3261 §19.1.1: telephone-subscriber parameters can follow the number in the user part.
	number, _, _ = strings.Cut(number, ";")
	uri.Headers = nil
	p := Party{Name: unquote(name), URI: clean(uri.String()), Number: clean(number)}
	if len(p.Number) > maxNumber || len(p.URI) > maxURI {
		p.URI, p.Number = anonymous.URI, anonymous.Number // a part of an address would be somebody else's
	}
	return p
}

// anonymous is who does not say who he is. RFC 3323 §4.1.1.3.
var anonymous = Party{Name: "Anonymous", URI: "sip:anonymous@anonymous.invalid", Number: "anonymous"}

// remoteParty is who the far end says to be: P-Asserted-Identity, then Remote-Party-ID if they are
// believed, then From (requests) or what was known (responses).
func remoteParty(m message, trust bool, otherwise Party) Party {
	if p, ok := assertedParty(m, trust); ok {
		return p
	}
	return otherwise
}

func assertedParty(m message, trust bool) (Party, bool) {
	if !trust {
		return Party{}, false
	}
	var found Party
	ok := false
	// RFC 3325 §9.1: one value, or two of which one is a SIP URI and one a tel URI.
	for _, v := range append(values(m, "p-asserted-identity"), values(m, "remote-party-id")...) {
		p, uri, err := nameAddr(v)
		if err != nil {
			continue
		}
		if !ok || uri.Raw() == "" && strings.HasPrefix(found.URI, "tel:") {
			found, ok = p, true
		}
	}
	if !ok {
		return Party{}, false
	}
	// RFC 3323 §4.2, RFC 3325 §7: who asks for privacy is not shown, not even to us who know.
	for _, v := range split(value(m, "privacy"), ';') {
		if strings.EqualFold(v, "id") || strings.EqualFold(v, "user") {
			return anonymous, true
		}
	}
	return found, true
}

// firstParty reads the first address of a header such as Diversion or Referred-By.
func firstParty(m message, names ...string) Party {
	for _, v := range values(m, names...) {
		if p, _, err := nameAddr(v); err == nil {
			return p
		}
	}
	return Party{}
}

// asserted makes the P-Asserted-Identity header of a party (RFC 3325 §9.1).
func asserted(p Party) gosip.Header {
	v := "<" + p.URI + ">"
	if p.Name != "" {
		v = `"` + quote(p.Name) + `" ` + v
	}
	return header("P-Asserted-Identity", v)
}

// autoAnswer reads the many ways to ask a phone to answer by itself.
func autoAnswer(m message) bool {
	// RFC 5373 §3.
	for _, h := range []string{"answer-mode", "priv-answer-mode"} {
		if v, _, _ := strings.Cut(value(m, h), ";"); strings.EqualFold(strings.TrimSpace(v), "auto") {
			return true
		}
	}
	// Snom, Yealink, Grandstream: Call-Info: <sip:x>;answer-after=0.
	for _, v := range values(m, "call-info") {
		if a, found := param(v, "answer-after"); found {
			_, valid := sip.Seconds(a)
			return valid
		}
	}
	// Polycom and others: Alert-Info: <http://x>;info=alert-autoanswer;delay=0, or info=... alone.
	for _, v := range values(m, "alert-info") {
		low := strings.ToLower(v)
		if strings.Contains(low, "autoanswer") || strings.Contains(low, "auto-answer") || strings.Contains(low, "auto answer") || strings.Contains(low, "answer-after=0") {
			return true
		}
	}
	return false
}
