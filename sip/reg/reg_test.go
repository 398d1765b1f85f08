package reg_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
	"parklamp/sip/reg"
	"parklamp/sip/siptest"
)

const password = "open sesame"

// registrar is a registrar that answers as a test wants and remembers what came.
type registrar struct {
	ep *sip.Endpoint

	mu     sync.Mutex // guards everything below
	answer func(req *gosip.Request) *gosip.Response
	got    []*gosip.Request // REGISTERs with good credentials, in order
	at     []time.Time
	wrong  int
	rport  string // what OPTIONS are answered with, when set
}

func newRegistrar(t *testing.T, n *siptest.Net) *registrar {
	r := &registrar{}
	auth := sip.NewAuthenticator("pbx", func(user string) (string, bool) { return password, user == "701" })
	r.ep = siptest.NewEndpoint(t, n, "10.0.0.5", func(e *sip.Endpoint) {
		e.Handle("REGISTER", func(req *gosip.Request, tx *sip.ServerTx) {
			if !auth.Check(req, tx) {
				r.mu.Lock()
				r.wrong++
				r.mu.Unlock()
				return
			}
			r.mu.Lock()
			r.got, r.at = append(r.got, req), append(r.at, time.Now())
			answer := r.answer
			r.mu.Unlock()
			_ = tx.Respond(answer(req))
		})
		// A registrar that shows, by rport, from where it sees us.
		e.Handle("OPTIONS", func(req *gosip.Request, tx *sip.ServerTx) {
			r.mu.Lock()
			rport := r.rport
			r.mu.Unlock()
			res := sip.NewResponse(req, 200, "OK")
			if rport != "" {
				res.Via().Params.Add("rport", rport)
			}
			_ = tx.Respond(res)
		})
	})
	r.set(func(req *gosip.Request) *gosip.Response { return grant(req, "600") })
	return r
}

func (r *registrar) set(f func(*gosip.Request) *gosip.Response) {
	r.mu.Lock()
	r.answer = f
	r.mu.Unlock()
}

func (r *registrar) requests() ([]*gosip.Request, []time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*gosip.Request(nil), r.got...), append([]time.Time(nil), r.at...)
}

func grant(req *gosip.Request, secs string) *gosip.Response {
	res := sip.NewResponse(req, 200, "OK")
	other := &gosip.ContactHeader{Address: gosip.Uri{Scheme: "sip", User: "701", Host: "10.0.0.99"}, Params: gosip.NewParams()}
	other.Params.Add("expires", "7")
	res.AppendHeader(other) // of another phone
	c := req.Contact().Clone()
	c.Params.Add("expires", secs)
	res.AppendHeader(c)
	return res
}

func refuse(code int, more ...gosip.Header) func(*gosip.Request) *gosip.Response {
	return func(req *gosip.Request) *gosip.Response {
		res := sip.NewResponse(req, code, "Refused")
		for _, h := range more {
			res.AppendHeader(h)
		}
		return res
	}
}

