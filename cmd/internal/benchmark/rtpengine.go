package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rtpengine relays media for SIP proxies. It is measured as the Debian package brings it, in user space: its kernel module
// forwards without a program at all, which an appliance that also has to hear digits and play music cannot be compared with.

// rtpengineReady is how long it may take to answer.
const rtpengineReady = 5 * time.Second

// findRTPEngine returns its path, and an error that says why there is none.
func findRTPEngine() (string, error) {
	path, err := exec.LookPath("rtpengine")
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("package rtpengine-daemon is not installed")
	}
	return path, err
}

// ngPort is where it takes its commands.
const ngPort = 2223

// rtpengineRelay starts it at .1 with n calls. under is a command that it is started with.
func rtpengineRelay(s *stage, n int, path string, under []string) (*relayer, error) {
	at := s.addr(1)
	control := netip.AddrPortFrom(at, ngPort)
	args := append(slices.Clone(under), path, "--config-file=none", "--foreground", "--log-stderr", "--log-level=4", "--table=-1",
		"--interface="+at.String(), "--listen-ng="+control.String(), "--port-min=20000", "--port-max=29999", "--tos=184")
	log, err := os.Create(filepath.Join(s.dir, s.prefix+"rtpengine.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.sites = append(s.sites, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it ends by our signal
	})
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(control))
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = conn.Close() })
	ready := time.Now().Add(rtpengineReady)
	for _, err = ngAsk(conn, "command", "ping"); err != nil; _, err = ngAsk(conn, "command", "ping") {
		if time.Now().After(ready) {
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("%w\n%s", err, text)
		}
		if err := pause(s.ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
	r := &relayer{pid: cmd.Process.Pid}
	if err := pause(s.ctx, time.Second); err != nil {
		return nil, err
	}
	if r.idle, err = footprintOf(r.pid); err != nil {
		return nil, err
	}
	if r.callers, err = s.hall(30); err != nil {
		return nil, err
	}
	if r.fetchers, err = s.hall(31); err != nil {
		return nil, err
	}
	return r, s.together(n, 1, setUpRate, func(i int) error {
		id := fmt.Sprint("call", i)
		toFetcher, err := ngDescribe(conn, "command", "offer", "call-id", id, "from-tag", "a", "ICE", "remove", "sdp", string(offer(r.callers.sock.addr)))
		if err != nil {
			return err
		}
		toCaller, err := ngDescribe(conn, "command", "answer", "call-id", id, "from-tag", "a", "to-tag", "b", "ICE", "remove", "sdp", string(offer(r.fetchers.sock.addr)))
		if err != nil {
			return err
		}
		s.speak(r.fetchers, toFetcher, i+int(slots)/2)
		s.speak(r.callers, toCaller, i)
		return nil
	})
}

// ngDescribe sends a command with an SDP body and returns the address in the one that comes back.
func ngDescribe(conn *net.UDPConn, dict ...string) (netip.AddrPort, error) {
	reply, err := ngAsk(conn, dict...)
	if err != nil {
		return netip.AddrPort{}, err
	}
	at := message{body: []byte(reply["sdp"])}.media()
	if !at.IsValid() {
		return at, fmt.Errorf("%s: no audio in %q", dict[1], reply)
	}
	return at, nil
}

// ngAsk sends a command of its NG protocol, a cookie and a dictionary in bencode, and returns the dictionary that answers it.
func ngAsk(conn *net.UDPConn, dict ...string) (map[string]string, error) {
	cookie := unique()
	var b strings.Builder
	b.WriteString(cookie + " d")
	for _, word := range dict {
		fmt.Fprintf(&b, "%d:%s", len(word), word)
	}
	b.WriteString("e")
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return nil, err
	}
	buf := make([]byte, datagramSize)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		text, ok := bytes.CutPrefix(buf[:n], []byte(cookie+" "))
		if !ok {
			continue // of an earlier command that was given up
		}
		reply := flatDictionary(text)
		if r := reply["result"]; r != "ok" && r != "pong" {
			return nil, fmt.Errorf("%s: answered %q", dict[1], text)
		}
		return reply, nil
	}
}

// flatDictionary reads the strings of a bencoded dictionary, as far as it has nothing but strings.
func flatDictionary(text []byte) map[string]string {
	all, key, isValue := map[string]string{}, "", false
	text, _ = bytes.CutPrefix(text, []byte("d"))
	for {
		size, rest, found := bytes.Cut(text, []byte(":"))
		n, err := strconv.Atoi(string(size))
		if !found || err != nil || n < 0 || n > len(rest) {
			return all
		}
		if isValue {
			all[key] = string(rest[:n])
		} else {
			key = string(rest[:n])
		}
		text, isValue = rest[n:], !isValue
	}
}
