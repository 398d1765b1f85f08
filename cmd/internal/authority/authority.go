// Package authority is a site's own certificate authority: it issues the certificates by which the appliances of a site
// know each other, ECDSA on P-256, and nobody else's. It has no revocation list: who leaves the site is taken out of
// its peer list, and a lost key means a new authority.
//
// A certificate names its appliance in the subject alternative names (RFC 5922 §7.1), for both sides of a connection.
// The package keeps nothing and starts no goroutine.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"time"
)

// How long certificates are in force. Nobody climbs a ladder because a certificate ran out: an appliance lasts about as
// long as its certificate. The authority outlives what it issues.
const (
	Lifetime     = 15 * 365 * 24 * time.Hour
	rootLifetime = 30 * 365 * 24 * time.Hour
)

// Backdate is how much earlier than now a certificate begins, for appliances whose clock is behind.
const Backdate = 24 * time.Hour

// Authority can issue certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair is a certificate and its private key, both PEM.
type Pair struct{ Cert, Key []byte }

// New makes the authority of a site, in force from now.
func New(site string, now time.Time) (*Authority, Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, Pair{}, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: commonName + site, Organization: []string{site}},
		NotBefore: now.Add(-Backdate).UTC().Truncate(time.Second), NotAfter: now.Add(rootLifetime).UTC().Truncate(time.Second),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true, // issues for appliances alone, RFC 5280 §4.2.1.9
	}
	pair, err := sign(template, nil, key, key)
	if err != nil {
		return nil, Pair{}, err
	}
	a, err := Load(pair)
	return a, pair, err
}

// Load takes an authority back into use.
func Load(p Pair) (*Authority, error) {
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is not an ECDSA key")
	}
	if !pair.Leaf.IsCA {
		return nil, errors.New("the certificate is no authority's")
	}
	return &Authority{cert: pair.Leaf, key: key}, nil
}

// Subject is who a certificate is for.
type Subject struct {
	ID      string     // name of the appliance, unique in its site; as its host name and as sip:ID
	Address netip.Addr // if its address never changes; not valid: left out
	From    time.Time  // begin; Backdate before now is usual
	Until   time.Time
}

// Issue makes a key and a certificate for an appliance.
func (a *Authority) Issue(s Subject) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	if a.cert.NotAfter.Before(s.Until) {
		s.Until = a.cert.NotAfter
	}
	if s.From.Before(a.cert.NotBefore) {
		s.From = a.cert.NotBefore
	}
	if !s.From.Before(s.Until) {
		return Pair{}, fmt.Errorf("a certificate from %s to %s would never be in force", s.From.Format(time.DateOnly), s.Until.Format(time.DateOnly))
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: s.ID, Organization: a.cert.Subject.Organization},
		NotBefore: s.From.UTC().Truncate(time.Second), NotAfter: s.Until.UTC().Truncate(time.Second),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{s.ID},
		URIs:        []*url.URL{{Scheme: "sip", Opaque: s.ID}}, // RFC 5922 §7.1: a SIP URI whose host is the identity
	}
	template.BasicConstraintsValid = true
	if s.Address.IsValid() {
		template.IPAddresses = append(template.IPAddresses, s.Address.Unmap().AsSlice())
	}
	return sign(template, a.cert, key, a.key)
}

// sign makes a certificate for key, signed by the parent's key; no parent: by itself.
func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (Pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // RFC 5280 §4.1.2.2: unique, at most 20 octets
	if err != nil {
		return Pair{}, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		return Pair{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}, nil
}

// Parse reads the first certificate of a PEM text.
func Parse(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("holds no PEM certificate (-----BEGIN CERTIFICATE-----)")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Verify says why a certificate is not one that this authority's certificate issued for an appliance, both ways of use, at
// a time; the zero time asks nothing of the clock.
func Verify(cert, root *x509.Certificate, now time.Time) error {
	if !root.IsCA {
		return fmt.Errorf("%q is no certificate authority", root.Subject.CommonName)
	}
	if now.IsZero() {
		now = cert.NotBefore
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			return err
		}
	}
	return nil
}

// Fingerprint is the SHA-256 of a certificate, to be compared by people: its first 8 octets.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return fmt.Sprintf("%x", sum[:8])
}

// commonName stands before the site's name in the common name of its authority.
const commonName = "Parklamp site "

// SiteOf is the name of the site whose authority New has made; "" for any other certificate.
func SiteOf(root *x509.Certificate) string {
	of := root.Subject.Organization
	if len(of) != 1 || root.Subject.CommonName != commonName+of[0] {
		return ""
	}
	return of[0]
}
