// Package nettest gives a test a network of its own, where it may make links, take any address and listen on any port. It
// never touches the network of the machine. It starts one process, the test again, and ends with it. Answer is a server for
// tests that need no more than one, with a goroutine that ends with the test.
package nettest

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// inside says in the environment that the namespaces are made.
const inside = "NETTEST_INSIDE"

// Inside runs the calling test again by unshare(1), in a network namespace of its own and what the options add, and says
// whether this is that run. The other one has passed or failed with it.
func Inside(t *testing.T, options ...string) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	args := append([]string{"--net"}, options...)
	args = append(args, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	if end, ok := t.Deadline(); ok { // one that hangs says where before this one is ended
		args = append(args, "-test.timeout="+(time.Until(end)*9/10).String())
	}
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), inside+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a network namespace of its own (unshare %v; root may always make one): %v\n%s", args, err, out)
	}
	return false
}

// Answer answers each datagram with what answer makes of it, nil is no answer, until the test ends. It returns its address.
func Answer(t *testing.T, answer func(question []byte) []byte) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if a := answer(b[:n]); a != nil {
				_, _ = c.WriteTo(a, from) // who asked may be gone
			}
		}
	}()
	return c.LocalAddr().String()
}

// Sh runs a line of the shell.
func Sh(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}
