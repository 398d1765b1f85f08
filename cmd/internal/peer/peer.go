// Package peer runs the SIP programs of other people for our tests and benchmarks: SIPp, baresip, linphone and Kamailio,
// on loopback, each in a folder of its own. None of them shares code with Parklamp, so what they accept is SIP and not our
// reading of it. The package also has Talker, the RTP end that a SIPp call's SDP points at.
//
// Every program is a child process that is ended with its test; a program that is not installed is an error that says
// how to install it, never a skipped test. Each Start function starts one goroutine that waits for the child.
package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// startLimit is how long a child may take until it listens: one that takes longer hangs, and is not just slow.
const startLimit = 2 * time.Minute

// stopGrace is how long a child may take to end after SIGTERM.
const stopGrace = 2 * time.Second

// process is a child with its output in a file.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string        // path of its combined output
	done chan struct{} // closed when it has ended
	err  error         // why it ended; valid after done
	once sync.Once
}

func start(name, dir string, env []string, args ...string) (*process, error) {
	return startWith(nil, name, dir, env, args...)
}

// startWith starts a child that reads commands from a file; nil is an empty one.
func startWith(in *os.File, name, dir string, env []string, args ...string) (*process, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, fmt.Errorf("%s is not installed (make test-deps installs it): %w", args[0], err)
	}
	log := filepath.Join(dir, name+".log")
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	if in != nil {
		cmd.Stdin = in
	}
	// A test that dies takes its children with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends the child: SIGTERM, then SIGKILL to its group.
func (p *process) stop() {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(stopGrace):
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			<-p.done
		}
	})
}

// wait blocks until the child ends by itself, and explains a failure with the end of its output.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("%s still runs: %w\n%s", p.name, ctx.Err(), p.tail())
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", p.name, p.err, p.tail())
	}
	return nil
}

// Output is everything that the program has printed so far.
func (p *process) Output() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return nil // its folder is gone
	}
	return text
}

// tail is the last 4 KB of the child's output.
func (p *process) tail() []byte {
	f, err := os.Open(p.log)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 4096
	if end, err := f.Seek(0, io.SeekEnd); err == nil && end > most {
		_, _ = f.Seek(end-most, io.SeekStart)
	} else {
		_, _ = f.Seek(0, io.SeekStart)
	}
	text, _ := io.ReadAll(f)
	return bytes.TrimSpace(text)
}

var errEnded = errors.New("program has ended")
