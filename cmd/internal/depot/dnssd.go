package depot

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"
)

// Service is the DNS-SD type (RFC 6763 §7) of a web server of identities. Its TXT record may say path=/folder/ and, for a
// server that has a certificate, scheme=https.
const Service = "_parklamp-site._tcp"

// ErrNobody: nobody on the link offers identities.
var ErrNobody = fmt.Errorf("%w: nobody on this network offers identities by DNS-SD (%s)", errNothing, Service)

const (
	askTime   = 3 * time.Second // servers answer a question to all after up to 0.12 s (RFC 6762 §6), or after its repetition
	maxHeard  = 64              // offers; more are not listened to
	maxOffers = 8               // that are asked in one round
)

// Offer is a server that somebody on the link has named.
type Offer struct {
	URL     string         // as in Request
	Address netip.AddrPort // where its host is
}

// Find asks who on the link offers identities (RFC 6762, RFC 6763 §4), and returns some of those that answered in time, in another
// order each time: nobody who stalls is always asked first, or crowds the others out for good. It returns ErrNobody if there is none.
func Find(ctx context.Context, link string) ([]Offer, error) {
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return nil, fmt.Errorf("DNS-SD: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	// Others on this board may listen to multicast DNS too: of a multicast address package net shares the port.
	socket, err := net.ListenPacket("udp4", "224.0.0.251:5353")
	if err != nil {
		return nil, fmt.Errorf("DNS-SD: %w", err)
	}
	conn, err := mdns.NewServer(ipv4.NewPacketConn(socket), nil, mdns.WithInterfaces(*ifi), mdns.WithQueryInterval(askTime/3))
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("DNS-SD: %w", err)
	}
	defer func() { _ = conn.Close() }()
	found := make(chan mdns.ServiceEvent, maxHeard)
	conn.OnServiceDiscovered(func(e mdns.ServiceEvent) {
		select {
		case found <- e:
		default: // there are enough
		}
	})
	if err := conn.Browse(ctx, Service); err != nil {
		return nil, fmt.Errorf("DNS-SD: %w", err)
	}
	var offers []Offer
	for len(offers) < maxHeard {
		select {
		case e := <-found:
			if o, ok := offer(e); ok && !slices.Contains(offers, o) {
				offers = append(offers, o)
			}
			continue
		case <-ctx.Done():
		}
		break
	}
	if len(offers) == 0 {
		return nil, ErrNobody
	}
	rand.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
	return offers[:min(len(offers), maxOffers)], nil
}

// offer is what a service instance says about its server.
func offer(e mdns.ServiceEvent) (Offer, bool) {
	s := e.Instance
	host := strings.TrimSuffix(s.Host, ".")
	if s.Service != Service || host == "" || s.Port == 0 || !e.Addr.Is4() {
		return Offer{}, false
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, strconv.Itoa(int(s.Port))), Path: "/"}
	for _, t := range s.Text {
		switch v := string(t.Value); strings.ToLower(t.Key) { // RFC 6763 §6.4: the case of a key does not matter
		case "path":
			u.Path = "/" + strings.TrimPrefix(v, "/")
		case "scheme":
			if v != "http" && v != "https" {
				return Offer{}, false
			}
			u.Scheme = v
		}
	}
	return Offer{URL: u.String(), Address: netip.AddrPortFrom(e.Addr, s.Port)}, true
}
