package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/wav"
	"parklamp/parkd/panel"
)

// clerkNumber is the extension of the softphone at the registrar.
const clerkNumber = "350"

// registrar is Kamailio with an account for the softphone and one for each appliance, which is named like it.
type registrar struct {
	*peer.Kamailio
	p    *place
	addr netip.Addr
	dir  string
}

// passwords are those that Kamailio knows.
var passwords = map[string]string{clerkNumber: "anvil-17", "dock-1": "wrench-42", "dock-2": "pliers-8"}

// registrar starts Kamailio at address .5.
func (p *place) registrar() *registrar {
	p.Helper()
	r := &registrar{p: p, addr: p.addr(5), dir: p.T.TempDir()}
	r.start()
	p.Cleanup(func() {
		r.Stop()
		if p.Failed() {
			p.Logf("kamailio:\n%s", r.Output())
		}
	})
	return r
}

func (r *registrar) start() {
	r.p.Helper()
	k, err := peer.StartKamailio(r.p.Context(), r.dir, r.addr, passwords)
	if err != nil {
		r.p.Fatal(err)
	}
	r.Kamailio = k
}

// uri names a user of the registrar.
func (r *registrar) uri(user string) string { return fmt.Sprintf("sip:%s@%s", user, r.addr) }

// account is the TOML of an appliance's account.
func (r *registrar) account(user, password, more string) string {
	r.p.Helper()
	file := filepath.Join(r.dir, user+".password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		r.p.Fatal(err)
	}
	if !strings.Contains(more, "expires = ") {
		more += "\nexpires = \"1m\""
	}
	return fmt.Sprintf("\n[[registration.accounts]]\naor = %q\npassword_file = %q\nkeep_alive = \"5s\"\n%s\n", r.uri(user), file, more)
}

// clerk starts baresip with its account at the registrar.
func (r *registrar) clerk() *softphone {
	r.p.Helper()
	s := r.p.registeredSoftphone(clerkNumber, clerk(), peer.BaresipOptions{Password: passwords[clerkNumber], Registrar: r.addr.String() + ":5060"})
	s.sees("REGISTER_OK")
	return s
}

// passed checks how many requests of a method somebody has sent through the proxy so far, and returns the last.
func (r *registrar) passed(t *testing.T, method string, from netip.Addr, want int) string {
	t.Helper()
	all := slices.DeleteFunc(r.Saw(method), func(line string) bool { return !strings.Contains(line, " at "+from.String()+" ") })
	if len(all) != want {
		t.Errorf("the proxy has passed on %d %s from %s, want %d:\n%s", len(all), method, from, want, strings.Join(all, "\n"))
		return ""
	}
	return all[want-1]
}

// worker is the TOML for what a worker says.
func (p *place) worker() string {
	p.Helper()
	name := filepath.Join(p.dir, "worker.wav")
	if err := wav.WriteFile(name, speech.Worker(), 8000); err != nil {
		p.Fatal(err)
	}
	return fmt.Sprintf("[audio]\nspeech = %q\n", name)
}

// registered waits until an appliance's account is registered.
func (p *place) registered(a *site.Appliance) {
	p.Helper()
	p.await(a, "registered", func(st panel.Status) bool { return len(st.Accounts) == 1 && st.Accounts[0].State == "registered" })
}

// condition is the health condition of an appliance's account, and whether there is one.
func condition(st panel.Status) (panel.Condition, bool) {
	i := slices.IndexFunc(st.Health, func(c panel.Condition) bool { return strings.HasPrefix(c.Code, "registration.") })
	if i < 0 {
		return panel.Condition{}, false
	}
	return st.Health[i], true
}

// unregistered waits for the health condition of an appliance's account, and checks that it says why and what to do.
func (p *place) unregistered(a *site.Appliance, reason, hint string) {
	p.Helper()
	st := p.await(a, "not registered", func(st panel.Status) bool { _, bad := condition(st); return bad })
	if c, _ := condition(st); !strings.Contains(c.Text, reason) || !strings.Contains(c.Hint, hint) {
		p.Errorf("%s says %q, %q; want %q, %q", a.Name, c.Text, c.Hint, reason, hint)
	}
}

// dial lifts a handset and dials.
func (p *place) dial(a *site.Appliance, digits string) {
	p.Helper()
	p.hook(a, true)
	if err := a.Dial(p.Context(), digits); err != nil {
		p.Fatal(err)
	}
}

