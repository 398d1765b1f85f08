package sdp

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"strconv"
	"strings"
	"sync"
)

// errCrypto says that an a=crypto line is not one that can be used; such a line is passed over.
var errCrypto = errors.New("sdp: unusable a=crypto line")

const (
	// maxCrypto bounds the a=crypto lines of a stream that are read.
	maxCrypto = 32
	// maxSecret is the longest master key with its salt.
	maxSecret = 46
	// lifetimeBits is the greatest lifetime of a key, as a power of two. RFC 3711 §9.2: 2^48 packets.
	lifetimeBits = 48
)

// suites are those that we know, in the order in which we offer them: the strongest first. A tag of 32 bits is taken but
// not offered. The length is that of the master key with its salt.
var suites = [...]struct {
	name    string
	length  int
	offered bool
}{
	{"AEAD_AES_256_GCM", 44, true},        // RFC 7714 §14.2
	{"AEAD_AES_128_GCM", 28, true},        // RFC 7714 §14.2
	{"AES_256_CM_HMAC_SHA1_80", 46, true}, // RFC 6188 §4
	{"AES_CM_128_HMAC_SHA1_80", 30, true}, // RFC 4568 §6.2.1
	{"AES_256_CM_HMAC_SHA1_32", 46, false},
	{"AES_CM_128_HMAC_SHA1_32", 30, false},
}

// Suites names all that are offered or taken.
func Suites() []string {
	var names []string
	for _, s := range suites {
		names = append(names, s.name)
	}
	return names
}

// suiteOf gives the place of a suite in suites, -1 if we do not know it.
func suiteOf(name string) int {
	for i, s := range suites {
		if s.name == name {
			return i
		}
	}
	return -1
}

// secret hides a master key behind two pointers: package fmt prints what one points to if it is asked wrongly (%s).
type secret struct{ bytes *[maxSecret]byte }

// Crypto is one a=crypto line (RFC 4568 §9.1): a master key with what it is for. However it is printed, logged or
// marshalled, the key stays out.
type Crypto struct {
	Tag   uint32 // names the line in the exchange
	Suite string // name of RFC 4568, 6188 or 7714
	MKI   []byte // on every packet of its sender; nil: none

	key *secret
}

// Key returns a copy of the master key and the salt that follows it.
func (c Crypto) Key() []byte {
	i := suiteOf(c.Suite)
	if i < 0 || c.key == nil {
		return nil
	}
	return bytes.Clone(c.key.bytes[:suites[i].length])
}

// Equal says whether both have the same key for the same suite; the tag does not matter.
func (c Crypto) Equal(o Crypto) bool {
	if c.Suite != o.Suite || !bytes.Equal(c.MKI, o.MKI) || (c.key == nil) != (o.key == nil) {
		return false
	}
	return c.key == nil || subtle.ConstantTimeCompare(c.key.bytes[:], o.key.bytes[:]) == 1
}

// String hides the key.
func (c Crypto) String() string { return "key for " + c.Suite }

// GoString hides the key from %#v.
func (c Crypto) GoString() string { return c.String() }

// LogValue hides the key from logs.
func (c Crypto) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON refuses: a key is never stored.
func (c Crypto) MarshalJSON() ([]byte, error) { return nil, errors.New("sdp: keys are not stored") }

var _ json.Marshaler = Crypto{}

// Keys are our master keys for one call, one for each suite. They do not change while the session keeps its suite, so that
// what is repeated in a later description is the same key, and its rollover counter goes on (RFC 3711 §3.3.1).
type Keys struct {
	mu   sync.Mutex
	each [len(suites)]*secret // guarded by mu; none is ever written to
}

// NewKeys makes random keys for a call.
func NewKeys() *Keys {
	k := &Keys{}
	for _, s := range suites {
		k.Renew(s.name)
	}
	return k
}

// Renew makes another key for a suite, which a session calls when it leaves that: should it come back, its counters begin
// anew, and nothing may be sent under one key with the same counter again (RFC 3711 §9.1).
func (k *Keys) Renew(suite string) {
	i := suiteOf(suite)
	if k == nil || i < 0 {
		return
	}
	fresh := &secret{new([maxSecret]byte)}
	rand.Read(fresh.bytes[:suites[i].length])
	k.mu.Lock()
	defer k.mu.Unlock()
	k.each[i] = fresh
}

// String hides the keys.
func (k *Keys) String() string { return "keys" }

// MarshalJSON refuses: keys are never stored.
func (k *Keys) MarshalJSON() ([]byte, error) { return nil, errors.New("sdp: keys are not stored") }

var _ json.Marshaler = (*Keys)(nil)

// with is our line with the key for a suite.
func (k *Keys) with(tag uint32, suite int) Crypto {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Crypto{Tag: tag, Suite: suites[suite].name, key: k.each[suite]}
}

