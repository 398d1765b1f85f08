package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/client"
	"parklamp/cmd/internal/selftest"
	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// technician is who stands at a phone and does what the self test asks, with the hands of the simulated board.
type technician struct {
	*place
	a     *site.Appliance
	blind string // lamp that she does not see
	end   *selftest.Result
	asked []string // "keys 5"
}

// test makes a self test from its beginning to its end.
func (w *technician) test(r panel.SelfTestRequest) error {
	ctx, cancel := context.WithTimeout(w.Context(), 5*time.Minute)
	defer cancel()
	rest := func() {} // what the last question keeps her doing
	defer func() { rest() }()
	return w.a.SelfTest(ctx, r, func(text []byte) error {
		var e selftest.Event
		if err := json.Unmarshal(text, &e); err != nil {
			return err
		}
		switch {
		case e.End != nil:
			w.end = e.End
		case e.Ask != nil:
			rest()
			w.asked = append(w.asked, string(e.Ask.Step)+" "+e.Ask.Item)
			rest = w.do(ctx, *e.Ask)
		}
		return nil
	})
}

// do does what is asked; the function ends what it goes on doing.
func (w *technician) do(ctx context.Context, q selftest.Question) func() {
	switch {
	case q.Seconds == 0:
	case q.Step == selftest.Lamps && strings.Contains(q.Text, "key beside"):
		key := "*"
		st := w.await(w.a, "a lamp", func(st panel.Status) bool { return lamp(st, "fault").Pattern == "test" })
		for _, l := range st.Lamps {
			if l.Colour != panel.Off && l.ID != w.blind {
				key = l.ID
			}
		}
		w.press(w.a, key)
	case q.Item == "lift", q.Item == "put back":
		w.hook(w.a, q.Item == "lift")
	case q.Step == selftest.Keys:
		w.press(w.a, q.Item)
	default: // until it is heard: a question is spoken first
		done, stop := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				if w.a.Press(ctx, "#", panel.Tap) != nil {
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(500 * time.Millisecond): // she presses now and then
				}
			}
		}()
		return func() { close(stop); <-done }
	}
	return func() {}
}

// keyPair writes a CA and a certificate of it for an appliance.
func keyPair(t *testing.T, dir, name string) {
	t.Helper()
	write := func(file, kind string, der []byte) {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	root, own := key(), key()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter}
	for file, c := range map[string]struct {
		cert *x509.Certificate
		of   *ecdsa.PrivateKey
	}{"ca.crt": {ca, root}, "own.crt": {cert, own}} {
		der, err := x509.CreateCertificate(rand.Reader, c.cert, ca, &c.of.PublicKey, root)
		if err != nil {
			t.Fatal(err)
		}
		write(file, "CERTIFICATE", der)
	}
	der, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	write("own.key", "PRIVATE KEY", der)
}