// TestRegistrar has dock-1 and a softphone registered at Kamailio, and dock-2 with a wrong password.
func TestRegistrar(t *testing.T) {
	t.Parallel()
	whole := &place{T: t, network: newNetwork(), dir: t.TempDir()}
	r := whole.registrar()
	whole.start([]site.Member{
		{Name: "dock-1", Number: "201", Addr: whole.addr(1), LogLevel: "debug", Extra: whole.worker() + r.account("dock-1", passwords["dock-1"], "")},
		{Name: "dock-2", Number: "202", Addr: whole.addr(2), LogLevel: "debug", Extra: whole.worker() + r.account("dock-2", "guess", "")},
	})
	whole.registered(whole.dock1())
	phone := r.clerk()

	t.Run("wrong password", func(t *testing.T) {
		whole.in(t).unregistered(whole.dock2(), "401", "password")
	})

	t.Run("called through the proxy", func(t *testing.T) {
		p := whole.in(t)
		b := phone.in(p)
		b.do("dial", r.uri("dock-1"))
		p.answer(p.dock1())
		p.press(p.dock1(), "park")
		p.everywhere("701", "parked-here", "parked-elsewhere")
		p.hook(p.dock1(), false)
		p.fetch(p.dock2(), "701")
		b.talksWith(p.dock2())
		p.hook(p.dock2(), false)
		b.sees("CALL_CLOSED")
		p.idle(p.Appliances...)
		r.passed(t, "BYE", p.dock1().Addr, 1)
	})

	t.Run("calls through the proxy", func(t *testing.T) {
		p := whole.in(t)
		b := phone.in(p)
		p.dial(p.dock1(), clerkNumber+"#")
		b.sees("CALL_INCOMING")
		b.do("accept", "")
		p.talking(p.dock1())
		b.talksWith(p.dock1())
		p.hook(p.dock1(), false)
		b.sees("CALL_CLOSED")
		p.idle(p.dock1())
		r.passed(t, "BYE", p.dock1().Addr, 2)

		p.dial(p.dock1(), clerkNumber+"#")
		b.sees("CALL_INCOMING")
		b.do("accept", "")
		p.talking(p.dock1())
		b.do("hangup", "")
		p.idle(p.dock1())
		p.hook(p.dock1(), false)
		r.passed(t, "BYE", netip.MustParseAddr("127.0.0.1"), 1)
	})

	t.Run("the registrar loses power", func(t *testing.T) {
		p := whole.in(t)
		r.Kill()
		o := p.parked(11, "701")
		p.fetch(p.dock2(), "701")
		p.conversation(p.dock2(), o)
		p.hook(p.dock2(), false)
		o.ended()
		p.unregistered(p.dock1(), "does not answer", "check")
		r.p = p
		r.start()
		p.registered(p.dock1())
		p.await(p.dock1(), "well", func(st panel.Status) bool { _, bad := condition(st); return !bad })
		o = p.callTo(r.addr, "dock-1", 12, "caller")
		p.answer(p.dock1())
		p.conversation(p.dock1(), o)
		p.hook(p.dock1(), false)
		o.ended()
		p.idle(p.Appliances...)
	})
}

// TestRecallThroughTheRegistrar parks by REFER of a registered softphone, and has it rung when nobody fetches. The
// appliance is registered over TCP.
func TestRecallThroughTheRegistrar(t *testing.T) {
	t.Parallel()
	p := &place{T: t, network: newNetwork(), dir: t.TempDir()}
	r := p.registrar()
	p.start([]site.Member{{Name: "dock-1", Number: "201", Addr: p.addr(1), LogLevel: "debug",
		Extra: "[lot]\ntimeout = \"6s\"\n" + p.worker() + r.account("dock-1", passwords["dock-1"], "transport = \"tcp\"")}})
	p.registered(p.dock1())
	b := r.clerk()
	o := p.parked(11, "701")
	b.dials(uri("701", p.dock1()))
	b.do("transfer", uri("702", p.dock1()))
	p.everywhere("702", "parked-here")
	b.sees("CALL_CLOSED")

	p.everywhere("702", "recalling")
	b.sees("CALL_INCOMING")
	p.music(o)
	invite := r.passed(t, "INVITE", p.dock1().Addr, 1)
	for _, want := range []string{"info=parked", "5550011"} {
		if !strings.Contains(invite, want) {
			t.Errorf("the recall is %q, want %q in it", invite, want)
		}
	}
	b.do("accept", "")
	b.talksWithCaller(o)
	p.everywhere("702", "free")
	b.do("hangup", "")
	o.ended()
	p.idle(p.dock1())
}
