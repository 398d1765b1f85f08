package sip

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"
)

// ErrUnproved ends a client transaction whose far end does not prove to be the appliance that is expected there.
var ErrUnproved = errors.New("sip: the far end does not prove by a certificate of the site who it is")

// loadTLS reads the certificates that the configuration names.
func (e *Endpoint) loadTLS() error {
	if e.cfg.TLSCert != "" {
		e.pair = &pairFiles{cert: e.cfg.TLSCert, key: e.cfg.TLSKey, failed: func(err error) {
			e.log.Error("the new certificate cannot be used, the old one stays", "err", err)
		}}
		if _, err := e.pair.get(); err != nil && e.tlsServer == nil {
			return fmt.Errorf("sip: tls_cert = %q, tls_key = %q: %w", e.cfg.TLSCert, e.cfg.TLSKey, err)
		}
	}
	if e.cfg.SiteCA != "" {
		var err error
		if e.site, err = readPool("site_ca", e.cfg.SiteCA); err != nil {
			return err
		}
	}
	if e.tlsServer == nil && e.pair != nil {
		e.tlsServer = &tls.Config{MinVersion: tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return e.pair.get() }}
		if e.site != nil {
			// Asked for, and looked at in prove: a phone may show its maker's certificate, or none.
			e.tlsServer.ClientAuth, e.tlsServer.ClientCAs = tls.RequestClientCert, e.site
		}
	}
	if e.tlsClient != nil {
		return nil
	}
	e.tlsClient = &tls.Config{MinVersion: tls.VersionTLS12}
	if e.cfg.TLSCA == "" {
		return nil
	}
	var err error
	e.tlsClient.RootCAs, err = readPool("tls_ca", e.cfg.TLSCA)
	return err
}

func readPool(key, path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sip: %s: %w", key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("sip: %s = %q: holds no PEM certificate", key, path)
	}
	return pool, nil
}

// clientTLS is how TLS with a remote socket is begun. An appliance of the site must prove that it is the one that is
// expected there, by its name and the site's authority (RFC 5922 §7.2), and is shown who we are, by the certificate shown; others prove host, the
// name that was asked for, by the authorities of the configuration.
func (e *Endpoint) clientTLS(remote netip.AddrPort, host string) (cfg *tls.Config, shown *tls.Certificate, err error) {
	if e.site != nil && e.pair != nil && e.appliance != nil {
		if name := e.appliance(remote); name != "" {
			if shown, err = e.pair.get(); err != nil {
				return nil, nil, err
			}
			return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil },
				// Not skipped: VerifyConnection is what verifies, by a clock that may be wrong.
				InsecureSkipVerify: true,
				VerifyConnection: func(s tls.ConnectionState) error {
					err := e.verify(s.PeerCertificates)
					if err == nil {
						err = s.PeerCertificates[0].VerifyHostname(name)
					}
					if err != nil {
						return fmt.Errorf("%w: want %s: %w", ErrUnproved, name, err)
					}
					return nil
				}}, shown, nil
		}
	}
	cfg = e.tlsClient.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	return cfg, nil, nil
}

// renewed says whether a connection was begun with a certificate that has been renewed since: what it proves to the other
// appliance is what the old one did.
func (e *Endpoint) renewed(c *streamConn) bool {
	if c == nil || c.shown == nil {
		return false
	}
	now, err := e.pair.get()
	return err == nil && now != c.shown
}

// prove returns the names that the far end of a connection has proved by a certificate of the site, in force now; nil for
// none. The handshake must be over.
func (e *Endpoint) prove(conn any) []string {
	c, ok := conn.(*tls.Conn)
	if !ok || e.site == nil {
		return nil
	}
	shown := c.ConnectionState().PeerCertificates
	if err := e.verify(shown); err != nil {
		e.log.Debug("a connection proves no appliance of the site", "peer", c.RemoteAddr(), "err", err)
		return nil
	}
	return shown[0].DNSNames
}

// verify says why certificates do not show an appliance of the site. Departs from RFC 5280 §6.1.3: a begin that is still
// to come does not matter. A board without a battery may believe that it is the day of its image, until it hears of
// another; its peers would not be its peers until then. The end counts.
func (e *Endpoint) verify(shown []*x509.Certificate) error {
	if len(shown) == 0 {
		return errors.New("no certificate was shown")
	}
	now := time.Now()
	if begin := shown[0].NotBefore; now.Before(begin) {
		now = begin
	}
	// RFC 5922 §7.1: who calls shows a certificate for TLS clients, who is called one for servers. The site's are for both.
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := shown[0].Verify(x509.VerifyOptions{Roots: e.site, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			return err
		}
	}
	return nil
}

// reloadEvery is how often the certificate's files are looked at, when a connection needs them.
const reloadEvery = time.Second

// pairFiles is a certificate with its key that follows its files: one that is renewed is used by the next connection.
type pairFiles struct {
	cert, key string      // immutable
	failed    func(error) // immutable

	mu     sync.Mutex // guards everything below
	pair   *tls.Certificate
	looked time.Time
	stamps [2]os.FileInfo
}

// get returns the pair. New files that cannot be used, such as a certificate whose key is not there yet, leave the old one.
func (p *pairFiles) get() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.pair == nil || now.Sub(p.looked) >= reloadEvery || now.Before(p.looked) {
		p.looked = now
		if err := p.reload(); err != nil && p.pair == nil {
			return nil, err
		} else if err != nil {
			p.failed(err)
		}
	}
	return p.pair, nil
}

func (p *pairFiles) reload() error {
	var stamps [2]os.FileInfo
	var errs [2]error
	stamps[0], errs[0] = os.Stat(p.cert)
	stamps[1], errs[1] = os.Stat(p.key)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if p.pair != nil && same(p.stamps[0], stamps[0]) && same(p.stamps[1], stamps[1]) {
		return nil
	}
	p.stamps = stamps // what is wrong with them is told once
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return err
	}
	p.pair = &pair
	return nil
}

func same(a, b os.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
