package event

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"parklamp/sip"
	"parklamp/sip/event/dialoginfo"
)

// lamps are many subscribers behind one UDP socket that answer every NOTIFY with 200,
// as cheaply as can be, so that the notifier is what is measured.
type lamps struct {
	conn *net.UDPConn
	to   net.Addr
	got  chan time.Time // capacity 10000, of each NOTIFY
}

// reply builds the 200 to a request from its own header lines.
func reply(req []byte) []byte {
	out := append(make([]byte, 0, 600), "SIP/2.0 200 OK\r\n"...)
	for line := range bytes.Lines(req) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "Via", "From", "To", "Call-ID", "CSeq":
			out = append(out, line...)
		}
		if len(line) <= 2 {
			break
		}
	}
	return append(out, "Content-Length: 0\r\n\r\n"...)
}

func (l *lamps) serve() {
	buf := make([]byte, 65536)
	seen := map[string]bool{} // branches: a retransmission is answered, not counted
	for {
		n, from, err := l.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if !bytes.HasPrefix(buf[:n], []byte("NOTIFY")) {
			continue
		}
		_, _ = l.conn.WriteTo(reply(buf[:n]), from) // a lost reply is asked for again
		_, via, _ := bytes.Cut(buf[:n], []byte("branch="))
		via, _, _ = bytes.Cut(via, []byte("\r\n"))
		if !seen[string(via)] {
			seen[string(via)] = true
			l.got <- now
		}
	}
}

func (l *lamps) subscribe(b *testing.B, i int) {
	at := l.conn.LocalAddr().String()
	msg := fmt.Sprintf("SUBSCRIBE sip:701@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:lamp@%s>;tag=t%d\r\nTo: <sip:701@%s>\r\nCall-ID: c%d\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:lamp%d@%s>\r\n"+
		"Event: dialog\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n", l.to, at, i, at, i, l.to, i, i, at)
	if _, err := l.conn.WriteTo([]byte(msg), l.to); err != nil {
		b.Fatal(err)
	}
}

func freePort(b *testing.B) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// BenchmarkChange is the time from Changed until the first and the last of n lamps
// have the NOTIFY, over UDP on loopback. The document is that of a parked call.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1, 50, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkChange(b, n) })
	}
}

func benchmarkChange(b *testing.B, n int) {
	log := slog.New(slog.DiscardHandler)
	cfg := sip.Default()
	cfg.MaxDatagramsPerSourcePerSecond = 1 << 20
	at := freePort(b)
	cfg.Listen = []string{"udp:" + at}
	ep, err := sip.New(cfg, log)
	if err != nil {
		b.Fatal(err)
	}
	a := New(ep, Default(), log)
	orbit := dialoginfo.Orbit{Number: "701", Entity: "sip:701@127.0.0.1", Calls: []dialoginfo.Call{{
		ID: "c1", Host: "dock-1", Target: "sip:701@127.0.0.1", Caller: dialoginfo.Identity{Name: "Ann", URI: "sip:+15550100@gw.example"},
		Parker: dialoginfo.Identity{Name: "dock-1", URI: "sip:dock-1@127.0.0.1"}, Since: time.Now(),
	}}}
	a.Serve(Package{Name: "dialog", ContentType: dialoginfo.ContentType, Document: func(r Request) ([]byte, bool) {
		return dialoginfo.Marshal(orbit.Document(r.Version, time.Now())), true
	}})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{}, 2)
	epCtx, epCancel := context.WithCancel(b.Context())
	go func() { _ = ep.Run(epCtx); ended <- struct{}{} }()
	<-ep.Ready()
	go func() { _ = a.Run(ctx); ended <- struct{}{} }()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	_ = conn.SetReadBuffer(8 << 20) // as much as the kernel allows
	l := &lamps{conn: conn, to: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)), got: make(chan time.Time, 10000)}
	go l.serve()
	for i := range n {
		l.subscribe(b, i)
		<-l.got // the first NOTIFY
	}
	var first, last []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		time.Sleep(2 * a.cfg.Coalesce) // a change by itself
		b.StartTimer()
		began := time.Now()
		a.Changed("dialog", "701")
		for i := range n {
			d := (<-l.got).Sub(began)
			if i == 0 {
				first = append(first, d)
			}
			if i == n-1 {
				last = append(last, d)
			}
		}
	}
	report := func(name string, d []time.Duration) {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(d[len(d)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
	report("first", first)
	report("last", last)
	cancel()
	<-ended
	epCancel()
	<-ended
	_ = conn.Close()
}
