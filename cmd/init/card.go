package main

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
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/storage"
	"parklamp/cmd/internal/supervise"
)

const (
	cardWait = 5 * time.Second // for a card whose driver takes its time
	cardLook = 100 * time.Millisecond
	// A card is given up when it has completed no read and no write for cardStill. One that answers, however slowly, is waited for: a
	// repair that is broken off leaves a file system worse than it was.
	cardStill = 30 * time.Second
	cardMost  = 10 * time.Minute
	// The partitions are mounted here until all of the card has been found good: what hangs then is in nobody's way.
	stagedData, stagedBoot = rootFolder + "/data", rootFolder + "/boot"
)

// A card that is given up.
var (
	errStill   = fmt.Errorf("the card does not answer: nothing was read or written for %v", cardStill)
	errEndless = fmt.Errorf("the card is not ready after %v", cardMost)
)

// card is what has been found of one.
type card struct {
	disk   *slots.Disk // nil: none
	boot   string      // device of the boot partition, mounted at stagedBoot; "" if it is not
	device string      // of the data partition, mounted at stagedData
	fault  error       // why the data partition is not
}

// store is where the appliance keeps what is its own: the card, or memory in its place.
type store struct {
	*ground
	disk *slots.Disk // nil: no card; set by mount, then immutable

	mu   sync.Mutex
	data initapi.Data // guarded by mu
}

// find waits for the card; nil if there is none.
func (s *store) find() *slots.Disk {
	limit := time.Now().Add(cardWait)
	for {
		disk, err := slots.Find("/sys", "/dev")
		if err == nil {
			return disk
		}
		if time.Now().After(limit) {
			s.log.Warn("card", "err", err)
			return nil
		}
		time.Sleep(cardLook)
	}
}

// mount mounts boot and data. Whatever goes wrong, also with a card that does not answer any more, there is a data folder
// afterwards.
func (s *store) mount(ctx context.Context) {
	c, err := unlessStill(func() card { return s.open(ctx) }, closeCard, func() string { return transfers("/sys") })
	if err != nil {
		c = card{fault: err}
	}
	s.disk = c.disk
	if c.boot != "" {
		if err := storage.Move(stagedBoot, bootMount); err != nil {
			s.log.Warn("boot partition", "err", err)
		}
	}
	if c.fault == nil {
		c.fault = storage.Move(stagedData, dataMount)
	}
	var d initapi.Data
	if d.Device = c.device; c.fault != nil {
		d.Device, d.Fault = "", c.fault.Error()
		if err := storage.MountMemory(dataMount, memoryData); err != nil {
			s.log.Error("data in memory", "err", err)
		}
		if _, _, err := claim(dataFolder, rootsOwn, phonedsOwn); err != nil {
			s.log.Error("data in memory", "err", err)
		}
		s.raise(health.Condition{Code: initapi.CodeData, Severity: health.Error, Text: "nothing is kept over a restart: " + c.fault.Error(),
			Hint: "replace the card, or write it anew with make flash"})
	}
	_ = os.Chown(runFolder, 0, parklampID)
	_ = os.Chmod(runFolder, 0o775)
	d.Size, d.Free, _ = storage.Space(dataMount)
	s.log.Info("data", "device", d.Device, "size", d.Size, "free", d.Free)
	s.mu.Lock()
	s.data = d
	s.mu.Unlock()
}

// unlessStill is what open returns, or why that was not waited for: no process can be ended that waits for a card, nor can this
// one. What comes after that is given to late. transfers changes whenever the card has done something.
func unlessStill(open func() card, late func(card), transfers func() string) (card, error) {
	opened, gone := make(chan card), make(chan struct{})
	go func() {
		c := open()
		select {
		case opened <- c:
		case <-gone:
			late(c)
		}
	}()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	began := time.Now()
	moved, last := began, transfers()
	for {
		select {
		case c := <-opened:
			return c, nil
		case now := <-look.C:
			err := error(nil)
			if is := transfers(); is != last {
				moved, last = now, is
			}
			switch {
			case now.Sub(moved) >= cardStill:
				err = errStill
			case now.Sub(began) >= cardMost:
				err = errEndless
			default:
				continue
			}
			close(gone)
			return card{}, err
		}
	}
}