func passwordFile(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func account(t *testing.T) reg.Account {
	return reg.Account{AOR: "sip:701@10.0.0.5", PasswordFile: passwordFile(t, password+"\n")}
}

type phone struct {
	*reg.Registrar
	states chan reg.Status
	stop   func()
}

// start runs a registrar client at 10.0.0.1 until stop or the end of the test.
func start(t *testing.T, n *siptest.Net, accounts ...reg.Account) *phone {
	t.Helper()
	ep := siptest.NewEndpoint(t, n, "10.0.0.1")
	r, err := reg.New(ep, reg.Config{Accounts: accounts}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{Registrar: r, states: make(chan reg.Status, 64)}
	r.OnState(func(s reg.Status) { p.states <- s })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(p.stop)
	return p
}

func TestRegisterRefreshRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		r := newRegistrar(t, n)
		r.set(func(req *gosip.Request) *gosip.Response {
			res := grant(req, "600")
			res.AppendHeader(gosip.NewHeader("Service-Route", `<sip:edge.example;lr>;x="a,b", <sip:core.example;lr>`))
			return res
		})
		p := start(t, n, account(t))
		s := <-p.states
		if s.State != reg.Registered || s.Contact.String() != "sip:701@10.0.0.1:5060" || time.Until(s.Expires) != 10*time.Minute {
			t.Fatalf("got %+v", s)
		}
		send, ok := p.Send("sip:701@10.0.0.5")
		if !ok || len(send.Route) != 2 || send.Route[1].Host != "core.example" || send.Auth.Password != password {
			t.Errorf("calls go by %+v", send)
		}
		time.Sleep(20 * time.Minute)
		p.stop()
		got, at := r.requests()
		if len(got) != 4 { // two refreshes, one removal
			t.Fatalf("%d REGISTERs at %v", len(got), at)
		}
		for i, req := range got {
			if i > 0 && (req.CallID().Value() != got[0].CallID().Value() || req.CSeq().SeqNo <= got[i-1].CSeq().SeqNo) {
				t.Errorf("REGISTER %d: Call-ID %s CSeq %d", i, req.CallID().Value(), req.CSeq().SeqNo)
			}
			if req.Route() != nil || req.Recipient.User != "" {
				t.Errorf("REGISTER goes to %s by %v", req.Recipient.String(), req.Route())
			}
		}
		if d := at[1].Sub(at[0]); d != 9*time.Minute {
			t.Errorf("refreshed after %v, want 90 %% of 10 min", d)
		}
		if v, _ := got[3].Contact().Params.Get("expires"); v != "0" {
			t.Errorf("the last REGISTER asks for %s", v)
		}
		if s := p.Statuses(); s[0].State != reg.Unregistered {
			t.Errorf("at the end %v", s[0].State)
		}
	})
}

func TestFailuresSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*reg.Account)
		answer func(*gosip.Request) *gosip.Response
		code   int
		hint   string
		least  time.Duration // before it is tried again
	}{
		{"wrong password", func(a *reg.Account) { a.PasswordFile = passwordFile(t, "x") }, nil, 401, "password_file", time.Minute},
		{"wrong user", func(a *reg.Account) { a.Username = "x" }, nil, 401, "username", time.Minute},
		{"no password", func(a *reg.Account) { a.PasswordFile = "" }, nil, 401, "set password_file", time.Minute},
		{"no file", func(a *reg.Account) { a.PasswordFile = "/nonexistent" }, nil, 0, "password_file", time.Minute},
		{"empty file", func(a *reg.Account) { a.PasswordFile = passwordFile(t, "\n") }, nil, 0, "password_file", time.Minute},
		{"no such name", func(a *reg.Account) { a.Registrar = "sip:nowhere.example" }, nil, 0, "DNS", 2 * time.Second},
		{"silence", func(a *reg.Account) { a.Registrar = "sip:10.0.0.77" }, nil, 0, "firewalls", 2 * time.Second},
		{"connection refused", func(a *reg.Account) { a.Registrar, a.Transport = "sip:10.0.0.77", "tcp" }, nil, 0, "transport", 2 * time.Second},
		{"no listener", func(a *reg.Account) { a.Transport = "tls" }, nil, 0, "sip.listen", time.Minute},
		{"forbidden", nil, refuse(403), 403, "enabled", time.Minute},
		{"unknown", nil, refuse(404), 404, "spelling", time.Minute},
		{"busy", nil, refuse(503, gosip.NewHeader("Retry-After", "90 (soon)")), 503, "tried again", 90 * time.Second},
		{"broken 423", nil, refuse(423), 423, "account", time.Minute},
		{"greedy 423", nil, func(req *gosip.Request) *gosip.Response {
			d, _ := time.ParseDuration(req.GetHeader("Expires").Value() + "s")
			return refuse(423, gosip.NewHeader("Min-Expires", fmt.Sprint(int(d.Seconds())+1)))(req)
		}, 423, "account", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.New(1)
				r := newRegistrar(t, n)
				if c.answer != nil {
					r.set(c.answer)
				}
				a := account(t)
				if c.change != nil {
					c.change(&a)
				}
				p := start(t, n, a)
				s := <-p.states
				if s.State != reg.Failed || s.Code != c.code || !strings.Contains(s.Hint, c.hint) || s.Reason == "" {
					t.Errorf("got %+v", s)
				}
				if d := time.Until(s.Retry); d < c.least {
					t.Errorf("tried again after %v, want %v at least", d, c.least)
				}
				if strings.Contains(s.Reason+s.Hint, password) {
					t.Error("the password is shown")
				}
			})
		})
	}
}

func TestMinExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		r := newRegistrar(t, n)
		r.set(func(req *gosip.Request) *gosip.Response {
			if req.GetHeader("Expires").Value() != "7200" {
				return refuse(423, gosip.NewHeader("Min-Expires", "7200"))(req)
			}
			return grant(req, "7200")
		})
		p := start(t, n, account(t))
		if s := <-p.states; s.State != reg.Registered || time.Until(s.Expires) != 2*time.Hour {
			t.Errorf("got %+v", s)
		}
	})
}

func TestExpiresWithoutBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		r := newRegistrar(t, n)
		r.set(func(req *gosip.Request) *gosip.Response { return grant(req, "2000000000") })
		p := start(t, n, account(t))
		if s := <-p.states; s.State != reg.Registered {
			t.Errorf("got %+v", s)
		}
		time.Sleep(time.Hour)
		if got, at := r.requests(); len(got) != 1 {
			t.Errorf("%d REGISTERs at %v", len(got), at)
		}
	})
}

// The pauses grow to 5 minutes, and no two appliances keep step.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		r := newRegistrar(t, n)
		r.set(refuse(500))
		p := start(t, n, account(t))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		_, at := r.requests()
		if len(at) < 20 || len(at) > 60 {
			t.Errorf("%d attempts in 2 hours", len(at))
		}
		same := 0
		for i := 1; i < len(at); i++ {
			d := at[i].Sub(at[i-1])
			if d < 2*time.Second || d > 5*time.Minute {
				t.Errorf("pause %d is %v", i, d)
			}
			if i > 1 && d == at[i-1].Sub(at[i-2]) {
				same++
			}
		}
		if same > 2 {
			t.Errorf("%d equal pauses", same)
		}
		if len(p.states) != 1 {
			t.Errorf("the same failure reported %d times", len(p.states))
		}
		r.set(func(req *gosip.Request) *gosip.Response { return grant(req, "600") })
		<-p.states
		if s := <-p.states; s.State != reg.Registered {
			t.Errorf("got %+v", s)
		}
	})
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		r := newRegistrar(t, n)
		a := account(t)
		a.KeepAlive = 10 * time.Second
		p := start(t, n, a)
		<-p.states
		time.Sleep(5 * time.Minute)
		if got, _ := r.requests(); len(got) != 1 {
			t.Fatalf("%d REGISTERs while all is well", len(got))
		}
		host := netip.MustParseAddr("10.0.0.5")
		n.Cut(addrA, host)
		cut := time.Now()
		s := <-p.states
		if s.State != reg.Failed || !strings.Contains(s.Reason, "does not answer") {
			t.Fatalf("got %+v", s)
		}
		if took := time.Since(cut); took > a.KeepAlive+8*time.Second {
			t.Errorf("told after %v, want the next keep-alive and two times 4 s", took)
		}
		n.Heal(addrA, host)
		if s := <-p.states; s.State != reg.Registered {
			t.Errorf("got %+v", s)
		}
	})
}

// One lost keep-alive is no reason to worry anybody.
func TestOneLostKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		r := newRegistrar(t, n)
		a := account(t)
		a.KeepAlive = 10 * time.Second
		p := start(t, n, a)
		<-p.states
		host := netip.MustParseAddr("10.0.0.5")
		n.Cut(addrA, host)
		time.Sleep(a.KeepAlive + 3*time.Second)
		n.Heal(addrA, host)
		time.Sleep(3 * time.Minute)
		if got, _ := r.requests(); len(got) != 1 || len(p.states) != 0 {
			t.Errorf("%d REGISTERs and %d changes of state, want 1 and none", len(got), len(p.states))
		}
	})
}

func TestAddressChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		r := newRegistrar(t, n)
		p := start(t, n, account(t))
		<-p.states
		p.AddressChanged()
		synctest.Wait()
		if got, _ := r.requests(); len(got) != 2 {
			t.Errorf("%d REGISTERs", len(got))
		}
	})
}