// A technician walks through the whole test: all that hands and ears can tell is well but a lamp that she does not see, and
// the report that parkctl fetches is signed.
func TestSelfTest(t *testing.T) {
	t.Parallel()
	keys := t.TempDir()
	keyPair(t, keys, "dock-1")
	p := newPlace(t, fmt.Sprintf("[selftest]\nreports = %q\nkey = %q\ncertificate = %q\nkeep = 2\n", filepath.Join(keys, "reports"),
		filepath.Join(keys, "own.key"), filepath.Join(keys, "own.crt")))
	w := &technician{place: p, a: p.dock1(), blind: "orbit-704"}
	if err := w.test(panel.SelfTestRequest{}); err != nil {
		t.Fatal(err)
	}
	p.hook(p.dock1(), false)
	p.await(p.dock1(), "idle", func(st panel.Status) bool { return st.Phone.State == "idle" && lamp(st, "orbit-701").Pattern == "free" })
	r, err := selftest.Decode([]byte(w.end.Report))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			for _, f := range r.Findings {
				t.Logf("found: %+v", f)
			}
		}
	}()
	if w.end.Outcome != selftest.Failed || w.end.Trouble != "" {
		t.Errorf("outcome %s, trouble %q", w.end.Outcome, w.end.Trouble)
	}
	passed := map[string]bool{}
	for _, f := range r.Findings {
		// On a busy machine an answer takes more than the 50 ms that are well on a site: a test failed by that where, by its log, each
		// of 242 questions was answered, half of those to one peer later than 67 ms.
		slow := f.Step == selftest.Network && f.Outcome == selftest.Warned && strings.HasPrefix(f.Text, "slow:")
		passed[string(f.Step)+" "+f.Item] = f.Outcome == selftest.Passed || slow
		hands := slices.Contains([]selftest.Step{selftest.Lamps, selftest.Keys, selftest.Hook, selftest.Tones, selftest.Microphone}, f.Step)
		if blind := strings.HasPrefix(f.Item, w.blind+" "); hands && f.Outcome != selftest.Passed && !blind || blind && f.Outcome != selftest.Failed {
			t.Errorf("%+v", f)
		}
	}
	for _, must := range []string{"lamps orbit-701 green", "lamps orbit-701 red", "lamps fault red", "lamps all dark", "keys 5", "keys park", "keys orbit-704",
		"hook lift", "tones handset", "tones loudspeaker", "microphone handset", "network peer dock-2", "network peer office", "clock peer dock-2", "clock time"} {
		if !passed[must] {
			t.Errorf("%s has not passed", must)
		}
	}
	if _, ok := passed["disk commit"]; !ok {
		t.Error("nothing is known of the disk")
	}
	name := filepath.Base(w.end.Path)
	copied := filepath.Join(keys, "copy.json")
	parkctl := func(args ...string) string {
		out, err := exec.Command(filepath.Join(p.bin, "parkctl"), append([]string{"--socket", p.dock1().Socket}, args...)...).CombinedOutput()
		if err != nil {
			t.Errorf("parkctl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if list := parkctl("selftest", "reports"); strings.TrimSpace(list) != name {
		t.Errorf("reports %q, want %s", list, name)
	}
	parkctl("selftest", "reports", name, "--out", copied)
	if said := parkctl("selftest", "verify", copied, "--ca", filepath.Join(keys, "ca.crt")); !strings.Contains(said, "Signed by CN=dock-1") ||
		!strings.Contains(said, "Result: FAILED") {
		t.Errorf("verify says:\n%s", said)
	}
	text, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, []byte(strings.ReplaceAll(string(text), `"failed"`, `"passed"`)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(p.bin, "parkctl"), "selftest", "verify", copied, "--ca", filepath.Join(keys, "ca.crt")).CombinedOutput(); err == nil {
		t.Errorf("a report that was changed is believed:\n%s", out)
	}
}

// A call is never disturbed: while somebody is parked the test is refused, and told to begin all the same it leaves her
// alone; a call that comes in ends it.
func TestSelfTestGivesWayToCalls(t *testing.T) {
	t.Parallel()
	p := newPlace(t, fmt.Sprintf("[selftest]\nreports = %q\n", t.TempDir()))
	parked := p.call(p.dock1(), "201", 11, "caller")
	p.answer(p.dock1())
	w := &technician{place: p, a: p.dock1()}
	refused := func(r panel.SelfTestRequest, word string) {
		t.Helper()
		var no *client.Refusal
		if err := w.test(r); !errors.As(err, &no) || no.Code != 409 || !strings.Contains(no.Text, word) {
			t.Errorf("%v, want a refusal that says %q", err, word)
		}
	}
	refused(panel.SelfTestRequest{Force: true}, "call")
	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.hook(p.dock1(), false)
	refused(panel.SelfTestRequest{}, "parked")

	events := make(chan selftest.Event, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- p.dock1().SelfTest(t.Context(), panel.SelfTestRequest{Force: true, Steps: []string{"keys"}}, func(text []byte) error {
			var e selftest.Event
			defer func() { events <- e }()
			return json.Unmarshal(text, &e)
		})
	}()
	next := func() selftest.Event {
		t.Helper()
		select {
		case e := <-events:
			return e
		case err := <-ended:
			t.Fatalf("the test ended: %v", err)
		case <-time.After(limit):
			t.Fatal("no event")
		}
		return selftest.Event{}
	}
	if e := next(); e.Ask == nil {
		t.Fatalf("%+v, want a question", e)
	}
	refused(panel.SelfTestRequest{Force: true}, "under way")
	p.music(parked)
	second := p.call(p.dock1(), "201", 12, "caller")
	for e := next(); ; e = next() {
		if e.End != nil {
			if e.End.Outcome != selftest.Aborted || !strings.Contains(e.End.Reason, "call") {
				t.Errorf("%+v", e.End)
			}
			break
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.answer(p.dock1())
	p.conversation(p.dock1(), second)
	p.hook(p.dock1(), false)
	second.ended()
	p.music(parked)
	p.fetch(p.dock2(), "701")
	p.conversation(p.dock2(), parked)
	p.hook(p.dock2(), false)
	parked.ended()
}

// Park held shortly after the start begins the test, spoken; hanging up ends it, and a report is kept. An emergency number
// dials out of the middle of it.
func TestParkHeldAtPowerOn(t *testing.T) {
	t.Parallel()
	reports := t.TempDir()
	p := newPlace(t, fmt.Sprintf("[selftest]\nreports = %q\n", reports))
	a := p.dock1()
	begin := func() {
		t.Helper()
		p.cut(a)
		p.comes(a)
		if err := a.Press(t.Context(), "park", panel.Down); err != nil {
			t.Fatal(err)
		}
		p.await(a, "self test", func(st panel.Status) bool {
			return st.Phone.State == "self-test" && strings.HasPrefix(st.Phone.Prompt, "self test")
		})
		if err := a.Press(t.Context(), "park", panel.Up); err != nil {
			t.Fatal(err)
		}
		p.await(a, "first question", func(st panel.Status) bool { return strings.HasPrefix(st.Phone.Prompt, "press the key beside the lamp") })
	}
	begin()
	p.hook(a, true)
	p.hook(a, false)
	p.await(a, "idle", func(st panel.Status) bool { return st.Phone.State == "idle" })
	// The report is written when the phone is idle again: the appliance does not wait for its disk.
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		names, err := selftest.Reports(reports)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("reports %v", names)
		}
	}
	begin()
	for _, digit := range "112" {
		p.press(a, string(digit))
	}
	st := p.await(a, "emergency call", func(st panel.Status) bool { return st.Phone.State == "calling" || st.Phone.State == "failure" })
	if len(st.Calls) > 0 && !strings.Contains(st.Calls[0].Remote.Number, "112") {
		t.Errorf("calls %+v", st.Calls)
	}
}

// A gateway has no keys: it tests what needs no hands, and signs the report.
func TestSelfTestOfAGateway(t *testing.T) {
	t.Parallel()
	keys := t.TempDir()
	keyPair(t, keys, "gate")
	p := &place{T: t, network: newNetwork(), dir: t.TempDir(), bin: bin}
	p.start([]site.Member{{Name: "gate", Number: "201", Addr: p.addr(1), Program: "parkd", Extra: fmt.Sprintf("[selftest]\nreports = %q\nkey = %q\ncertificate = %q\n",
		filepath.Join(keys, "reports"), filepath.Join(keys, "own.key"), filepath.Join(keys, "own.crt"))}, {Name: "dock-2", Number: "202", Addr: p.addr(2)}})
	parkctl := func(args ...string) (string, error) {
		out, err := exec.Command(filepath.Join(p.bin, "parkctl"), append([]string{"--socket", p.Appliances[0].Socket}, args...)...).CombinedOutput()
		return string(out), err
	}
	if said, err := parkctl("selftest", "--steps", "lamps"); err == nil || !strings.Contains(said, "step lamps: this appliance has no phone; it can test network, disk and clock") {
		t.Errorf("lamps of a gateway: %v\n%s", err, said)
	}
	report := filepath.Join(keys, "report.json")
	said, _ := parkctl("selftest", "--out", report) // this machine may have no network and no time server
	for _, want := range []string{"1/3", "3/3", "peer dock-2", "commit", "Self test of gate: "} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	if said, err := parkctl("selftest", "verify", report, "--ca", filepath.Join(keys, "ca.crt")); err != nil || !strings.Contains(said, "Signed by CN=gate") {
		t.Errorf("verify: %v\n%s", err, said)
	}
}
