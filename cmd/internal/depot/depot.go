// Package depot fetches the set of files that makes a board this appliance (package provision) from a web server that
// DHCP options 160 and 66, network.toml or DNS-SD name: an archive (tar) for each appliance, named by its Ethernet address.
//
// It only brings the bytes: whoever called it checks and imports them. It fetches nothing larger than MaxArchive, follows
// no redirect from https to http, keeps no password of a URL in an error, and starts no goroutine that outlives Fetch.
// The server of an https URL proves itself to the system's authorities or those of Request; http proves nothing, which is why
// it is good for an appliance without an identity only.
//
// Standards: RFC 9110 (HTTP), RFC 9112; RFC 6762 and 6763 (multicast DNS, DNS-SD), as one who asks.
package depot

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// What is wrong.
var (
	// errNothing: the server has nothing for this appliance, or not yet.
	errNothing = errors.New("the server has nothing for this appliance")
	errURL     = errors.New("unusable URL")
	errSize    = errors.New("the archive is too large")
)

// MaxArchive bounds an archive in bytes; a set has some 30 KB.
const MaxArchive = 2 << 20

// Limit is how long one fetch may take.
const Limit = 45 * time.Second

const (
	maxRedirects = 3
	maxAuthority = 64 << 10 // bytes of a file of certificates
)

// Request is what is to be fetched.
type Request struct {
	URL string // of the archive (.tar), or of the folder that has one for each appliance
	MAC string // Ethernet address, as the kernel writes it
	// Authorities are files of certificates (PEM) that an https server may prove itself to besides the system's; those
	// that do not exist are left out.
	Authorities []string
	Address     netip.AddrPort // where the URL's host is, if that is known; else DNS says it
}

// resolve is the URL of this appliance's archive. A path that ends in .tar is taken as it is; after a query, such as
// ?phone=, and after a folder comes the Ethernet address in small letters with hyphens and .tar.
func resolve(text, mac string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: want http:// or https:// and a host", errURL) // the text may hold a password
	}
	u.Fragment, u.RawFragment = "", ""
	if strings.HasSuffix(u.Path, ".tar") {
		return u, nil
	}
	name := strings.ToLower(strings.ReplaceAll(mac, ":", "-"))
	if len(name) != len("aa-bb-cc-dd-ee-ff") {
		return nil, fmt.Errorf("%w: Ethernet address %q has no place in it", errURL, mac)
	}
	name += ".tar"
	if u.RawQuery != "" {
		u.RawQuery += name
		return u, nil
	}
	return u.JoinPath(name), nil
}

// Show is a URL as people may see it: without a password and a query.
func Show(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a malformed URL"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// Fetch writes the archive to w. What was written before an error is worth nothing.
func Fetch(ctx context.Context, r Request, w io.Writer) error {
	u, err := resolve(r.URL, r.MAC)
	if err != nil {
		return err
	}
	roots, err := authorities(r.Authorities)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
		DisableCompression: true, MaxResponseHeaderBytes: 32 << 10, TLSHandshakeTimeout: Limit / 3, ResponseHeaderTimeout: Limit / 2}
	if r.Address.IsValid() {
		transport.DialContext = func(ctx context.Context, network, host string) (net.Conn, error) {
			if host == u.Host { // not where a redirect leads
				host = r.Address.String()
			}
			return new(net.Dialer).DialContext(ctx, network, host)
		}
	}
	client := &http.Client{Transport: transport, Timeout: Limit, CheckRedirect: follow}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("%w: %s", errURL, Show(r.URL))
	}
	req.Header.Set("Accept", "application/x-tar, application/octet-stream;q=0.9, */*;q=0.1")
	req.Header.Set("User-Agent", "Parklamp")
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", Show(u.String()), inner(err))
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone || res.StatusCode == http.StatusNoContent:
		return fmt.Errorf("%w: %s answers %s", errNothing, Show(u.String()), res.Status)
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("fetch %s: the server answers %s", Show(u.String()), res.Status)
	}
	n, err := io.Copy(w, io.LimitReader(res.Body, MaxArchive+1))
	if err != nil {
		return fmt.Errorf("fetch %s: %w", Show(u.String()), inner(err)) // also a body that is shorter than was said
	}
	if n > MaxArchive {
		return fmt.Errorf("%w: %s has more than %d bytes", errSize, Show(u.String()), MaxArchive)
	}
	return nil
}

// inner is an error without the URL that net/http puts around it: a query may hold a secret.
func inner(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// follow refuses to go on where the server's word would count less than the URL's.
func follow(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return errors.New("a redirect from https to " + next.URL.Scheme)
	}
	return nil
}

// authorities are the system's and those of files.
func authorities(files []string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // an image has none
	}
	for _, name := range files {
		text, err := readSome(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("authorities: %s holds no certificate (PEM)", name)
		}
	}
	return pool, nil
}

func readSome(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxAuthority))
}