// A REGISTER that left an address which is gone is not waited for: the next one, from the new address and without the old
// one, goes out in the same moment.
func TestAddressChangesWhileRegistering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		r := newRegistrar(t, n)
		host := n.Roamer()
		host.Move(addrA)
		cfg := sip.Default()
		cfg.Listen = []string{"udp:eth0:5060", "tcp:eth0:5060"}
		ep := siptest.Start(t, cfg, host.Options())
		p, err := reg.New(ep, reg.Config{Accounts: []reg.Account{account(t)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		defer func() { cancel(); <-done }()
		synctest.Wait()
		contact := func(i int) string {
			t.Helper()
			got, _ := r.requests()
			if len(got) != i+1 {
				t.Fatalf("%d REGISTERs, want %d", len(got), i+1)
			}
			var all []string
			for _, c := range got[i].GetHeaders("Contact") {
				all = append(all, c.Value())
			}
			return strings.Join(all, " ")
		}
		if got := contact(0); got != "<sip:701@10.0.0.1:5060>;expires=3600" {
			t.Error(got)
		}
		n.Cut(addrA, netip.MustParseAddr("10.0.0.5"))
		p.AddressChanged() // the cable is out: nobody answers
		time.Sleep(5 * time.Second)
		host.Move(netip.MustParseAddr("10.0.0.8"))
		ep.AddressesChanged([]netip.Addr{addrA})
		p.AddressChanged()
		synctest.Wait()
		if got := contact(1); got != "<sip:701@10.0.0.8:5060>;expires=3600 <sip:701@10.0.0.1:5060>;expires=0" {
			t.Error(got)
		}
		if s := p.Statuses()[0]; s.State != reg.Registered || s.Contact.Host != "10.0.0.8" {
			t.Errorf("%+v", s)
		}
	})
}

// A NAT that forgets us gives another port: the registrar's answer to the
// keep-alive shows it.
func TestNewAddressBehindNAT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		r := newRegistrar(t, n)
		p := start(t, n, account(t))
		<-p.states
		r.mu.Lock()
		r.rport = "33333"
		r.mu.Unlock()
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if got, _ := r.requests(); len(got) != 2 {
			t.Errorf("%d REGISTERs", len(got))
		}
	})
}

// One account's trouble is not another's.
func TestAccountsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.New(1)
		newRegistrar(t, n)
		dead, good := account(t), account(t)
		dead.AOR, dead.Registrar = "sip:702@10.0.0.5", "sip:10.0.0.77"
		p := start(t, n, dead, good)
		began := time.Now()
		if s := <-p.states; s.AOR != good.AOR || s.State != reg.Registered || time.Since(began) != 0 {
			t.Errorf("got %+v after %v", s, time.Since(began))
		}
		if s := <-p.states; s.AOR != dead.AOR || s.State != reg.Failed {
			t.Errorf("got %+v", s)
		}
		if _, ok := p.Send("sip:nobody@x"); ok {
			t.Error("credentials for an unknown account")
		}
	})
}

var addrA = netip.MustParseAddr("10.0.0.1")

func TestConfigErrorsNameKeyAndRange(t *testing.T) {
	good := reg.Account{AOR: "sip:701@example.com"}
	for _, c := range []struct {
		name   string
		change func(*reg.Account)
		want   string
	}{
		{"good", func(*reg.Account) {}, ""},
		{"no user", func(a *reg.Account) { a.AOR = "sip:example.com" }, `accounts[0].aor = "sip:example.com"`},
		{"name-addr", func(a *reg.Account) { a.AOR = "<sip:a@b>" }, "accounts[0].aor"},
		{"registrar", func(a *reg.Account) { a.Registrar = "tel:1" }, "accounts[0].registrar"},
		{"proxy", func(a *reg.Account) { a.Proxy = "x" }, "accounts[0].proxy"},
		{"transport", func(a *reg.Account) { a.Transport = "ws" }, "udp, tcp, tls"},
		{"srtp", func(a *reg.Account) { a.SRTP = "yes" }, `accounts[0].srtp = "yes": allowed are required, preferred, off`},
		{"expires", func(a *reg.Account) { a.Expires = time.Second }, "1m to 24h"},
		{"keep_alive", func(a *reg.Account) { a.KeepAlive = time.Second }, "5s to 10m"},
	} {
		a := good
		c.change(&a)
		err := reg.Config{Accounts: []reg.Account{a}}.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if err := (reg.Config{Accounts: []reg.Account{good, good}}).Validate(); err == nil {
		t.Error("the same account twice")
	}
}
