package peer

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

//go:embed kamailio.cfg
var kamailioConfig string

// Kamailio is a running registrar and proxy.
type Kamailio struct{ *process }

// StartKamailio starts a registrar and proxy on port 5060 of an address, with a password for each user.
func StartKamailio(ctx context.Context, dir string, address netip.Addr, passwords map[string]string) (*Kamailio, error) {
	modules, err := filepath.Glob("/usr/lib/*/kamailio/modules")
	if err != nil || len(modules) == 0 {
		return nil, fmt.Errorf("kamailio is not installed (make test-deps installs it)")
	}
	var table strings.Builder
	users := make([]string, 0, len(passwords))
	for u := range passwords {
		users = append(users, u)
	}
	slices.Sort(users)
	for _, u := range users {
		fmt.Fprintf(&table, "\t$sht(password=>%s) = \"%s\";\n", u, passwords[u])
	}
	text := strings.NewReplacer("ADDRESS", address.String(), "MODULES", modules[0], "PASSWORDS", table.String()).
		Replace(kamailioConfig)
	file := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	// -DD: stay in the foreground, as the leader of its own group.
	p, err := start("kamailio", dir, nil, "kamailio", "-DD", "-E", "-f", file, "-Y", dir, "-P", filepath.Join(dir, "kamailio.pid"),
		"-m", "32", "-M", "4")
	if err != nil {
		return nil, err
	}
	c, err := dialControl(ctx, netip.AddrPortFrom(address, 5060), p)
	if err == nil {
		err = awaitOptions(c, address)
		_ = c.Close()
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("kamailio: %w\n%s", err, p.tail())
	}
	return &Kamailio{p}, nil
}

// awaitOptions asks over TCP until the workers answer.
func awaitOptions(c net.Conn, address netip.Addr) error {
	_ = c.SetDeadline(time.Now().Add(startLimit))
	_, err := fmt.Fprintf(c, "OPTIONS sip:%[1]s SIP/2.0\r\nVia: SIP/2.0/TCP %[2]s;branch=z9hG4bKready\r\nMax-Forwards: 5\r\n"+
		"From: <sip:ready@%[1]s>;tag=ready\r\nTo: <sip:%[1]s>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
		address, c.LocalAddr())
	if err != nil {
		return err
	}
	answer := make([]byte, 1024)
	n, err := c.Read(answer)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(answer[:n]), "SIP/2.0 200") {
		return fmt.Errorf("OPTIONS was answered %q", answer[:n])
	}
	return nil
}

// Kill ends Kamailio as a power cut would: the parent and its children can say nothing to anybody.
func (k *Kamailio) Kill() {
	_ = syscall.Kill(-k.cmd.Process.Pid, syscall.SIGKILL) // an error means that it has ended already
	<-k.done
}

// Saw returns the lines of its log that tell of a request that it passed on: method, From, where it came from, R-URI,
// Alert-Info and P-Asserted-Identity.
func (k *Kamailio) Saw(method string) []string {
	var lines []string
	for line := range strings.Lines(string(k.Output())) {
		if _, request, ok := strings.Cut(line, "passed on: "); ok && strings.HasPrefix(request, method+" ") {
			lines = append(lines, strings.TrimSpace(request))
		}
	}
	return lines
}

// Stop ends Kamailio.
func (k *Kamailio) Stop() { k.stop() }
