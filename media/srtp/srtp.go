// Package srtp protects RTP and RTCP packets: a Sealer for the stream that a session sends, an Opener for what it
// receives. Both work in the buffer they are given.
//
// It negotiates nothing (package sip/sdp reads and writes a=crypto) and never prints, stores or marshals a key. It starts
// no goroutine and takes no lock: the methods RTP of a Sealer or Opener belong to one goroutine at a time, and so do its
// methods RTCP, which may run beside RTP.
//
// The transforms are github.com/pion/srtp's. Added here: no index is sealed twice whatever the caller does, a bounded
// number of streams under one key, keys that change in the middle of a call, and a rollover counter that is found again.
//
// Standards: RFC 3711 (SRTP), RFC 6188 (AES-256 counter mode), RFC 7714 (AES-GCM), RFC 4568 §6.2 (names of suites).
package srtp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	pion "github.com/pion/srtp/v3"
)

// What happens to a packet or a key.
var (
	// ErrKey says that a key does not fit its suite, or that there is no such suite.
	ErrKey = errors.New("srtp: unusable key")
	// ErrMalformed says that the bytes are too short or not of the protocol.
	ErrMalformed = errors.New("srtp: malformed packet")
	// ErrAuthentication says that the packet was not made with our key, or was changed on its way.
	ErrAuthentication = errors.New("srtp: authentication failed")
	// ErrReplayed says that the packet came before, or is older than the replay window.
	ErrReplayed = errors.New("srtp: replayed packet")
	// ErrReused says that the packet's index was sealed before: a second packet under the same keystream gives both
	// away (RFC 3711 §9.1).
	ErrReused = errors.New("srtp: index used before")
	// ErrStreams says that there are more streams under one key than this package keeps.
	ErrStreams = errors.New("srtp: too many streams under one key")
	// ErrRoom says that the buffer has no room for what protection adds.
	ErrRoom = errors.New("srtp: no room for the authentication tag")
	// ErrExhausted says that the key has protected as many packets as it may (RFC 3711 §9.2).
	ErrExhausted = errors.New("srtp: key used up")
)

const (
	// Overhead is the most that Sealer.RTP adds to a packet, in bytes; OverheadRTCP the same for Sealer.RTCP.
	Overhead     = 16
	OverheadRTCP = 20

	// window is the size of the replay list. RFC 3711 §3.3.2: at least 64.
	window = 64
	// maxStreams bounds the SSRCs of one key. A far end that changes its SSRC more often than that has a reason to
	// change its key as well.
	maxStreams = 64
	// maxSecret is the longest master key with its salt: AES-256 in counter mode.
	maxSecret = 46
	// maxMKI bounds a master key identifier. RFC 4568 §6.1.
	maxMKI = 128
)

// Suite is a cipher with its authentication. The zero value is none.
type Suite uint8

// The suites, with the names that SDP has for them.
const (
	None          Suite = iota
	AES128CM80          // RFC 4568 §6.2.1
	AES128CM32          // RFC 4568 §6.2.2
	AES256CM80          // RFC 6188 §4
	AES256CM32          // RFC 6188 §4
	AEADAES128GCM       // RFC 7714 §14.2
	AEADAES256GCM       // RFC 7714 §14.2
)

// shapes is what a suite needs.
var shapes = map[Suite]struct {
	name      string
	profile   pion.ProtectionProfile
	key, salt int // bytes
	tag       int // bytes that a packet grows by
	tagRTCP   int // the same for RTCP, without the index
}{
	AES128CM80:    {"AES_CM_128_HMAC_SHA1_80", pion.ProtectionProfileAes128CmHmacSha1_80, 16, 14, 10, 10},
	AES128CM32:    {"AES_CM_128_HMAC_SHA1_32", pion.ProtectionProfileAes128CmHmacSha1_32, 16, 14, 4, 10},
	AES256CM80:    {"AES_256_CM_HMAC_SHA1_80", pion.ProtectionProfileAes256CmHmacSha1_80, 32, 14, 10, 10},
	AES256CM32:    {"AES_256_CM_HMAC_SHA1_32", pion.ProtectionProfileAes256CmHmacSha1_32, 32, 14, 4, 10},
	AEADAES128GCM: {"AEAD_AES_128_GCM", pion.ProtectionProfileAeadAes128Gcm, 16, 12, 16, 16},
	AEADAES256GCM: {"AEAD_AES_256_GCM", pion.ProtectionProfileAeadAes256Gcm, 32, 12, 16, 16},
}