// transfers are the numbers of reads and writes that the disks have completed (Documentation/block/stat.rst, fields 1 and 5).
func transfers(sys string) string {
	var all []string
	paths, _ := filepath.Glob(filepath.Join(sys, "block/*/stat"))
	for _, path := range paths {
		if f := strings.Fields(readText(path)); len(f) > 4 {
			all = append(all, f[0], f[4])
		}
	}
	return strings.Join(all, " ")
}

// closeCard lets a card go that came too late.
func closeCard(c card) {
	for _, at := range []string{stagedData, stagedBoot} {
		_ = unix.Unmount(at, unix.MNT_DETACH)
	}
	if c.disk != nil {
		_ = c.disk.Close()
	}
}

// open finds the card and mounts it aside.
func (s *store) open(ctx context.Context) card {
	c := card{fault: errors.New("no card found")}
	if c.disk = s.find(); c.disk == nil {
		return c
	}
	if boot, err := c.disk.PartitionPath(slots.BootPartition); err != nil {
		s.log.Warn("boot partition", "err", err)
	} else if err := storage.MountBoot(boot, stagedBoot); err != nil {
		s.log.Warn("boot partition", "err", err)
	} else {
		c.boot = boot
	}
	c.device, c.fault = s.mountData(ctx, c.disk)
	return c
}

// mountData grows, checks and mounts the data partition.
func (s *store) mountData(ctx context.Context, disk *slots.Disk) (device string, err error) {
	if device, err = disk.PartitionPath(slots.DataPartition); err != nil {
		return "", err
	}
	if grown, err := storage.GrowPartition(disk.Path, slots.DataPartition, disk.WriteSector); err != nil {
		s.log.Warn("the data partition does not grow", "err", err)
	} else if grown {
		s.log.Info("the data partition goes to the end of the card", "device", device)
	}
	const check = "/sbin/e2fsck"
	if _, err := os.Stat(check); err == nil {
		s.repair(ctx, check, device)
	}
	if err := storage.MountData(device, stagedData); err != nil {
		return "", err
	}
	size, err := partitionSize(device)
	if err == nil {
		err = storage.GrowFileSystem(stagedData, size)
	}
	if err != nil {
		s.log.Warn("the file system of the data partition does not grow", "err", err)
	}
	// A file system that the kernel has found broken takes no writes; a card that is worn out may say so only here, or when it is
	// to keep them.
	if err := writes(filepath.Join(stagedData, ".write")); err != nil {
		_ = unix.Unmount(stagedData, unix.MNT_DETACH)
		return "", fmt.Errorf("%s takes no writes: %w", device, err)
	}
	own, his := rootsOwn, phonedsOwn
	own.Aside = strings.Replace(aside, dataMount, stagedData, 1)
	his.Aside = own.Aside
	if err := s.takeOver(strings.Replace(dataFolder, dataMount, stagedData, 1), own, his); err != nil {
		_ = unix.Unmount(stagedData, unix.MNT_DETACH)
		return "", fmt.Errorf("%s: %w", device, err)
	}
	return device, nil
}

// repair lets e2fsck mend the file system of a device: first what that takes nothing away, then, where that is not enough, all,
// since nobody is there to be asked and what would stay as it is would soon not be mounted at all. But where blocks cannot be read,
// all would be to write zeros over them: then it stays, and the kernel says whether it can be mounted. The exit status says what
// was done (e2fsck(8)).
func (s *store) repair(ctx context.Context, check, device string) {
	const uncorrected = 4
	unread := sought{text: []byte("Error reading block")} // e2fsck/ehandler.c
	run := func(mode string) (int, bool) {
		st, err := s.reaper.Do(ctx, supervise.Spec{Path: check, Args: []string{mode, device},
			Output: io.MultiWriter(&unread, s.logbook.Writer("e2fsck", time.Now))})
		code := st.Wait.ExitStatus()
		if err != nil || code != 0 {
			s.log.Warn("data partition", "check", mode, "result", st.String(), "err", err)
		}
		return code, err == nil && st.Wait.Exited()
	}
	if code, ended := run("-p"); !ended || code&uncorrected == 0 {
		return
	}
	// -p ends at the first fault that it leaves. -n reads on as -y does, and writes nothing. Where there is a block already that cannot
	// be read it is spared: each further one takes a card seconds, of which it has cardMost.
	if !unread.found.Load() {
		run("-n")
	}
	if unread.found.Load() {
		s.raise(health.Condition{Code: "data.damaged", Severity: health.Error,
			Text: "the data partition cannot be read everywhere and is not repaired: something there may be missing", Hint: "replace the card"})
		return
	}
	if code, ended := run("-y"); !ended || code >= uncorrected {
		s.raise(health.Condition{Code: "data.damaged", Severity: health.Error,
			Text: "the data partition is damaged and cannot be repaired", Hint: "replace the card"})
		return
	}
	s.raise(health.Condition{Code: "data.repaired", Severity: health.Warning,
		Text: "the data partition was damaged and is repaired: something there may be missing",
		Hint: "look whether identity, accounts and orbits are complete; replace the card if this comes again"})
}

