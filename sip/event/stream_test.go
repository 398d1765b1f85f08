package event

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A phone that subscribes over TCP and names the connection in its Contact gets every
// NOTIFY on that connection; when it closes and nobody listens there, the watcher is
// removed at once.
func TestSubscriptionOverStream(t *testing.T) {
	inWorld(t, func(w *world) {
		phone := netip.MustParseAddr("10.0.0.5")
		conn, err := w.net.Host(phone).Dial(w.t.Context(), phone, netip.MustParseAddrPort(agentAddr+":5060"))
		if err != nil {
			t.Fatal(err)
		}
		me := conn.LocalAddr().String()
		write := func(text string) {
			t.Helper()
			if _, err := conn.Write([]byte(strings.ReplaceAll(strings.TrimLeft(text, "\n"), "\n", "\r\n"))); err != nil {
				t.Fatal(err)
			}
		}
		write(fmt.Sprintf(`
SUBSCRIBE sip:701@10.0.0.1;transport=tcp SIP/2.0
v: SIP/2.0/TCP %[1]s;branch=z9hG4bK-1
Max-Forwards: 70
f: <sip:phone@10.0.0.5>;tag=f
t: <sip:701@10.0.0.1>
i: over-tcp
CSeq: 1 SUBSCRIBE
m: <sip:phone@%[1]s;transport=TCP>
o: dialog
Expires: 60
l: 0

`, me))
		got := readAll(conn)
		if !strings.HasPrefix(got, "SIP/2.0 200") || strings.Count(got, "NOTIFY sip:phone@"+me) != 1 ||
			!strings.Contains(got, "Via: SIP/2.0/TCP") || !strings.Contains(got, "Contact: <sip:701@10.0.0.1:5060;transport=tcp>") {
			t.Fatalf("got %s", got)
		}
		_, notify, _ := strings.Cut(got, "NOTIFY ")
		if _, err := conn.Write(reply([]byte("NOTIFY " + notify))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		w.change()
		if got := readAll(conn); !strings.Contains(got, "state=1") {
			t.Errorf("got %s", got)
		}
		_ = conn.Close()
		synctest.Wait()
		w.change()
		synctest.Wait()
		expect(t, "watchers", w.agent.Stats().Watchers, 0)
	}, func(_ *Config, p *Package) { p.Min = 10 * time.Second })
}

// readAll returns what has come and what comes within 100 ms.
func readAll(conn net.Conn) string {
	var b strings.Builder
	buf := make([]byte, 4096)
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	for {
		n, err := conn.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}
