package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// heard is output that tests wait for.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer  // guarded by mu
	more chan struct{} // capacity 1
}

func newHeard() *heard { return &heard{more: make(chan struct{}, 1)} }

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Write(p)
	select {
	case h.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func (h *heard) wait(t *testing.T, ok func(string) bool) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for !ok(h.String()) {
		select {
		case <-h.more:
		case <-limit:
			t.Fatalf("not heard; only %q", h)
		}
	}
}

// late is heard by one who begins when no process is left, and then takes his time.
type late struct {
	*heard
	r *Reaper
}

func (l late) Write(p []byte) (int, error) {
	alive := func() int { l.r.mu.Lock(); defer l.r.mu.Unlock(); return len(l.r.children) }
	for alive() > 0 {
		runtime.Gosched()
	}
	for range 10000 {
		runtime.Gosched()
	}
	return l.heard.Write(p)
}

// reaper runs one for the time of a test.
func reaper(t *testing.T) *Reaper {
	t.Helper()
	r := NewReaper()
	r.outputWait = time.Hour // a test says itself when a writer is too late
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func run(t *testing.T, s *Service) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	end = func() { cancel(); <-done }
	t.Cleanup(end)
	return end
}

func sh(script string, out *heard) Spec {
	return Spec{Path: "/bin/sh", Args: []string{"-c", script}, Output: out, Env: []string{"PATH=/bin:/usr/bin"}}
}

