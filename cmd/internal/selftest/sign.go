package selftest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"
)

var (
	// errSignature means that a report is not what was signed, or was signed with another key.
	errSignature = errors.New("the signature does not fit the report")
	// errStranger means that the certificate is not of the site, or is of another appliance.
	errStranger = errors.New("not signed by this appliance of this site")
)

// The names of RFC 7518 §3.1 and RFC 8037 §3.1, and the length of an ES256 signature (RFC 7518 §3.4).
const (
	algECDSA   = "ES256"
	algEd25519 = "EdDSA"
	es256Bytes = 64
)

// maxSignature bounds a signature that is read, in bytes; the certificates are in it.
const maxSignature = 32 << 10

// header is the protected header (RFC 7515 §4.1).
type header struct {
	Alg string   `json:"alg"`
	Cty string   `json:"cty,omitempty"`
	X5C [][]byte `json:"x5c"` // DER, in base64 with padding (RFC 7515 §4.1.6), the appliance's own certificate first
}

var b64 = base64.RawURLEncoding

// Identity is the key that an appliance signs with, and its certificate.
type Identity struct {
	key   crypto.Signer
	chain [][]byte
	alg   string
}

// OpenIdentity reads a private key (PEM, PKCS #8 or SEC 1; Ed25519 or ECDSA P-256) and its certificate chain.
func OpenIdentity(certFile, keyFile string) (*Identity, error) {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: holds no PEM block", keyFile)
	}
	var key any
	if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
			return nil, fmt.Errorf("%s: no private key of PKCS #8 or SEC 1", keyFile)
		}
	}
	id := &Identity{}
	var public interface{ Equal(crypto.PublicKey) bool }
	switch k := key.(type) {
	case ed25519.PrivateKey:
		id.key, id.alg, public = k, algEd25519, k.Public().(ed25519.PublicKey)
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%s: curve %s, allowed is P-256", keyFile, k.Curve.Params().Name)
		}
		id.key, id.alg, public = k, algECDSA, &k.PublicKey
	default:
		return nil, fmt.Errorf("%s: a key of type %T; allowed are Ed25519 and ECDSA P-256", keyFile, key)
	}
	if text, err = os.ReadFile(certFile); err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			id.chain = append(id.chain, block.Bytes)
		}
	}
	if len(id.chain) == 0 {
		return nil, fmt.Errorf("%s: holds no certificate", certFile)
	}
	cert, err := x509.ParseCertificate(id.chain[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	if !public.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of the certificate %s", keyFile, certFile)
	}
	return id, nil
}

// Sign returns a JWS in compact form whose payload is left out (RFC 7515 Appendix F): the report itself stays readable.
func (id *Identity) Sign(report []byte) (string, error) {
	h, err := json.Marshal(header{Alg: id.alg, Cty: "json", X5C: id.chain})
	if err != nil {
		return "", err
	}
	protected := b64.EncodeToString(h)
	input := signingInput(protected, report)
	var sig []byte
	if k, ok := id.key.(*ecdsa.PrivateKey); ok {
		digest := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			return "", fmt.Errorf("sign report: %w", err)
		}
		sig = make([]byte, es256Bytes) // RFC 7518 §3.4: R and S, 32 octets each, big endian
		r.FillBytes(sig[:es256Bytes/2])
		s.FillBytes(sig[es256Bytes/2:])
	} else if sig, err = id.key.Sign(rand.Reader, input, crypto.Hash(0)); err != nil {
		return "", fmt.Errorf("sign report: %w", err)
	}
	return protected + ".." + b64.EncodeToString(sig), nil
}

// signingInput is what is signed (RFC 7515 §5.1).
func signingInput(protected string, report []byte) []byte {
	return []byte(protected + "." + b64.EncodeToString(report))
}

// Verify checks a report's signature, that its certificate comes from one of the CAs, and that it is that of the appliance
// which the report names. It returns the certificate.
func Verify(report []byte, signature string, cas *x509.CertPool) (*x509.Certificate, error) {
	if len(report) > maxReport || len(signature) > maxSignature {
		return nil, fmt.Errorf("%w: it is too large", errSignature)
	}
	parts := strings.Split(strings.TrimSpace(signature), ".")
	if len(parts) != 3 || parts[1] != "" {
		return nil, fmt.Errorf("%w: not a JWS with detached content", errSignature)
	}
	h, err := parseHeader(parts[0])
	if err != nil {
		return nil, err
	}
	sig, err := b64.DecodeString(parts[2])
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errSignature, err)
	}
	cert, err := x509.ParseCertificate(h.X5C[0])
	if err != nil {
		return nil, fmt.Errorf("%w: its certificate: %v", errSignature, err)
	}
	if !fits(h.Alg, cert.PublicKey, signingInput(parts[0], report), sig) {
		return nil, errSignature
	}
	r, err := Decode(report)
	if err != nil {
		return nil, err
	}
	return cert, trust(cert, h.X5C[1:], r, cas)
}

func parseHeader(text string) (header, error) {
	var h header
	b, err := b64.DecodeString(text)
	if err != nil {
		return h, fmt.Errorf("%w: %v", errSignature, err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // above all crit (RFC 7515 §4.1.11), which we would have to understand
	if err := d.Decode(&h); err != nil {
		return h, fmt.Errorf("%w: its header: %v", errSignature, err)
	}
	if len(h.X5C) == 0 {
		return h, fmt.Errorf("%w: no certificate in it", errSignature)
	}
	return h, nil
}

// fits checks a signature. The algorithm is that of the key: the header cannot choose another.
func fits(alg string, key any, input, sig []byte) bool {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return alg == algEd25519 && ed25519.Verify(k, input, sig)
	case *ecdsa.PublicKey:
		if alg != algECDSA || k.Curve != elliptic.P256() || len(sig) != es256Bytes {
			return false
		}
		digest := sha256.Sum256(input)
		r, s := new(big.Int).SetBytes(sig[:es256Bytes/2]), new(big.Int).SetBytes(sig[es256Bytes/2:])
		return ecdsa.Verify(k, digest[:], r, s)
	}
	return false
}

// trust checks whose certificate it is. A certificate that has run out since, or an appliance whose clock is wrong, does
// not make a report a lie: the certificate must be good now or at the time of the report.
func trust(cert *x509.Certificate, more [][]byte, r *Report, cas *x509.CertPool) error {
	o := x509.VerifyOptions{Roots: cas, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, der := range more {
		if c, err := x509.ParseCertificate(der); err == nil {
			o.Intermediates.AddCert(c)
		}
	}
	times := []time.Time{time.Now(), r.Ended}
	if r.Ended.Before(cert.NotBefore) {
		times = append(times, cert.NotBefore)
	}
	var err error
	for _, o.CurrentTime = range times {
		if _, err = cert.Verify(o); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %v", errStranger, err)
	}
	names := append(slices.Clone(cert.DNSNames), cert.Subject.CommonName)
	if !slices.ContainsFunc(names, func(n string) bool {
		first, _, _ := strings.Cut(n, ".")
		return strings.EqualFold(n, r.Appliance) || strings.EqualFold(first, r.Appliance)
	}) {
		return fmt.Errorf("%w: the report is of %q, the certificate of %q", errStranger, r.Appliance, names)
	}
	return nil
}
