package sip

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// maxAuthTries is how often one request is sent again with credentials.
const maxAuthTries = 2

// Credentials answer a digest challenge.
type Credentials struct {
	Username string
	Password string
}

// answer builds the request that answers a 401 or 407, with the next CSeq. ok
// is false when there is nothing to answer or the password was refused.
func (c *Credentials) answer(req *gosip.Request, res *gosip.Response) (next *gosip.Request, ok bool) {
	ask, give := "WWW-Authenticate", "Authorization"
	switch res.StatusCode {
	case 401:
	case 407:
		ask, give = "Proxy-Authenticate", "Proxy-Authorization"
	default:
		return nil, false
	}
	chal := topmostChallenge(res, ask)
	if chal == nil {
		return nil, false
	}
	// A realm that has seen our answer and does not call it stale has refused
	// the password: asking again would lock the account.
	if sent := credentialsFor(req, give, chal.Realm); sent != nil && (!chal.Stale || sent.Nonce == chal.Nonce) {
		return nil, false
	}
	cred, err := c.compute(chal, string(req.Method), req.Recipient.String(), 1)
	if err != nil {
		return nil, false
	}
	next = req.Clone()
	dropCredentials(next, give, chal.Realm)
	next.AppendHeader(gosip.NewHeader(give, cred.String()))
	// RFC 3261 §22.2: the request with credentials has the next CSeq.
	next.CSeq().SeqNo++
	return next, true
}

// topmostChallenge is the first challenge that we can answer, RFC 8760 §2.4.
func topmostChallenge(res *gosip.Response, header string) *digest.Challenge {
	for _, h := range res.GetHeaders(header) {
		chal, err := digest.ParseChallenge(h.Value())
		if err != nil {
			continue
		}
		for i := range chal.QOP {
			chal.QOP[i] = strings.TrimSpace(chal.QOP[i])
		}
		if len(chal.QOP) > 0 && !chal.SupportsQOP("auth") {
			continue // auth-int alone
		}
		switch strings.ToUpper(chal.Algorithm) {
		case "", "MD5", "SHA-256", "MD5-SESS", "SHA-256-SESS", "SHA-512-256":
			return chal
		}
	}
	return nil
}

// compute makes the credentials for the nc-th use of a nonce. The -sess
// algorithms, which icholy/digest lacks, differ in A1 only (RFC 7616 §3.4.2).
func (c *Credentials) compute(chal *digest.Challenge, method, uri string, nc int) (*digest.Credentials, error) {
	o := digest.Options{
		Method: method, URI: uri, Count: nc, Username: c.Username, Password: c.Password, Cnonce: newCnonce(),
	}
	asked := chal.Algorithm
	base, sess := strings.CutSuffix(strings.ToUpper(asked), "-SESS")
	if sess {
		o.A1 = hash(base, hash(base, c.Username, chal.Realm, c.Password), chal.Nonce, o.Cnonce)
		plain := *chal
		plain.Algorithm = base
		chal = &plain
	}
	cred, err := digest.Digest(chal, o)
	if err != nil {
		return nil, err
	}
	cred.Algorithm = asked
	if sess && cred.QOP == "" {
		cred.Cnonce = o.Cnonce // A1 needs it even without qop
	}
	return cred, nil
}

func newCnonce() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	return hex.EncodeToString(b[:])
}

// hash is H(a:b:...) of RFC 7616 §3.4.
func hash(algorithm string, parts ...string) string {
	text := []byte(strings.Join(parts, ":"))
	if algorithm == "SHA-256" {
		sum := sha256.Sum256(text)
		return hex.EncodeToString(sum[:])
	}
	sum := md5.Sum(text)
	return hex.EncodeToString(sum[:])
}

func credentialsFor(req *gosip.Request, header, realm string) *digest.Credentials {
	for _, h := range req.GetHeaders(header) {
		if c, err := digest.ParseCredentials(h.Value()); err == nil && c.Realm == realm {
			return c
		}
	}
	return nil
}

func dropCredentials(req *gosip.Request, header, realm string) {
	var keep []gosip.Header
	for _, h := range req.GetHeaders(header) {
		if c, err := digest.ParseCredentials(h.Value()); err == nil && c.Realm != realm {
			keep = append(keep, h)
		}
	}
	for req.RemoveHeader(header) {
	}
	for _, h := range keep {
		req.AppendHeader(h)
	}
}