// String returns the suite's name in SDP.
func (s Suite) String() string {
	if shape, ok := shapes[s]; ok {
		return shape.name
	}
	return "none"
}

// SuiteByName returns the suite with a name of SDP, None if there is none.
func SuiteByName(name string) Suite {
	for s, shape := range shapes {
		if shape.name == name {
			return s
		}
	}
	return None
}

// Key is a master key with its salt for one direction of one call. The zero value is no key. However it is printed,
// logged or marshalled, the secret stays out.
type Key struct {
	suite  Suite
	secret *secret // nil: no key
	mki    string  // on every packet, "" for none
}

// secret hides the bytes behind two pointers: package fmt prints what one points to if it is asked wrongly (%s).
type secret struct{ bytes *[maxSecret]byte }

func newSecret(b []byte) *secret {
	s := &secret{new([maxSecret]byte)}
	copy(s.bytes[:], b)
	return s
}

// NewKey makes a key of the master key and the salt that follows it. mki is nil unless every packet carries it.
func NewKey(suite Suite, master, mki []byte) (Key, error) {
	shape, ok := shapes[suite]
	switch {
	case !ok:
		return Key{}, fmt.Errorf("%w: suite %d", ErrKey, suite)
	case len(master) != shape.key+shape.salt:
		return Key{}, fmt.Errorf("%w: %s takes %d bytes, not %d", ErrKey, suite, shape.key+shape.salt, len(master))
	case len(mki) > maxMKI:
		return Key{}, fmt.Errorf("%w: an MKI has at most %d bytes, not %d", ErrKey, maxMKI, len(mki))
	}
	return Key{suite: suite, secret: newSecret(master), mki: string(mki)}, nil
}

// GenerateKey makes a random key; a suite that is not known gives the zero value.
func GenerateKey(suite Suite) Key {
	shape, ok := shapes[suite]
	if !ok {
		return Key{}
	}
	master := make([]byte, shape.key+shape.salt)
	rand.Read(master)
	return Key{suite: suite, secret: newSecret(master)}
}

// Suite returns what the key is for; None says that there is no key.
func (k Key) Suite() Suite { return k.suite }

// Equal says whether two keys are the same, in a time that does not depend on them.
func (k Key) Equal(o Key) bool {
	if k.suite != o.suite || k.mki != o.mki || (k.secret == nil) != (o.secret == nil) {
		return false
	}
	return k.secret == nil || subtle.ConstantTimeCompare(k.secret.bytes[:], o.secret.bytes[:]) == 1
}

// String names the suite and hides the key.
func (k Key) String() string { return "srtp key for " + k.suite.String() }

// GoString hides the key from %#v.
func (k Key) GoString() string { return k.String() }

// LogValue hides the key from logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON refuses: a key is never stored.
func (k Key) MarshalJSON() ([]byte, error) { return nil, fmt.Errorf("%w: keys are not stored", ErrKey) }

var _ json.Marshaler = Key{}

// context makes a crypto context of the key with replay lists.
func (k Key) context() (*pion.Context, error) {
	shape, ok := shapes[k.suite]
	if !ok || k.secret == nil {
		return nil, fmt.Errorf("%w: none", ErrKey)
	}
	options := []pion.ContextOption{pion.SRTPReplayProtection(window), pion.SRTCPReplayProtection(window)}
	if k.mki != "" {
		options = append(options, pion.MasterKeyIndicator([]byte(k.mki)))
	}
	c, err := pion.CreateContext(k.secret.bytes[:shape.key], k.secret.bytes[shape.key:shape.key+shape.salt], shape.profile, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return c, nil
}
