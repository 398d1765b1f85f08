package hands

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc: USER_HZ is 100 on every board.
const tick = 10 * time.Millisecond

// Machine looks at the guest and its processes.
func (h *Hand) Machine(_ Nothing, m *Machine) error {
	m.Now = time.Now()
	var err error
	if m.Uptime, err = uptime(); err != nil {
		return err
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return err
	}
	// proc(5), /proc/stat: cpu user nice system idle iowait irq softirq steal
	line, _, _ := strings.Cut(string(text), "\n")
	for i, f := range strings.Fields(line) {
		n, _ := strconv.Atoi(f)
		switch {
		case i == 0:
		case i == 4 || i == 5:
			m.Idle += time.Duration(n) * tick
		case i <= 8:
			m.Busy += time.Duration(n) * tick
		}
	}
	m.MemFree = field("/proc/meminfo", "MemAvailable:") << 10
	m.Processes = h.processes()
	return nil
}

// uptime is the guest's own clock since power-on.
func uptime() (time.Duration, error) {
	var up unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up)
	return time.Duration(up.Nano()), err
}

// field returns the number after a name at the beginning of a line, 0 if there is none.
func field(file, name string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.Atoi(f[0])
				return n
			}
		}
	}
	return 0
}

// processes lists those that have an executable: not the kernel's threads.
func (h *Hand) processes() []Process {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var all []Process
	for _, dir := range dirs {
		exe, err := os.Readlink(filepath.Join(dir, "exe"))
		if err != nil {
			continue
		}
		p := Process{Name: filepath.Base(exe), RSS: field(filepath.Join(dir, "status"), "VmRSS:") << 10}
		p.PID, _ = strconv.Atoi(filepath.Base(dir))
		text, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended
		}
		// proc(5), /proc/pid/stat: the name in brackets may hold anything; state is field 3.
		_, rest, _ := bytes.Cut(text[bytes.LastIndexByte(text, ')'):], []byte(" "))
		f := strings.Fields(string(rest))
		number := func(i int) time.Duration {
			if i-3 >= len(f) {
				return 0
			}
			n, _ := strconv.ParseInt(f[i-3], 10, 64)
			return time.Duration(n)
		}
		p.CPU = (number(14) + number(15)) * tick
		p.Threads = int(number(20))
		p.Started = number(22) * tick
		all = append(all, p)
	}
	return all
}

// Signal sends a signal to the programs of a name.
func (h *Hand) Signal(a SignalArgs, _ *Nothing) error {
	found := false
	for _, p := range h.processes() {
		if p.Name == a.Name {
			found = true
			if err := syscall.Kill(p.PID, syscall.Signal(a.Signal)); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("hands: no program %s runs", a.Name)
	}
	return nil
}