func TestDo(t *testing.T) {
	r, out := reaper(t), newHeard()
	s, err := r.Do(t.Context(), sh("echo said; exit 3", out))
	if err != nil || s.String() != "exit status 3" {
		t.Errorf("%v, %v", s, err)
	}
	if out.String() != "said\n" {
		t.Errorf("its output is %q at its end", out.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s, err = r.Do(ctx, sh("sleep 100", newHeard())); !errors.Is(err, context.DeadlineExceeded) || s.String() != "killed by SIGKILL" {
		t.Errorf("%v, %v", s, err)
	}
	slow := late{newHeard(), r}
	spec := sh("seq 3000", nil) // a pipe holds it
	spec.Output = slow
	if _, err = r.Do(t.Context(), spec); err != nil || !strings.HasSuffix(slow.String(), "\n3000\n") {
		t.Errorf("%v, %d bytes of output", err, len(slow.String()))
	}
	// What a process leaves behind with its output holds up nothing for long.
	c, err := r.Start(sh("sleep 100 &", newHeard()))
	if err != nil {
		t.Fatal(err)
	}
	<-c.done
	c.drain(t.Context(), 10*time.Millisecond)
	c.Signal(syscall.SIGKILL)
	if _, err = r.Do(t.Context(), Spec{Path: "/does/not/exist"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// A process whose parent has died is given to the first process of the system, here to this one (PR_SET_CHILD_SUBREAPER).
func TestOrphansAreReaped(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	r, out := reaper(t), newHeard()
	// The orphan ends after its parent; its pipe closes then, and it is a zombie or gone.
	if _, err := r.Do(t.Context(), sh("(sleep 0.2; echo orphan) &", out)); err != nil {
		t.Fatal(err)
	}
	out.wait(t, func(text string) bool { return strings.Contains(text, "orphan") })
	limit := time.Now().Add(2 * time.Minute)
	for r.Orphans() == 0 {
		if time.Now().After(limit) {
			t.Fatal("nobody took the orphan's status")
		}
		if _, err := r.Do(t.Context(), sh("true", out)); err != nil { // a process's time passes
			t.Fatal(err)
		}
	}
}

// A program that is killed runs again within 100 ms. What a busy machine adds to that is not the supervisor's: of some programs,
// one by one, the first that it lets be as quick counts.
func TestKilledProgramRunsAgainAtOnce(t *testing.T) {
	r := reaper(t)
	var gaps []time.Duration
	for len(gaps) == 0 || gaps[len(gaps)-1] > 100*time.Millisecond && len(gaps) < 20 {
		out := newHeard()
		s := NewService("test", sh("echo up $$; exec sleep 100", out), DefaultPolicy(), nil, r, slog.New(slog.DiscardHandler))
		end := run(t, s)
		s.Start()
		out.wait(t, func(text string) bool { return strings.Count(text, "up") == 1 })
		first := s.Report().PID
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		out.wait(t, func(text string) bool { return strings.Count(text, "up") == 2 })
		got := s.Report()
		if got.PID == first || got.Starts != 2 || got.LastExit != "killed by SIGKILL" {
			t.Errorf("%+v", got)
		}
		gaps = append(gaps, got.LastGap)
		end()
		if got := s.Report(); got.State != Stopped || got.PID != 0 {
			t.Errorf("after the end: %+v", got)
		}
	}
	if gaps[len(gaps)-1] > 100*time.Millisecond {
		t.Errorf("nothing ran for %v", gaps)
	}
}

// A program that was stopped (SIGSTOP) is found hung, killed and started again.
func TestHungProgramIsKilled(t *testing.T) {
	r, out := reaper(t), newHeard()
	p := DefaultPolicy()
	p.Grace, p.Hang = 100*time.Millisecond, 100*time.Millisecond
	s := NewService("test", sh("echo up; kill -STOP $$; sleep 100", out), p, func(context.Context) error { return errors.New("no answer") }, r,
		slog.New(slog.DiscardHandler))
	run(t, s)
	s.Start()
	out.wait(t, func(text string) bool { return strings.Count(text, "up") >= 2 })
	if got := s.Report().LastExit; got != "did not answer, killed by SIGKILL" {
		t.Error(got)
	}
}

// A program hears by the signal whether another process follows.
func TestSignalsSayWhatFollows(t *testing.T) {
	out := newHeard()
	spec := sh(`for s in TERM USR1 USR2; do trap "echo $s; exit" $s; done; echo up; while :; do sleep 0.01; done`, out)
	spec.Restart = syscall.SIGUSR1
	s := NewService("x", spec, DefaultPolicy(), nil, reaper(t), slog.New(slog.DiscardHandler))
	end := run(t, s)
	s.Start()
	out.wait(t, func(text string) bool { return strings.Count(text, "up") == 1 })
	s.Restart()
	out.wait(t, func(text string) bool { return strings.Contains(text, "USR1") && strings.Count(text, "up") == 2 })
	s.StopBy(syscall.SIGUSR2)
	end()
	out.wait(t, func(text string) bool { return strings.HasSuffix(text, "USR2\n") })
}

// One that is about to end because another process follows hears that none will.
func TestEndDuringARestart(t *testing.T) {
	out := newHeard()
	// The signal goes to the whole group. When it finds sleep there, the shell says so on its standard error.
	spec := sh(`exec 2>/dev/null; trap "echo USR1" USR1; trap "echo TERM; exit" TERM; echo up; while :; do sleep 0.01; done`, out)
	spec.Restart = syscall.SIGUSR1
	s := NewService("x", spec, DefaultPolicy(), nil, reaper(t), slog.New(slog.DiscardHandler))
	end := run(t, s)
	s.Start()
	out.wait(t, func(text string) bool { return text == "up\n" })
	s.Restart()
	out.wait(t, func(text string) bool { return text == "up\nUSR1\n" })
	end()
	out.wait(t, func(text string) bool { return text == "up\nUSR1\nTERM\n" })
}

// A program that ignores SIGTERM is killed after StopFor.
func TestStopKills(t *testing.T) {
	r, out := reaper(t), newHeard()
	p := DefaultPolicy()
	p.StopFor = 50 * time.Millisecond
	s := NewService("test", sh("trap '' TERM; echo up; while :; do sleep 1; done", out), p, nil, r, slog.New(slog.DiscardHandler))
	end := run(t, s)
	s.Start()
	out.wait(t, func(text string) bool { return strings.Contains(text, "up") })
	end()
	if got := s.Report(); got.LastExit != "killed by SIGKILL" || got.State != Stopped {
		t.Errorf("%+v", got)
	}
}

// phoned runs as another user and may still do what its work needs: the kernel says which capabilities it has.
func TestUserAndCapabilities(t *testing.T) {
	r, out := reaper(t), newHeard()
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := sh("id -u; id -g; grep -E 'Cap(Eff|Amb)' /proc/self/status; touch "+filepath.Join(folder, "x")+" 2>/dev/null || echo refused", out)
	spec.User = &User{UID: 900, GID: 900}
	spec.Ambient = []uintptr{unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_NICE}
	s, err := r.Do(t.Context(), spec)
	if os.Getuid() != 0 { // who may not start a process as another user is told, and none runs
		if !errors.Is(err, syscall.EPERM) || out.String() != "" {
			t.Errorf("%v, %q", err, out)
		}
		return
	}
	if err != nil || s.String() != "exit status 0" {
		t.Fatal(s, err)
	}
	caps := fmt.Sprintf("%016x", 1<<unix.CAP_NET_BIND_SERVICE|1<<unix.CAP_SYS_NICE)
	want := "900\n900\nCapEff:\t" + caps + "\nCapAmb:\t" + caps + "\nrefused\n"
	out.wait(t, func(text string) bool { return len(text) >= len(want) })
	if out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
}
