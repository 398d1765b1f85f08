package sip_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/siptest"
)

func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		b := netip.MustParseAddr("10.0.0.2")
		cert, pool, _, _ := siptest.Certificate(t, b)
		start := func(addr netip.Addr, roots *x509.CertPool) *sip.Endpoint {
			cfg := sip.Default()
			cfg.Listen = []string{"tls:" + addr.String() + ":5061"}
			return siptest.Start(t, cfg, []sip.Option{
				sip.WithNetwork(n.Host(addr)), siptest.WithNames(&siptest.Names{Addrs: map[string][]netip.Addr{"dock.example": {b}, "other.example": {b}}}),
				sip.WithTLS(&tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{RootCAs: roots}),
			}, func(e *sip.Endpoint) { e.Handle("MESSAGE", respond(200, "OK")) })
		}
		start(b, pool)
		a := start(addrA, pool)
		var u gosip.Uri
		for text, want := range map[string]bool{"sips:bob@10.0.0.2": true, "sip:bob@10.0.0.2;transport=tls": true, "sip:bob@10.0.0.2": true,
			"sip:bob@10.0.0.2;transport=udp": false, "sip:bob@10.0.0.2;transport=tcp": false} {
			if err := gosip.ParseUri(text, &u); err != nil || a.TLSOnly(u, sip.Send{}) != want {
				t.Errorf("%s by nothing but TLS: want %v, %v", text, want, err)
			}
		}
		stranger := start(netip.MustParseAddr("10.0.0.3"), x509.NewCertPool())
		for _, c := range []struct {
			from *sip.Endpoint
			uri  string
			code int
		}{
			{a, "sips:bob@10.0.0.2", 200},
			{a, "sip:bob@10.0.0.2;transport=tls", 200},
			{a, "sips:bob@dock.example", 200},
			{a, "sips:bob@other.example", 200}, // the connection is there already
			{stranger, "sips:bob@10.0.0.2", 0},
		} {
			tx := c.from.Request(request("MESSAGE", c.uri, c.uri, 1), sip.Send{})
			codes, _ := collect(tx)
			if c.code == 0 {
				if len(codes) != 0 || !errors.Is(tx.Err(), sip.ErrTransport) {
					t.Errorf("%s: got %v, %v", c.uri, codes, tx.Err())
				}
				continue
			}
			if len(codes) != 1 || codes[0] != c.code {
				t.Errorf("%s: got %v, %v", c.uri, codes, tx.Err())
			}
		}
	})
}

func TestTLSFiles(t *testing.T) {
	_, _, certPEM, keyPEM := siptest.Certificate(t, addrA)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	cert, key, junk := write("cert.pem", certPEM), write("key.pem", keyPEM), write("junk.pem", []byte("junk"))
	for _, c := range []struct{ name, cert, key, ca, want string }{
		{"good", cert, key, cert, ""},
		{"no certificate", "", "", "", "needs tls_cert and tls_key"},
		{"missing file", filepath.Join(dir, "none"), key, "", "tls_cert"},
		{"junk", cert, junk, "", "tls_key"},
		{"junk authorities", cert, key, junk, "tls_ca"},
		{"missing authorities", cert, key, filepath.Join(dir, "none"), "tls_ca"},
	} {
		cfg := sip.Default()
		cfg.Listen = []string{"tls:10.0.0.1:5061"}
		cfg.TLSCert, cfg.TLSKey, cfg.TLSCA = c.cert, c.key, c.ca
		_, err := sip.New(cfg, nil)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
