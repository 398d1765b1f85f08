// Package probe measures what an appliance stands on: its storage, network and clock. The self test asks for it.
//
// Each probe is bounded in time and in what it writes, cleans up, and returns findings for people with figures for
// programs; what is measured is judged by pure functions. It changes nothing: no link, no route, no clock. It starts no
// goroutine that outlives its call, and must be called off any loop that others wait for.
//
// Standards: DNS (RFC 1035 §4) for a single question; package clock asks the time server.
package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/selftest"
)

// How much is written: pieces as large as an SD card's pages, each synced, then small ones as the journal's.
const (
	largePiece  = 64 << 10
	largePieces = 64 // 4 MiB
	smallPiece  = 4 << 10
	smallPieces = 64
	diskFor     = 20 * time.Second // no more is written after this; a card that is so slow is judged by what it did
)

// What a storage must be able to do, so that a parked call is stored before it is announced (100 ms) and nothing waits for long.
const (
	leastFree    = 16 << 20 // bytes: below it the journal and the log may not be written
	littleFree   = 64 << 20
	slowCommit   = 100 * time.Millisecond // p95
	longestSync  = 2 * time.Second
	leastBytesPS = 1 << 20 // SD speed class 2 has 2 MB/s
)

// storage is what was measured.
type storage struct {
	readOnly   bool
	free, size uint64 // bytes
	large      []time.Duration
	small      []time.Duration
	differs    bool // what was read back is not what was written
	err        error
}

// Disk writes into a folder, syncs, reads back and removes it.
func Disk(ctx context.Context, folder string) []selftest.Finding {
	s, err := measureDisk(ctx, folder)
	if err != nil {
		s.err = err
	}
	return append(judgeDisk(folder, s), wear(folder, "/sys")...)
}

func measureDisk(ctx context.Context, folder string) (s storage, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return s, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return s, fmt.Errorf("statfs %s: %w", folder, err)
	}
	s.readOnly = st.Flags&unix.ST_RDONLY != 0
	s.free, s.size = st.Bavail*uint64(st.Bsize), st.Blocks*uint64(st.Bsize)
	if s.readOnly || s.free < leastFree { // what is left belongs to the journal
		return s, nil
	}
	f, err := os.CreateTemp(folder, ".selftest-*")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil { // it lives until it is closed, however this process ends
		return s, err
	}
	end := time.Now().Add(diskFor)
	written := 0
	piece := make([]byte, largePiece)
	for i := range largePieces + smallPieces {
		n, times := largePiece, &s.large
		if i >= largePieces {
			n, times = smallPiece, &s.small
		}
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		if time.Now().After(end) {
			break
		}
		fill(piece[:n], i)
		began := time.Now()
		if _, err := f.Write(piece[:n]); err != nil {
			return s, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return s, fmt.Errorf("sync: %w", err)
		}
		*times = append(*times, time.Since(began))
		written++
	}
	// From the card and not from memory, as far as the kernel obeys.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return s, err
	}
	want := make([]byte, largePiece)
	for i := range written {
		n := largePiece
		if i >= len(s.large) {
			n = smallPiece
		}
		if _, err := io.ReadFull(f, piece[:n]); err != nil {
			return s, fmt.Errorf("read back: %w", err)
		}
		place := i
		if i >= len(s.large) {
			place = i - len(s.large) + largePieces
		}
		fill(want[:n], place)
		if !bytes.Equal(piece[:n], want[:n]) {
			s.differs = true
		}
	}
	return s, nil
}

// fill makes the content of a piece, different for each.
func fill(b []byte, piece int) {
	x := uint32(piece)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
}

