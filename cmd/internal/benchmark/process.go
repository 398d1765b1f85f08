package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of CPU time in /proc: USER_HZ is 100 on every architecture that Linux has today (proc(5)).
const tick = 10 * time.Millisecond

// usage is what a process has used.
type usage struct {
	at  time.Time
	cpu time.Duration // user and system
}

// percent is the share of one core that was used since an earlier look.
func (u usage) percent(earlier usage) float64 {
	wall := u.at.Sub(earlier.at)
	if wall <= 0 {
		return 0
	}
	return 100 * float64(u.cpu-earlier.cpu) / float64(wall)
}

// usageOf looks at a process.
func usageOf(pid int) (usage, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	cpu, err := parseStat(text)
	return usage{time.Now(), cpu}, err
}

// parseStat reads the CPU time of proc_pid_stat(5): fields 14 and 15, after a name that may hold anything.
func parseStat(text []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return 0, fmt.Errorf("stat %q: has no name", text)
	}
	fields := strings.Fields(string(text[end+1:]))
	const user, system = 14 - 3, 15 - 3 // the first after the name is field 3
	if len(fields) <= system {
		return 0, fmt.Errorf("stat %q: is too short", text)
	}
	var total time.Duration
	for _, i := range []int{user, system} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat: CPU time %q: %w", fields[i], err)
		}
		total += time.Duration(n) * tick
	}
	return total, nil
}

// footprint is what a process holds.
type footprint struct {
	rss     float64 // MB, of 2^20 bytes
	threads int
}

func footprintOf(pid int) (footprint, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return footprint{}, err
	}
	return parseStatus(string(text))
}

// parseStatus reads proc_pid_status(5).
func parseStatus(text string) (f footprint, err error) {
	var found int
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "VmRSS":
			kb, err := strconv.Atoi(value)
			if err != nil {
				return f, fmt.Errorf("VmRSS %q: %w", value, err)
			}
			f.rss = float64(kb) / 1024
			found++
		case "Threads":
			if f.threads, err = strconv.Atoi(value); err != nil {
				return f, fmt.Errorf("threads %q: %w", value, err)
			}
			found++
		}
	}
	if found < 2 {
		return f, fmt.Errorf("status has no VmRSS or no Threads")
	}
	return f, nil
}

func threads(pid int) []int {
	var all []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, t := range tasks {
		if tid, err := strconv.Atoi(filepath.Base(t)); err == nil {
			all = append(all, tid)
		}
	}
	return all
}

// favoured says whether a process has a nice value below 0, as it asks for by default where the system permits it.
func favoured(pid int) bool {
	for _, tid := range threads(pid) {
		attr, err := unix.SchedGetAttr(tid, 0)
		if err == nil && (attr.Nice < 0) {
			return true
		}
	}
	return false
}
