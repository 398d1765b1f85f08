// Package nettest gives a test a network of its own, where it may make links, take any address and listen on any port. It
// never touches the network of the machine. It starts one process, the test again, and ends with it.
package nettest

import (
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

// Sh runs a line of the shell.
func Sh(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}
