// Package site runs a whole site on this machine: several appliances, each a process of the real firmware phoned with
// a configuration file of its own, on loopback addresses. The demonstration, the end-to-end tests and the benchmarks
// use it; it adds nothing to what the processes do.
//
// Each process has one goroutine that waits for it; Stop ends all of them.
package site

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"parklamp/cmd/internal/client"
)

// startLimit is how long an appliance may take until its panel answers, stopLimit how long to say good-bye before it is
// killed. Both say that it hangs: a machine that is busy with other things takes many seconds.
const (
	startLimit = 2 * time.Minute
	stopLimit  = time.Minute
)

// Member is one appliance of a site.
type Member struct {
	Name    string
	Number  string         // extension of its phone
	Addr    netip.Addr     // SIP on port 5060 of it, UDP and TCP
	Panel   netip.AddrPort // panel page; not valid: off
	Program string         // "phoned" if empty, or "parkd"
	SIPOn   []string       // key sip.listen, if it is not Addr
	Under   []string       // a command that runs the program, such as ip netns exec NAME
	// LogLevel of the log file: "info" if empty.
	LogLevel  string
	Directory map[string]string // numbers besides those of the members, and their SIP URIs
	// TLSCert, TLSKey and TLSCA are PEM files for TLS on port 5061; empty: no TLS.
	TLSCert, TLSKey, TLSCA string
	// SiteCA is the PEM file of the site's authority: then the members reach each other by TLS. PeerSRTP is key srtp of
	// each peer; empty: its default.
	SiteCA, PeerSRTP string
	Journal          string // key journal.path; empty: beside the socket
	Media            string // keys of table media; empty: nice = 0, as appliances that share a machine have to give way to each other
	Extra            string // more TOML; its tables must not be among those that Start writes (appliance, sip, panel, journal, media, dial, federation)
}

// Options say where a site runs.
type Options struct {
	Bin     string // folder with the programs
	Dir     string // where configurations, sockets and logs go
	Members []Member
}

// Site is a running site.
type Site struct{ Appliances []*Appliance }

// Appliance is one running appliance.
type Appliance struct {
	Member
	*client.Client
	Config string // path of its file
	Socket string // path of parkctl's socket
	Log    string // path of its log
	bin    string

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; valid after done
}

// Start starts the members and waits until each answers. On error none is left running.
func Start(ctx context.Context, o Options) (*Site, error) {
	s := &Site{}
	for _, m := range o.Members {
		a, err := newAppliance(o, m)
		if err == nil {
			s.Appliances = append(s.Appliances, a)
			err = a.Start()
		}
		if err != nil {
			s.Stop()
			return nil, err
		}
	}
	for _, a := range s.Appliances {
		if err := a.AwaitReady(ctx); err != nil {
			s.Stop()
			return nil, err
		}
	}
	return s, nil
}

// Stop ends every appliance and waits for it.
func (s *Site) Stop() {
	for _, a := range s.Appliances {
		a.signal(syscall.SIGTERM)
	}
	for _, a := range s.Appliances {
		a.end()
	}
}

