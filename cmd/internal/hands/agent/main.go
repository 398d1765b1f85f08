// Agent is the hand of the tests in a booted image. The kernel starts it in place of the image's first process (rdinit=): it
// makes the simulated lines of the board, leaves a copy of itself that serves the host over virtio-serial (package hands), and
// becomes the image's own /init, which finds everything as on a board. The copy has a mount namespace of its own and touches
// nothing of the image's.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/board"
	"parklamp/cmd/internal/hands"
)

const (
	home      = "/hand"
	boardFile = home + "/board.toml" // the board; the built-in one of QEMU's machine if there is none
	model     = "qemu-virt"
	orbits    = home + "/orbits" // numbers of the orbits, separated by blanks
)

func main() {
	if os.Getpid() != 1 {
		if err := serve(); err != nil {
			fmt.Println("HAND", err)
			os.Exit(1)
		}
		return
	}
	ready, tell, err := os.Pipe()
	if err == nil {
		self := exec.Command(home+"/agent", "serve")
		self.Stdin, self.Stdout, self.Stderr, self.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, []*os.File{tell}
		self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		err = self.Start()
		_ = tell.Close()
	}
	if err == nil {
		_, _ = ready.Read(make([]byte, 1)) // the lines are there, or the copy has failed and said so
	}
	if err != nil {
		fmt.Println("HAND", err)
	}
	fmt.Println("HAND", unix.Exec("/init", []string{"/init"}, []string{"HOME=/", "TERM=linux"}))
}

// mount mounts the kernel's file systems for this process alone.
func mount() error {
	var errs error
	for _, m := range []struct{ at, kind string }{{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}, {"/sys/kernel/config", "configfs"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil && m.kind != "configfs" {
			errs = errors.Join(errs, err)
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			errs = errors.Join(errs, fmt.Errorf("mount %s: %w", m.at, err))
		}
	}
	return errs
}

// serve makes the lines and answers the host.
func serve() error {
	runtime.GOMAXPROCS(8) // who returns from a system call must not wait for one who is in another
	tell := os.NewFile(3, "tell")
	if err := mount(); err != nil {
		return err
	}
	lines, err := simulate()
	if err != nil {
		fmt.Println("HAND", err)
	}
	_ = tell.Close()
	if err := hurry(); err != nil {
		return err
	}
	if lines != nil {
		go func() { fmt.Println("HAND matrix:", lines.Run()) }()
	}
	port, err := port()
	if err != nil {
		return err
	}
	fmt.Println("HAND serves")
	return hands.Serve(port, lines)
}

// hurry puts every thread into a real-time class, above phoned, which is in the normal one: hands and ears have no part in the phone's
// processor.
func hurry() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	class := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 2}
	for _, t := range tasks { // later ones inherit it
		if id, err := strconv.Atoi(t.Name()); err == nil {
			if err := unix.SchedSetAttr(id, &class, 0); err != nil {
				return fmt.Errorf("real-time class: %w", err)
			}
		}
	}
	return nil
}

func simulate() (*hands.Lines, error) {
	numbers, err := os.ReadFile(orbits)
	if err != nil {
		return nil, err
	}
	c := board.Config{Model: model}
	if _, err := os.Stat(boardFile); err == nil {
		c.File = boardFile
	}
	m, err := c.Load(strings.Fields(string(numbers)))
	if err != nil {
		return nil, err
	}
	return hands.NewLines(m)
}

// port opens the virtio-serial port, which the kernel finds a moment later.
func port() (*os.File, error) {
	for range 1000 {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			if text, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(text)) == hands.Port {
				return os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(n))), os.O_RDWR, 0)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, fmt.Errorf("no virtio-serial port %s", hands.Port)
}