// sought looks for a text in what one program after another says.
type sought struct {
	text  []byte
	rest  []byte // what may be its beginning
	found atomic.Bool
}

// Write never fails.
func (s *sought) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	if bytes.Contains(s.rest, s.text) {
		s.found.Store(true)
	}
	s.rest = slices.Clone(s.rest[max(0, len(s.rest)-len(s.text)+1):])
	return len(p), nil
}

// writes says why no file can be written. A full card is none that takes no writes.
func writes(probe string) error {
	_ = os.Remove(probe)
	f, err := os.OpenFile(probe, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString("x")
		err = errors.Join(err, f.Sync(), f.Close())
	}
	_ = os.Remove(probe)
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}

func partitionSize(device string) (uint64, error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	return uint64(size), err
}

const (
	// fullAt is the share of the data partition that must be free: below it, a condition tells.
	fullAt    = 16 // one sixteenth
	spaceCode = initapi.CodeData + ".space"
)

// watch tells when the data partition is full or takes no more writes, and removes what claim has put aside, until ctx ends.
func (s *store) watch(ctx context.Context) {
	look := time.NewTicker(30 * time.Second)
	defer look.Stop()
	for {
		size, free, err := storage.Space(dataMount)
		s.mu.Lock()
		s.data.Size, s.data.Free = size, free
		onCard := s.data.Device != ""
		s.mu.Unlock()
		if err == nil && onCard {
			s.judgeSpace(size, free)
		}
		var st unix.Statfs_t
		if onCard && unix.Statfs(dataMount, &st) == nil && st.Flags&unix.ST_RDONLY != 0 {
			s.raise(health.Condition{Code: initapi.CodeData, Severity: health.Error, Text: "the card takes no more writes: parked calls would not outlive a restart",
				Hint: "replace the card"})
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if err := storage.Empty(aside, asideMost); err != nil {
			s.log.Debug("what was put aside stays", "err", err)
		}
	}
}

// state is what is known of it.
func (s *store) state() initapi.Data {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

func (s *store) judgeSpace(size, free uint64) {
	if free < size/fullAt {
		severity := health.Warning
		if free < size/(8*fullAt) {
			severity = health.Error
		}
		s.raise(health.Condition{Code: spaceCode, Severity: severity, Text: fmt.Sprintf("the data partition is full: %d KiB of %d are free", free>>10, size>>10),
			Hint: "remove reports and recordings below " + dataFolder})
		return
	}
	s.clear(spaceCode)
}

// isOnCard says whether what is stored outlives a restart.
func (s *store) isOnCard() bool {
	return s.state().Device != ""
}

// removeKey takes the secrets off the boot partition, now that the data partition has them. The loader lives there: one sector after
// the other is written at once, in order, so that a loss of power costs at most blocks that nobody has.
func (s *store) removeKey(from string) error {
	if err := unix.Mount("", bootMount, "", unix.MS_REMOUNT|unix.MS_SYNCHRONOUS|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	err := provision.RemoveKey(from)
	unix.Sync()
	return errors.Join(err, unix.Mount("", bootMount, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
}

// fails says whether the data partition is full or takes no writes.
func (s *store) fails() bool {
	_, full := s.health.Get(spaceCode)
	_, fails := s.health.Get(initapi.CodeData)
	return full || fails
}
