package siptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parklamp/sip"
)

// Site is the authority of a site.
type Site struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewSite makes an authority in a folder of the test's.
func NewSite(t testing.TB) *Site {
	t.Helper()
	s := &Site{t: t, dir: t.TempDir()}
	s.key = s.newKey()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(30, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &s.key.PublicKey, s.key)
	if err != nil {
		t.Fatal(err)
	}
	if s.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	s.write("ca.crt", "CERTIFICATE", der)
	return s
}

// Issue writes a certificate for an appliance, and its key, as NAME.crt and NAME.key.
func (s *Site) Issue(file, name string, from, until time.Time) {
	s.t.Helper()
	key := s.newKey()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, s.cert, &key.PublicKey, s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(file+".key", "PRIVATE KEY", secret)
	s.write(file+".crt", "CERTIFICATE", der)
}

// Use puts the files of an appliance into a configuration, with the authority of a site.
func (s *Site) Use(c *sip.Config, file string, authority *Site) {
	c.TLSCert, c.TLSKey = filepath.Join(s.dir, file+".crt"), filepath.Join(s.dir, file+".key")
	c.SiteCA = filepath.Join(authority.dir, "ca.crt")
}

func (s *Site) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

func (s *Site) write(name, kind string, der []byte) {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
