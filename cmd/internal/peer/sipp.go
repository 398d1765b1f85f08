package peer

import (
	"cmp"
	"context"
	"embed"
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed scenarios/*.xml
var scenarios embed.FS

// SIPp is one run of a SIPp scenario.
type SIPp struct {
	*process
	local netip.AddrPort
}

// SIPpOptions say which scenario of this package runs, and with what.
type SIPpOptions struct {
	Scenario               string            // name without .xml
	Dir                    string            // where its files go
	Name                   string            // name of its log; the scenario's when empty
	Local                  netip.AddrPort    // SIP address
	Media                  netip.AddrPort    // RTP address that its SDP names, wherever that is
	Remote                 netip.AddrPort    // where requests go; not valid for a server scenario
	User                   string            // user part of the request URI
	Keys                   map[string]string // [name] in the scenario
	Calls                  int               // how many calls; 1 when 0
	Rate                   int               // calls a second; all at once when 0
	TCP                    bool              // SIP over TCP
	AuthUser, AuthPassword string            // for [authentication]; must not be secrets, they are seen in the process list
	Lasts                  time.Duration     // it fails when it has not ended by then; 15 minutes if 0: whoever waits for it says how long
	Values                 [][]string        // rows for [field0]…, one a call, in turn
}

// StartSIPp starts a scenario. A client scenario ends by itself after its calls; a server ends with Stop.
func StartSIPp(o SIPpOptions) (*SIPp, error) {
	if o.Name == "" {
		o.Name = o.Scenario
	}
	text, err := scenarios.ReadFile("scenarios/" + o.Scenario + ".xml")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(o.Dir, o.Name+".xml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, err
	}
	calls := max(o.Calls, 1)
	rate, period := o.Rate, 1000 // milliseconds
	if rate == 0 {
		rate, period = calls, 10 // as near to at once as SIPp gets
	}
	lasts := cmp.Or(o.Lasts, 15*time.Minute)
	args := []string{"sipp", "-sf", file, "-i", o.Local.Addr().String(), "-p", strconv.Itoa(int(o.Local.Port())),
		"-m", strconv.Itoa(calls), "-l", strconv.Itoa(calls), "-r", strconv.Itoa(rate),
		"-rp", strconv.Itoa(period), "-nostdin", "-trace_err", "-trace_msg",
		"-error_file", filepath.Join(o.Dir, o.Name+".err"), "-message_file", filepath.Join(o.Dir, o.Name+".msg"),
		"-timeout_error", "-timeout", strconv.Itoa(int(lasts.Seconds())), "-recv_timeout", strconv.Itoa(int(lasts.Milliseconds())),
		"-default_behaviors", "all,-bye"}
	if o.Media.IsValid() {
		args = append(args, "-key", "media_host", o.Media.Addr().String(), "-key", "media_at", strconv.Itoa(int(o.Media.Port())))
	}
	if o.TCP {
		args = append(args, "-t", "t1")
	}
	if o.User != "" {
		args = append(args, "-s", o.User)
	}
	if o.AuthUser != "" {
		args = append(args, "-au", o.AuthUser, "-ap", o.AuthPassword)
	}
	for k, v := range o.Keys {
		args = append(args, "-key", k, v)
	}
	if len(o.Values) > 0 {
		name := filepath.Join(o.Dir, o.Name+".csv")
		if err := writeValues(name, o.Values); err != nil {
			return nil, err
		}
		args = append(args, "-inf", name)
	}
	if o.Remote.IsValid() {
		args = append(args, o.Remote.String())
	}
	p, err := start(o.Name, o.Dir, nil, args...)
	if err != nil {
		return nil, err
	}
	return &SIPp{p, o.Local}, nil
}

// writeValues writes an injection file, read row by row.
func writeValues(name string, rows [][]string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, "SEQUENTIAL"); err != nil {
		return err
	}
	w := csv.NewWriter(f)
	w.Comma = ';'
	return w.WriteAll(rows)
}

// Wait returns nil when every call of the scenario went as written, else what SIPp saw.
func (s *SIPp) Wait(ctx context.Context) error {
	err := s.wait(ctx)
	if err != nil {
		if seen, e := os.ReadFile(filepath.Join(s.cmd.Dir, s.name+".err")); e == nil {
			err = fmt.Errorf("%w\n%s", err, seen)
		}
	}
	return err
}

// Done is closed when SIPp has ended.
func (s *SIPp) Done() <-chan struct{} { return s.done }

// Messages is the path of the log of every SIP message that SIPp sent and received.
func (s *SIPp) Messages() string { return filepath.Join(s.cmd.Dir, s.name+".msg") }

// Stop ends SIPp.
func (s *SIPp) Stop() { s.stop() }
