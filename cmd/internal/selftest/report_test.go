package selftest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/storage"
)

// ca makes certificates of a site.
type ca struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newCA(t testing.TB) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c := &ca{key: key, pool: x509.NewCertPool()}
	c.cert, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c.pool.AddCert(c.cert)
	return c
}

// issue writes the files of an appliance's key and certificate.
func (c *ca) issue(t testing.TB, name string, key any, public any) (certFile, keyFile string) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-30 * time.Minute), NotAfter: time.Now().Add(30 * time.Minute)}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, public, c.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func identity(t testing.TB, c *ca, name string, kind string) *Identity {
	t.Helper()
	var key, public any
	if kind == algEd25519 {
		pub, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, public = priv, pub
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, &k.PublicKey
	}
	id, err := OpenIdentity(c.issue(t, name, key, public))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sample() *Report {
	began := time.Now().UTC().Truncate(time.Second)
	return &Report{Format: Format, Appliance: "dock-7", Number: "207", Version: "v1", Board: "rpi", By: "parkctl", Started: began,
		Ended: began.Add(time.Minute), Outcome: Failed, Steps: Steps, Health: []string{"warning: peer office does not answer"}, Findings: []Finding{
			{Step: Keys, Item: "1", Outcome: Passed}, {Step: Keys, Item: "2", Outcome: Passed},
			{Step: Keys, Item: "5", Outcome: Failed, Text: "key 5 is stuck\x1b[2J"},
			{Step: Disk, Item: "speed", Outcome: Passed, Figures: []Figure{{"write", 9.8765, "MiB/s"}}}}}
}

func TestSignAndVerify(t *testing.T) {
	site, other := newCA(t), newCA(t)
	for _, kind := range []string{algEd25519, algECDSA} {
		t.Run(kind, func(t *testing.T) {
			r := sample()
			text, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			sig, err := identity(t, site, "dock-7", kind).Sign(text)
			if err != nil {
				t.Fatal(err)
			}
			if cert, err := Verify(text, sig+"\n", site.pool); err != nil || cert.Subject.CommonName != "dock-7" {
				t.Fatalf("%v, %v", cert, err)
			}
			changed := bytes.Replace(text, []byte(`"failed"`), []byte(`"passed"`), 1)
			stranger, err := identity(t, other, "dock-7", kind).Sign(text)
			if err != nil {
				t.Fatal(err)
			}
			sibling, err := identity(t, site, "dock-8", kind).Sign(text)
			if err != nil {
				t.Fatal(err)
			}
			for name, c := range map[string]struct {
				text []byte
				sig  string
				want error
			}{
				"a report that was changed": {changed, sig, errSignature}, "of another site": {text, stranger, errStranger},
				"of another appliance": {text, sibling, errStranger}, "cut": {text, sig[:len(sig)-4], errSignature}, "nothing": {text, "", errSignature},
				"the content in it": {text, strings.Replace(sig, "..", ".e30.", 1), errSignature},
				"not signed":        {text, strings.Split(sig, ".")[0] + "..", errSignature},
			} {
				if _, err := Verify(c.text, c.sig, site.pool); !errors.Is(err, c.want) {
					t.Errorf("%s: %v, want %v", name, err, c.want)
				}
			}
		})
	}
}

// The algorithm is the key's, whatever the header says; a header with more than we know is refused.
func TestHeaders(t *testing.T) {
	site := newCA(t)
	id := identity(t, site, "dock-7", algECDSA)
	text, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]any{
		"none":       header{Alg: "none", X5C: id.chain},
		"other":      header{Alg: algEd25519, X5C: id.chain},
		"no chain":   header{Alg: algECDSA},
		"no cert":    header{Alg: algECDSA, X5C: [][]byte{[]byte("x")}},
		"crit (RFC)": map[string]any{"alg": algECDSA, "x5c": id.chain, "crit": []string{"b64"}},
	} {
		b, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		good, err := id.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(text, b64.EncodeToString(b)+good[strings.Index(good, ".."):], site.pool); !errors.Is(err, errSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An appliance without a clock signs with the time that it has.
func TestReportsOfAWrongClock(t *testing.T) {
	site := newCA(t)
	id := identity(t, site, "dock-7", algECDSA)
	for _, ended := range []time.Time{time.Unix(100, 0).UTC(), time.Now().Add(100 * 24 * time.Hour)} {
		r := sample()
		r.Ended = ended
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		sig, err := id.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(text, sig, site.pool); err != nil {
			t.Errorf("ended %v: %v", ended, err)
		}
	}
}

func TestIdentityThatDoesNotFit(t *testing.T) {
	site := newCA(t)
	k1, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k2, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	c1, f1 := site.issue(t, "a", k1, &k1.PublicKey)
	c2, f2 := site.issue(t, "a", k2, &k2.PublicKey)
	for _, pair := range [][2]string{{c2, f1}, {c2, f2}, {f1, f1}, {c1, c1}, {c1, "/nowhere"}, {"/nowhere", f1}} {
		if _, err := OpenIdentity(pair[0], pair[1]); err == nil {
			t.Errorf("%v is taken", pair)
		}
	}
}

func TestPrint(t *testing.T) {
	r := sample()
	r.Started, r.Ended = time.Unix(1_800_000_000, 0).UTC(), time.Unix(1_800_000_060, 0).UTC()
	var b bytes.Buffer
	r.Print(&b)
	golden(t, "report.txt", b.String())
	if strings.Contains(b.String(), "\x1b") {
		t.Error("a terminal would obey it")
	}
}

func TestStoreKeepsAFew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reports")
	if names, err := Reports(dir); len(names) > 0 || err != nil {
		t.Fatalf("%v %v", names, err)
	}
	began := time.Unix(1_800_000_000, 0)
	for i := range 5 {
		path, err := Store(dir, began.Add(time.Duration(i)*time.Second), []byte(fmt.Sprint(i)), "a..b", 3)
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 { // a power cut while one was written
			if err := os.WriteFile(filepath.Join(dir, storage.Unfinished+"selftest-123"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := os.ReadFile(SignaturePath(path)); err != nil || string(b) != "a..b\n" {
			t.Errorf("signature %q %v", b, err)
		}
	}
	names, err := Reports(dir)
	if want := []string{"selftest-20270115T080004000Z.json", "selftest-20270115T080003000Z.json", "selftest-20270115T080002000Z.json"}; !slices.Equal(names, want) || err != nil {
		t.Errorf("%v %v", names, err)
	}
	if all, _ := os.ReadDir(dir); len(all) != 6 {
		t.Errorf("%d files are left: %v", len(all), all)
	}
	// A board that does not know the time writes the oldest of all.
	path, err := Store(dir, time.Unix(30, 0), []byte("5"), "a..b", 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, SignaturePath(path)} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	if names, err = Reports(dir); len(names) != 3 || names[0] != "selftest-20270115T080004000Z.json" || err != nil {
		t.Errorf("%v %v", names, err)
	}
	if _, err := Store(filepath.Join(dir, names[0]), began, nil, "", 3); err == nil {
		t.Error("a folder that cannot be made is no error")
	}
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"reports": func(c *Config) { c.Reports = "reports" }, "keep": func(c *Config) { c.Keep = 0 }, "ntp": func(c *Config) { c.NTP = "a b" },
		"certificate": func(c *Config) { c.Key = "/k" }, "key": func(c *Config) { c.Key, c.Certificate = "k", "/c" },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want+" = ") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := Choose([]string{"keys", "eyes"}); err == nil {
		t.Error("a step that does not exist is taken")
	}
	if s, err := Choose([]string{"clock", "keys"}); err != nil || !slices.Equal(s, []Step{Keys, Clock}) {
		t.Errorf("%v %v", s, err)
	}
}

func FuzzVerify(f *testing.F) {
	site := newCA(f)
	text, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	sig, err := identity(f, site, "dock-7", algEd25519).Sign(text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, sig)
	f.Add([]byte(`{"format":1}`), "e30..AA")
	f.Add([]byte{}, "..")
	f.Fuzz(func(t *testing.T, b []byte, s string) {
		if _, err := Verify(b, s, site.pool); err == nil && !bytes.Equal(b, text) {
			t.Errorf("a report that nobody signed is believed:\n%s\n%s", b, s)
		}
		if r, err := Decode(b); err == nil {
			r.Print(&bytes.Buffer{})
		}
	})
}
