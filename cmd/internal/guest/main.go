// Guest is the first process of the kernel that `make image-test` boots: it mounts what a program expects, runs the test
// binaries that were packed beside it, one after another, says on the console how each ended, and switches the machine off.
//
// It is never part of an image for a board. It starts one child at a time and no goroutine of its own.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tests is the folder of the binaries. A file NAME.args beside one holds its arguments, a line each.
const tests = "/tests"

// limit ends a test binary that hangs.
const limit = 100 * time.Second

func main() {
	failed := mount()
	fmt.Printf("GUEST begins %s\n", uptime())
	binaries, err := filepath.Glob(tests + "/*.test")
	if err != nil || len(binaries) == 0 {
		fmt.Printf("GUEST no tests in %s\n", tests)
		failed = true
	}
	slices.Sort(binaries)
	for _, b := range binaries {
		name := strings.TrimSuffix(filepath.Base(b), ".test")
		fmt.Printf("GUEST run %s\n", name)
		if err := run(b); err != nil {
			failed = true
			fmt.Printf("GUEST FAIL %s: %v\n", name, err)
			continue
		}
		fmt.Printf("GUEST ok %s %s\n", name, uptime())
	}
	result := "PASS"
	if failed {
		result = "FAIL"
	}
	fmt.Printf("GUEST result %s %s\n", result, uptime())
	unix.Sync()
	if os.Getpid() == 1 {
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	if failed {
		os.Exit(1)
	}
}

// mount reports whether anything did not work.
func mount() (failed bool) {
	for _, m := range []struct{ source, target, kind string }{
		{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"devtmpfs", "/dev", "devtmpfs"},
		{"configfs", "/sys/kernel/config", "configfs"}, {"tmpfs", "/tmp", "tmpfs"}, {"tmpfs", "/run", "tmpfs"},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil && m.kind != "configfs" {
			fmt.Printf("GUEST mkdir %s: %v\n", m.target, err)
		}
		// The kernel mounts devtmpfs by itself in some configurations.
		if err := unix.Mount(m.source, m.target, m.kind, 0, ""); err != nil && err != unix.EBUSY {
			fmt.Printf("GUEST mount %s: %v\n", m.target, err)
			failed = true
		}
	}
	return failed
}

func run(binary string) error {
	var args []string
	if text, err := os.ReadFile(strings.TrimSuffix(binary, ".test") + ".args"); err == nil {
		args = strings.Fields(string(text))
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = os.Stdout, os.Stderr, "/tmp"
	// More than the one processor, as phoned does: what wakes up must not wait for a goroutine to yield.
	cmd.Env = []string{"HOME=/tmp", "TMPDIR=/tmp", "PATH=/bin:/sbin", "GOMAXPROCS=3"}
	return cmd.Run()
}

// uptime is the guest's own clock, by which its speed is judged.
func uptime() string {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return "?"
	}
	return fmt.Sprintf("%.2fs", time.Duration(ts.Nano()).Seconds())
}
