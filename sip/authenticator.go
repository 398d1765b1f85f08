package sip

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

const (
	nonceLife = 5 * time.Minute
	noncesMax = 4096 // nonces in use; the oldest goes stale for one more
)

// Authenticator asks clients for digest credentials. Its nonces are signed, not
// stored: a flood of requests without credentials costs no memory. What is
// stored, for nonceLife, is how often each nonce was used.
type Authenticator struct {
	// immutable
	realm      string
	algorithms []string
	lookup     func(user string) (password string, ok bool)
	secret     [32]byte

	mu      sync.Mutex // guards everything below
	uses    map[string]int
	order   []usedNonce // oldest first
	noOlder time.Time   // nonces made before it are stale: their uses are forgotten
}

type usedNonce struct {
	nonce string
	made  time.Time
}

// Algorithms of a challenge, preferred first (RFC 8760 §2.3).
var Algorithms = []string{"SHA-256", "MD5"}

// NewAuthenticator returns an authenticator for a realm. It challenges for each of
// algorithms (all of Algorithms if there is none): some old phones read the first challenge only, and know MD5. lookup gives the
// password of a user; it is called on the goroutine of Check.
func NewAuthenticator(realm string, lookup func(user string) (password string, ok bool), algorithms ...string) *Authenticator {
	if len(algorithms) == 0 {
		algorithms = Algorithms
	}
	a := &Authenticator{realm: realm, algorithms: algorithms, lookup: lookup, uses: make(map[string]int)}
	_, _ = rand.Read(a.secret[:]) // never fails, see its documentation
	return a
}

// Check reports whether a request proves a user that lookup knows. If not, it
// has answered with a 401 that challenges for its algorithms. ACK and
// CANCEL cannot be challenged (RFC 3261 §22.1): do not pass them.
func (a *Authenticator) Check(req *gosip.Request, tx *ServerTx) bool {
	_, ok := a.User(req, tx)
	return ok
}

// User is Check that also says who it is.
func (a *Authenticator) User(req *gosip.Request, tx *ServerTx) (user string, ok bool) {
	stale := false
	for _, h := range req.GetHeaders("Authorization") {
		cred, err := digest.ParseCredentials(h.Value())
		if err != nil || cred.Realm != a.realm {
			continue
		}
		good, old := a.verify(cred, string(req.Method), time.Now())
		if good {
			return cred.Username, true
		}
		stale = stale || old
	}
	res := NewResponse(req, 401, "Unauthorized")
	for _, algorithm := range a.algorithms { // RFC 8760 §2.3: preferred first
		c := digest.Challenge{
			Realm: a.realm, Nonce: a.newNonce(time.Now()), Stale: stale,
			Algorithm: algorithm, QOP: []string{"auth"},
		}
		res.AppendHeader(gosip.NewHeader("WWW-Authenticate", c.String()))
	}
	_ = tx.Respond(res) // ErrAnswered at worst: then somebody has decided already
	return "", false
}

// verify checks credentials; stale means that they are right but for the nonce.
func (a *Authenticator) verify(cred *digest.Credentials, method string, now time.Time) (good, stale bool) {
	made, ours := a.readNonce(cred.Nonce)
	algorithm := strings.ToUpper(cred.Algorithm)
	if algorithm == "" {
		algorithm = "MD5"
	}
	if !ours || cred.QOP != "auth" || (algorithm != "MD5" && algorithm != "SHA-256") {
		return false, false
	}
	password, known := a.lookup(cred.Username)
	nc := hex.EncodeToString(binary.BigEndian.AppendUint32(nil, uint32(cred.Nc)))
	want := hash(algorithm,
		hash(algorithm, cred.Username, a.realm, password),
		cred.Nonce, nc, cred.Cnonce, cred.QOP,
		hash(algorithm, method, cred.URI))
	// The same work for a user that is not known, and no early exit.
	match := subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(cred.Response))) == 1
	if !match || !known {
		return false, false
	}
	return a.use(cred.Nonce, cred.Nc, made, now)
}

// use counts a use of a nonce: nc must grow (RFC 7616 §3.4), or a recorded
// request could be played again.
func (a *Authenticator) use(nonce string, nc int, made, now time.Time) (good, stale bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.order) > 0 && (now.Sub(a.order[0].made) > nonceLife || len(a.order) >= noncesMax) {
		if a.order[0].made.After(a.noOlder) {
			a.noOlder = a.order[0].made
		}
		delete(a.uses, a.order[0].nonce)
		a.order = a.order[1:]
	}
	last, used := a.uses[nonce]
	if now.Sub(made) > nonceLife || (!used && !made.After(a.noOlder)) || nc <= last {
		return false, true
	}
	if !used {
		a.order = append(a.order, usedNonce{nonce, made})
	}
	a.uses[nonce] = nc
	return true, false
}

// newNonce is the time, something random, and a signature of both.
func (a *Authenticator) newNonce(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixNano()))
	_, _ = rand.Read(b[8:]) // never fails, see its documentation
	return hex.EncodeToString(append(b[:], a.sign(b[:])...))
}

func (a *Authenticator) sign(b []byte) []byte {
	mac := hmac.New(sha256.New, a.secret[:])
	mac.Write(b)
	return mac.Sum(nil)[:16]
}

func (a *Authenticator) readNonce(nonce string) (made time.Time, ok bool) {
	b, err := hex.DecodeString(nonce)
	if err != nil || len(b) != 32 || !hmac.Equal(b[16:], a.sign(b[:16])) {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))), true
}
