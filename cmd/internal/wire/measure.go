package wire

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/exam"
	"parklamp/cmd/internal/probe"
	"parklamp/cmd/internal/selftest"
	"parklamp/sip"
	"parklamp/sip/reg"
)

// measurements are the steps of a self test that need neither hands nor sound.
func (a *Appliance) measurements() exam.Measurements {
	peers := a.pingable()
	return exam.Measurements{
		selftest.Network: a.network(peers), selftest.Disk: a.disk, selftest.Clock: a.clock(peers),
	}
}

func (a *Appliance) disk(ctx context.Context) []selftest.Finding { return probe.Disk(ctx, a.storage()) }

func (a *Appliance) clock(peers []probe.Peer) func(context.Context) []selftest.Finding {
	return func(ctx context.Context) []selftest.Finding {
		return probe.Clock(ctx, probe.Clocks{NTP: a.cfg.SelfTest.NTP, Peers: peers})
	}
}

// storage is the folder whose disk matters: that of the journal, if there is one.
func (a *Appliance) storage() string {
	if a.cfg.Journal.Path != "" {
		return filepath.Dir(a.cfg.Journal.Path)
	}
	return a.cfg.SelfTest.Reports
}

// network gathers what a call needs.
func (a *Appliance) network(peers []probe.Peer) func(context.Context) []selftest.Finding {
	n := probe.Net{Peers: peers}
	for _, s := range a.endpoint.Listening() {
		n.Addresses = append(n.Addresses, s.At.Addr())
	}
	for _, s := range a.registrar.Statuses() {
		n.Accounts = append(n.Accounts, probe.Account{AOR: s.AOR, Registered: s.State == reg.Registered, Reason: s.Reason})
		var u gosip.Uri
		host := s.AOR
		if r := a.registrarOf(s.AOR); r != "" {
			host = r
		}
		if gosip.ParseUri(host, &u) == nil && !addrOf(u).IsValid() && u.Host != "" {
			n.Names = append(n.Names, u.Host)
		}
	}
	return func(ctx context.Context) []selftest.Finding { return probe.Network(ctx, n) }
}

// pingable lists the peers that the configuration names.
func (a *Appliance) pingable() []probe.Peer {
	var all []probe.Peer
	for _, p := range a.cfg.Federation.Peers {
		if uri, ok := a.federation.PeerURI(p.Name, p.Name); ok {
			all = append(all, probe.Peer{Name: p.Name, Address: hostPort(uri), Ping: func(ctx context.Context) (probe.Pong, error) { return a.ping(ctx, uri) }})
		}
	}
	return all
}

// ping asks a peer for a sign of life (RFC 3261 §11), and for its time.
func (a *Appliance) ping(ctx context.Context, to gosip.Uri) (probe.Pong, error) {
	req := sip.Head{Target: to, From: a.identity(to).uri}.Request(gosip.OPTIONS)
	transport, ok := to.UriParams.Get("transport")
	if !ok {
		transport = a.cfg.Federation.Transport()
	}
	began := time.Now()
	res, err := a.endpoint.Request(req, sip.Send{Transport: transport}).Final(ctx)
	if ctx.Err() != nil && err != nil {
		return probe.Pong{}, errors.New("no answer in time")
	}
	if err != nil {
		return probe.Pong{}, err
	}
	p := probe.Pong{Took: time.Since(began)}
	if h := res.GetHeader("Date"); h != nil {
		p.Date, _ = time.Parse(sip.DateFormat, h.Value()) // no date is as good as a wrong one
	}
	return p, nil
}