// parseCrypto reads the value of an a=crypto attribute. RFC 4568 §9.1 and §9.2:
//
//	tag SP suite SP "inline:" key||salt ["|" lifetime] ["|" MKI ":" length] *(SP session-parameter)
func parseCrypto(value string) (Crypto, error) {
	f := strings.Fields(value)
	if len(f) < 3 {
		return Crypto{}, fmt.Errorf("%w: %d fields, 3 or more needed", errCrypto, len(f))
	}
	// RFC 4568 §9.1: 1 to 9 digits.
	if len(f[0]) > 9 || !digits(f[0]) {
		return Crypto{}, fmt.Errorf("%w: tag", errCrypto)
	}
	tag, _ := strconv.ParseUint(f[0], 10, 32)
	suite := suiteOf(f[1])
	if suite < 0 {
		return Crypto{}, fmt.Errorf("%w: suite", errCrypto)
	}
	c := Crypto{Tag: uint32(tag), Suite: suites[suite].name}
	// RFC 4568 §6.1: with several keys (";") each packet says by its MKI which it is; we offer and take one.
	text, ok := cutPrefixFold(f[2], "inline:")
	if !ok || strings.Contains(text, ";") {
		return Crypto{}, fmt.Errorf("%w: key method or several keys", errCrypto)
	}
	if err := c.inline(text, suites[suite].length); err != nil {
		return Crypto{}, err
	}
	for _, p := range f[3:] {
		if !harmless(p) {
			return Crypto{}, fmt.Errorf("%w: session parameter", errCrypto)
		}
	}
	return c, nil
}

// inline reads the key parameter.
func (c *Crypto) inline(text string, length int) error {
	part := strings.Split(text, "|")
	// RFC 4568 §6.1 has the padding; some leave it out.
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(part[0], "="))
	if err != nil || len(key) != length {
		return fmt.Errorf("%w: key of a wrong length", errCrypto)
	}
	c.key = &secret{new([maxSecret]byte)}
	copy(c.key.bytes[:], key)
	part = part[1:]
	if len(part) > 0 && !strings.Contains(part[0], ":") {
		// The lifetime is the sender's to keep: it offers another key in time (RFC 4568 §6.1). It has to be one that can be.
		if !lifetime(part[0]) {
			return fmt.Errorf("%w: lifetime", errCrypto)
		}
		part = part[1:]
	}
	if len(part) > 0 {
		if c.MKI, err = mki(part[0]); err != nil {
			return err
		}
		part = part[1:]
	}
	if len(part) > 0 {
		return fmt.Errorf("%w: key parameters", errCrypto)
	}
	return nil
}

// lifetime says whether a text is a number of packets that a key can be used for: "2^31" or "1048576".
func lifetime(text string) bool {
	if power, ok := strings.CutPrefix(text, "2^"); ok {
		n, err := strconv.ParseUint(power, 10, 8)
		return err == nil && digits(power) && n > 0 && n <= lifetimeBits
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return err == nil && digits(text) && n > 0 && n <= 1<<lifetimeBits
}

// mki reads a master key identifier with its length in bytes: "1:4" is 00 00 00 01.
func mki(text string) ([]byte, error) {
	value, length, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(length, 10, 8)
	if err != nil || !digits(length) || n < 1 || n > 128 {
		return nil, fmt.Errorf("%w: MKI of a wrong length", errCrypto)
	}
	v, err := strconv.ParseUint(value, 10, 64)
	if err != nil || !digits(value) || (bits.Len64(v)+7)/8 > int(n) {
		return nil, fmt.Errorf("%w: MKI", errCrypto)
	}
	b := make([]byte, n)
	for i := len(b) - 1; i >= 0 && v > 0; i-- {
		b[i], v = byte(v), v>>8
	}
	return b, nil
}

// harmless says whether a session parameter can be passed over. RFC 4568 §6.3: KDR, UNENCRYPTED_SRTP,
// UNENCRYPTED_SRTCP, UNAUTHENTICATED_SRTP, FEC_ORDER and FEC_KEY change the packets, and whoever does not do as they say
// must refuse the line (§6.3.7, the same for parameters that are not known and do not begin with a dash).
func harmless(parameter string) bool {
	if strings.HasPrefix(parameter, "-") {
		return true
	}
	// RFC 4568 §6.3.6: the window size is a wish of the sender; ours is 64, the least that it can be.
	size, ok := strings.CutPrefix(parameter, "WSH=")
	n, err := strconv.ParseUint(size, 10, 16)
	return ok && err == nil && digits(size) && n >= 64
}

func digits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// sameKey compares the keys alone.
func (c Crypto) sameKey(o Crypto) bool {
	o.MKI = c.MKI
	return c.Equal(o)
}

// crypto writes a line with its key.
func (w *writer) crypto(c Crypto) {
	w.text("a=crypto:")
	w.number(uint64(c.Tag))
	w.text(" ")
	w.text(c.Suite)
	w.text(" inline:")
	// RFC 4568 §6.1: base64 with padding.
	w.b = base64.StdEncoding.AppendEncode(w.b, c.key.bytes[:suites[suiteOf(c.Suite)].length])
	w.text("\r\n")
}

// Redact gives a description without the keys in it, for whoever stores or shows one.
func Redact(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "a=crypto") {
			if head, _, ok := cutFold(value, "inline:"); ok {
				line = name + ":" + head + hidden + "\r\n"
			} else {
				line = name + ":" + hidden + "\r\n"
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

// hidden stands for a key.
const hidden = "inline:*"

// Redacted says whether a description has lost its keys.
func Redacted(text string) bool { return strings.Contains(text, hidden) }

func cutFold(s, sep string) (before, after string, ok bool) {
	if i := strings.Index(strings.ToLower(s), sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
