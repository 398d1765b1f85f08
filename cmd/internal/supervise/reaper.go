package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec is a process to be started.
type Spec struct {
	Path    string
	Args    []string // without the program's name
	Env     []string
	Dir     string         // "" is /
	User    *User          // nil: as this process
	Ambient []uintptr      // capabilities that a process of another user has, unix.CAP_*
	Restart syscall.Signal // tells it to end where the next process follows at once; 0: SIGTERM
	Output  io.Writer      // gets standard output and error, from one goroutine of the child's; nil is /dev/null
}

// User is whom a process runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32
}

// Status is how a process ended.
type Status struct {
	Wait  syscall.WaitStatus
	Usage syscall.Rusage
}

// String says it in words.
func (s Status) String() string {
	if s.Wait.Signaled() {
		return "killed by " + unix.SignalName(s.Wait.Signal())
	}
	return fmt.Sprintf("exit status %d", s.Wait.ExitStatus())
}

// Child is a process that a Reaper has started.
type Child struct {
	PID    int
	done   chan Status   // capacity 1; gets the status, once
	output chan struct{} // closed when all of its output has been written
}

// Signal sends a signal to the process and to everything in its process group. One that has ended is no error.
func (c *Child) Signal(s syscall.Signal) {
	// The group is the child's own (Setsid). Only its owner calls this, before it has taken the status: the pid is still his.
	_ = syscall.Kill(-c.PID, s)
}

// Reaper starts processes and takes the status of each that ends, also of those that were orphaned and given to this
// process as the first of the system. While one runs, nobody else in the process may wait for children (os/exec does).
type Reaper struct {
	outputWait time.Duration // immutable: how long Do waits for a writer that takes its time, or for nothing

	mu       sync.Mutex
	children map[int]*Child // guarded by mu
	orphans  uint64         // guarded by mu: processes that nobody waited for
}

// NewReaper makes a reaper. Nothing is reaped before Run.
func NewReaper() *Reaper { return &Reaper{outputWait: time.Second, children: map[int]*Child{}} }

// Orphans counts the processes that ended and were nobody's.
func (r *Reaper) Orphans() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.orphans
}

// Run takes statuses until ctx ends. Children that are still alive then are nobody's.
func (r *Reaper) Run(ctx context.Context) {
	died := make(chan os.Signal, 1) // full: one more look is due already
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	for {
		r.reap()
		select {
		case <-died:
		case <-ctx.Done():
			return
		}
	}
}

// reap takes every status that there is.
func (r *Reaper) reap() {
	for {
		var s Status
		// Under the lock, so that a process that ends at once is in the table before its status is taken.
		r.mu.Lock()
		pid, err := syscall.Wait4(-1, &s.Wait, syscall.WNOHANG, &s.Usage)
		c := r.children[pid]
		if pid > 0 {
			delete(r.children, pid)
			if c == nil {
				r.orphans++
			}
		}
		r.mu.Unlock()
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || pid <= 0:
			return
		case c != nil:
			c.done <- s
		}
	}
}

// Start starts a process in a session of its own.
func (r *Reaper) Start(spec Spec) (*Child, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Path, err)
	}
	defer null.Close()
	out, output := null, make(chan struct{})
	if spec.Output == nil {
		close(output)
	} else {
		from, to, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", spec.Path, err)
		}
		defer to.Close()
		out = to
		// Ends with the last process that holds the other end.
		go func() {
			defer close(output)
			defer from.Close()
			_, _ = io.Copy(spec.Output, from)
		}()
	}
	attr := &syscall.ProcAttr{Dir: spec.Dir, Env: spec.Env, Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true, AmbientCaps: spec.Ambient}}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	if u := spec.User; u != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(spec.Path, append([]string{spec.Path}, spec.Args...), attr)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Path, err)
	}
	c := &Child{PID: pid, done: make(chan Status, 1), output: output}
	r.children[pid] = c
	return c, nil
}

// Do runs a process to its end and returns its status, after its Output has been written, for which it waits outputWait at
// most; when ctx ends first, it is killed.
func (r *Reaper) Do(ctx context.Context, spec Spec) (Status, error) {
	c, err := r.Start(spec)
	if err != nil {
		return Status{}, err
	}
	select {
	case s := <-c.done:
		c.drain(ctx, r.outputWait)
		return s, nil
	case <-ctx.Done():
	}
	c.Signal(syscall.SIGKILL)
	select {
	case s := <-c.done:
		c.drain(context.WithoutCancel(ctx), r.outputWait)
		return s, fmt.Errorf("%s: %w", spec.Path, ctx.Err())
	case <-time.After(killWait):
		return Status{}, fmt.Errorf("%s does not end: %w", spec.Path, ctx.Err())
	}
}

// drain waits until the output of a process that has ended is written, or for so long: what it has started may live on with
// its output.
func (c *Child) drain(ctx context.Context, most time.Duration) {
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-c.output:
	case <-late.C:
	case <-ctx.Done():
	}
}

// killWait is how long Do waits for a process that was killed: one that is stuck in the kernel may never end.
const killWait = 5 * time.Second
