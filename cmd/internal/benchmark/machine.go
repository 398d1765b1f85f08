package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine describes where and when the figures were measured.
func machine() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s. Machine: %d cores of %s, Linux %s, %s, %s.\n", time.Now().UTC().Format("2006-01-02 15:04 MST"),
		runtime.NumCPU(), cpuModel(), kernel(), memory(), runtime.Version())
	fmt.Fprintf(&b, "Load average at the start %s; what else ran in the second before: %s.\n", load(), others(time.Second))
	return b.String()
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if n := strings.TrimSpace(name); n == "model name" || n == "Hardware" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of an unknown version"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func memory() string {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil {
		return "memory unknown"
	}
	return fmt.Sprintf("%.1f GB", float64(s.Totalram)*float64(s.Unit)/(1<<30))
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// others lists what used the machine during a time, besides this process.
func others(d time.Duration) string {
	before := everyProcess()
	time.Sleep(d)
	after := everyProcess()
	type user struct {
		name    string
		percent float64
	}
	byName := map[string]float64{}
	for pid, p := range after {
		if old, ok := before[pid]; ok && pid != os.Getpid() {
			byName[p.name] += p.percent(old.usage)
		}
	}
	var users []user
	for name, percent := range byName {
		if percent >= 2 {
			users = append(users, user{name, percent})
		}
	}
	slices.SortFunc(users, func(a, b user) int { return cmp.Compare(b.percent, a.percent) })
	if len(users) == 0 {
		return "nothing above 2 % of a core"
	}
	var words []string
	for _, u := range users[:min(len(users), 6)] {
		words = append(words, fmt.Sprintf("%s %.0f %%", u.name, u.percent))
	}
	return strings.Join(words, ", ")
}

type named struct {
	usage
	name string
}

func everyProcess() map[int]named {
	all := map[int]named{}
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range paths {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil {
			continue
		}
		u, err := usageOf(pid)
		if err != nil {
			continue // it has ended
		}
		name, _ := os.ReadFile(p + "/comm")
		all[pid] = named{u, strings.TrimSpace(string(name))}
	}
	return all
}

// busy returns the CPU time that all cores have spent on anything but idling, by proc_stat(5).
func busy() usage {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return usage{time.Now(), parseBusy(line)}
}

func parseBusy(line string) time.Duration {
	var total time.Duration
	for i, f := range strings.Fields(line) {
		const idle, iowait, guest = 4, 5, 9 // "cpu" is 0; guest time is part of user time
		if i == 0 || i == idle || i == iowait || i >= guest {
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		total += time.Duration(n) * tick
	}
	return total
}
