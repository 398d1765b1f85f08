package sip

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// loadTLS reads the certificates that the configuration names.
func (e *Endpoint) loadTLS() error {
	if e.tlsServer == nil && e.cfg.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(e.cfg.TLSCert, e.cfg.TLSKey)
		if err != nil {
			return fmt.Errorf("sip: tls_cert = %q, tls_key = %q: %w", e.cfg.TLSCert, e.cfg.TLSKey, err)
		}
		e.tlsServer = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	if e.tlsClient != nil {
		return nil
	}
	e.tlsClient = &tls.Config{MinVersion: tls.VersionTLS12}
	if e.cfg.TLSCA == "" {
		return nil
	}
	pem, err := os.ReadFile(e.cfg.TLSCA)
	if err != nil {
		return fmt.Errorf("sip: tls_ca: %w", err)
	}
	e.tlsClient.RootCAs = x509.NewCertPool()
	if !e.tlsClient.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("sip: tls_ca = %q: holds no PEM certificate", e.cfg.TLSCA)
	}
	return nil
}