// judgeDisk says what a measurement means.
func judgeDisk(folder string, s storage) []selftest.Finding {
	var all []selftest.Finding
	add := func(item string, o selftest.Outcome, text string, figures ...selftest.Figure) {
		all = append(all, selftest.Finding{Step: selftest.Disk, Item: item, Outcome: o, Text: text, Figures: figures})
	}
	mb := func(b uint64) float64 { return float64(b) / (1 << 20) }
	if s.size > 0 {
		space := []selftest.Figure{{Name: "free", Value: mb(s.free), Unit: "MiB"}, {Name: "size", Value: mb(s.size), Unit: "MiB"}}
		switch {
		case s.readOnly:
			add("space", selftest.Failed, folder+" is mounted read-only: the card is worn out or its file system broken; change the card", space...)
		case s.free < leastFree:
			add("space", selftest.Failed, fmt.Sprintf("%s is full: parked calls may not outlive a power cut; want %d MiB free", folder, leastFree>>20), space...)
		case s.free < littleFree:
			add("space", selftest.Warned, fmt.Sprintf("little is free in %s; %d MiB are safe", folder, littleFree>>20), space...)
		default:
			add("space", selftest.Passed, "", space...)
		}
	}
	if s.err != nil {
		add("write", selftest.Failed, fmt.Sprintf("%s cannot be used: %v", folder, s.err))
		return all
	}
	if s.differs {
		add("read back", selftest.Failed, "what was read is not what was written: change the card")
	}
	if len(s.large) > 0 {
		total := time.Duration(0)
		for _, d := range s.large {
			total += d
		}
		speed := float64(len(s.large)*largePiece) / max(total.Seconds(), 1e-6)
		o, text := selftest.Passed, ""
		if speed < leastBytesPS {
			o, text = selftest.Warned, fmt.Sprintf("slow: %d MiB/s are safe; change the card soon", leastBytesPS>>20)
		}
		add("speed", o, text, selftest.Figure{Name: "write", Value: speed / (1 << 20), Unit: "MiB/s"})
	}
	if s.size > 0 && s.free < leastFree {
		return append(all, judgeCommits(s)...) // nothing was measured
	}
	if all = append(all, judgeCommits(s)...); len(s.large) < largePieces || len(s.small) < smallPieces {
		add("time", selftest.Warned, fmt.Sprintf("not all of %d MiB could be written within %v", largePieces*largePiece>>20, diskFor))
	}
	return all
}

// judgeCommits judges the time of what the journal does for each parked call.
func judgeCommits(s storage) []selftest.Finding {
	if len(s.small) == 0 {
		return nil
	}
	f := selftest.Finding{Step: selftest.Disk, Item: "commit", Outcome: selftest.Passed, Figures: []selftest.Figure{
		{Name: "p50", Value: inMS(percentile(s.small, 50)), Unit: "ms"}, {Name: "p95", Value: inMS(percentile(s.small, 95)), Unit: "ms"},
		{Name: "longest", Value: inMS(percentile(append(slices.Clone(s.small), s.large...), 100)), Unit: "ms"}}}
	switch {
	case percentile(s.large, 100) > longestSync, percentile(s.small, 100) > longestSync:
		f.Outcome, f.Text = selftest.Warned, fmt.Sprintf("a write took more than %v: the card is worn or fake; change it", longestSync)
	case percentile(s.small, 95) > slowCommit:
		f.Outcome, f.Text = selftest.Warned, fmt.Sprintf("slow: %v are safe, lamps do not wait longer for the card", slowCommit)
	}
	return []selftest.Finding{f}
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile is the p-th of times, 0 of none.
func percentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

// wear tells what the kernel knows of the health of the device below a folder: errors that its file system has met, and
// the life that an eMMC says it has left (JESD84-B51 §7.4.40: 0x0b is beyond it).
func wear(folder, sys string) []selftest.Finding {
	var st unix.Stat_t
	if unix.Stat(folder, &st) != nil {
		return nil
	}
	dev, err := filepath.EvalSymlinks(filepath.Join(sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))))
	if err != nil {
		return nil // not on a block device: a RAM disk, or a container
	}
	var all []selftest.Finding
	name := filepath.Base(dev)
	if n := read(filepath.Join(sys, "fs/ext4", name, "errors_count")); n != "" && n != "0" {
		all = append(all, selftest.Finding{Step: selftest.Disk, Item: name, Outcome: selftest.Failed,
			Text: "the file system has met " + n + " errors: save what is on it and change the card"})
	}
	for _, d := range []string{dev, filepath.Dir(dev)} { // a partition lies in its disk
		for _, part := range strings.Fields(read(filepath.Join(d, "device/life_time"))) {
			if part >= "0x0a" && len(part) == len("0x0a") {
				all = append(all, selftest.Finding{Step: selftest.Disk, Item: filepath.Base(d), Outcome: selftest.Warned,
					Text: "the memory says that its life is used up (" + part + "): change it"})
			}
		}
	}
	return all
}

// read is a small file without its line feed, or nothing.
func read(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 64<<10)) // what could not be read is as good as not there
	return strings.TrimSpace(string(b))
}