func newAppliance(o Options, m Member) (*Appliance, error) {
	dir := filepath.Join(o.Dir, m.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	program := m.Program
	if program == "" {
		program = "phoned"
	}
	a := &Appliance{Member: m, Config: filepath.Join(dir, "parklamp.toml"), Log: filepath.Join(dir, program+".log"),
		bin: filepath.Join(o.Bin, program)}
	a.Socket = filepath.Join(dir, "sock")
	a.Client = client.Socket(a.Socket)
	return a, os.WriteFile(a.Config, []byte(m.config(o.Members, a.Socket)), 0o644)
}

// config writes the file of a member.
func (m Member) config(all []Member, socket string) string {
	var b strings.Builder
	level := m.LogLevel
	if level == "" {
		level = "info"
	}
	fmt.Fprintf(&b, "[appliance]\nname = %q\nnumber = %q\nlog_level = %q\n\n", m.Name, m.Number, level)
	at := netip.AddrPortFrom(m.Addr, 5060)
	sockets := m.SIPOn
	if len(sockets) == 0 {
		sockets = []string{"udp:" + at.String(), "tcp:" + at.String()}
	}
	if m.TLSCert != "" {
		sockets = append(sockets, "tls:"+netip.AddrPortFrom(m.Addr, 5061).String())
	}
	fmt.Fprintf(&b, "[sip]\nlisten = [\"%s\"]\n", strings.Join(sockets, `", "`))
	if m.TLSCert != "" {
		fmt.Fprintf(&b, "tls_cert = %q\ntls_key = %q\ntls_ca = %q\nsite_ca = %q\n", m.TLSCert, m.TLSKey, m.TLSCA, m.SiteCA)
	}
	b.WriteString("\n")
	listen := "0.0.0.0:0"
	if m.Panel.IsValid() {
		listen = m.Panel.String()
	}
	fmt.Fprintf(&b, "[panel]\nlisten = %q\nsocket = %q\n\n", listen, socket)
	fmt.Fprintf(&b, "[journal]\npath = %q\n\n", cmp.Or(m.Journal, filepath.Join(filepath.Dir(socket), "journal")))
	if !strings.Contains(m.Extra, "[selftest]") {
		fmt.Fprintf(&b, "[selftest]\nreports = %q\n\n", filepath.Join(filepath.Dir(socket), "reports"))
	}
	fmt.Fprintf(&b, "[media]\n%s\n", cmp.Or(m.Media, "nice = 0\n"))
	fmt.Fprintf(&b, "[dial.directory]\n")
	for _, peer := range all {
		if peer.Name != m.Name {
			at, by := m.reaches(peer)
			fmt.Fprintf(&b, "%s = \"sip:%s@%s%s\"\n", peer.Number, peer.Number, at, by)
		}
	}
	for number, uri := range m.Directory {
		fmt.Fprintf(&b, "%q = %q\n", number, uri)
	}
	for _, peer := range all {
		if peer.Name != m.Name {
			at, _ := m.reaches(peer)
			fmt.Fprintf(&b, "\n[[federation.peers]]\nname = %q\naddress = %q\nsrtp = %q\n", peer.Name, at, m.PeerSRTP)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", m.Extra)
	return b.String()
}

// reaches says where a member reaches another, and the parameter of a URI that says how, as parkctl site writes them.
func (m Member) reaches(other Member) (at netip.AddrPort, by string) {
	if m.SiteCA != "" {
		return netip.AddrPortFrom(other.Addr, 5061), ";transport=tls"
	}
	return netip.AddrPortFrom(other.Addr, 5060), ""
}

// Start starts the process; its output goes to the end of its log.
func (a *Appliance) Start() error {
	log, err := os.OpenFile(a.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append(slices.Clone(a.Under), a.bin, "-config", a.Config)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	// Whoever started the site takes it along when it dies. A group of its own keeps Ctrl-C for the starter.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w (make build makes the programs)", a.Name, err)
	}
	a.cmd, a.done = cmd, make(chan struct{})
	go func() {
		a.err = cmd.Wait()
		close(a.done)
	}()
	return nil
}

// AwaitReady waits until the appliance answers.
func (a *Appliance) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		_, err := a.Status(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-a.done:
			return fmt.Errorf("%s ended while it started:\n%s", a.Name, a.Tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", a.Name, err, a.Tail())
		case <-time.After(10 * time.Millisecond): // a process that starts tells nobody when its socket is there
		}
	}
}

// Kill ends the process as a power cut would: it can say nothing to anybody.
func (a *Appliance) Kill() error {
	a.signal(syscall.SIGKILL)
	<-a.done
	return nil
}

// Go ends the process by a signal that it obeys, and returns when it has ended.
func (a *Appliance) Go(by syscall.Signal) error {
	a.signal(by)
	select {
	case <-a.done:
		return a.Err()
	case <-time.After(stopLimit):
		a.signal(syscall.SIGQUIT) // the Go runtime writes what each goroutine waits for into its log
		<-a.done
		return fmt.Errorf("%s still ran %v after %v:\n%s", a.Name, stopLimit, by, a.Tail())
	}
}

// Done is closed when the process that Start started has ended.
func (a *Appliance) Done() <-chan struct{} { return a.done }

// PID is the process id.
func (a *Appliance) PID() int { return a.cmd.Process.Pid }

func (a *Appliance) signal(s syscall.Signal) {
	if a.cmd != nil {
		_ = a.cmd.Process.Signal(s) // an error means that it has ended already
	}
}

func (a *Appliance) end() {
	if a.cmd == nil {
		return
	}
	select {
	case <-a.done:
	case <-time.After(stopLimit):
		a.signal(syscall.SIGKILL)
		<-a.done
	}
}

// Err says how the process ended: nil while it runs, after status 0, and after a signal of ours.
func (a *Appliance) Err() error {
	select {
	case <-a.done:
	default:
		return nil
	}
	if exit := (*exec.ExitError)(nil); errors.As(a.err, &exit) && exit.ExitCode() > 0 {
		return fmt.Errorf("%s ended with status %d:\n%s", a.Name, exit.ExitCode(), a.Tail())
	}
	return nil
}

// Tail is the last 4 KB of the log.
func (a *Appliance) Tail() []byte {
	f, err := os.Open(a.Log)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 4096
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	text, _ := io.ReadAll(f)
	return bytes.TrimSpace(text)
}
