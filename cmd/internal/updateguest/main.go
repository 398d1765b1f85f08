// Command updateguest is the first process of a system that does nothing but update itself: it stands for the firmware in the
// tests of updates on a booted card (cuts_test.go), where each start has to be quick. It uses packages slots and update as
// cmd/init does. The bundle lies in the card's data partition. /version is what it is, /manner what ails it:
//
//	well    healthy: a trial is confirmed    ill    never healthy    dead    its first process ends: the kernel panics
//	hangs   starts the watchdog and does nothing more
//
// It prints lines that begin with GUEST and switches off when nothing is left to do. It starts one goroutine, of the updater.
package main

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/update"
)

func say(format string, args ...any) { fmt.Printf("GUEST "+format+"\n", args...) }

func read(path string) string {
	text, _ := os.ReadFile(path) // what is missing is empty
	return strings.TrimSpace(string(text))
}

// end does not return: the kernel takes its time.
func end(command int) {
	unix.Sync()
	_ = unix.Reboot(command)
	select {}
}

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "updateguest is the first process of a test's system; make update-test starts it")
		os.Exit(2)
	}
	for at, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs"} {
		_ = os.Mkdir(at, 0o755)
		_ = unix.Mount(kind, at, kind, 0, "")
	}
	say("error %v", run())
	end(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// run returns only with an error: whatever works ends the machine.
func run() error {
	boot, err := slots.ParseCommandLine(read("/proc/cmdline"))
	if err != nil {
		return err
	}
	version, manner := read("/version"), read("/manner")
	say("up version=%s slot=%s trial=%v manner=%s", version, boot.Slot, boot.Trial, manner)
	switch {
	case !boot.Trial || manner == "well" || manner == "ill":
	case manner == "dead":
		os.Exit(1)
	case manner == "hangs":
		return hang()
	}
	disk, err := slots.Find("/sys", "/dev")
	if err != nil {
		return err
	}
	keys, err := update.ReadKeys("/update.pub")
	if err != nil {
		return err
	}
	built, err := time.Parse(time.RFC3339, read("/time"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	u := update.New(update.Config{Disk: disk, Running: boot.Slot, Trial: boot.Trial, System: update.System{Board: boot.Board, Version: version, Time: built},
		Keys: keys, Busy: func(context.Context) (string, error) { return "", nil },
		Healthy:       func(context.Context) (bool, string) { return manner == "well", "it is ill" },
		Restart:       func(why string) { say("restart %s", why); end(unix.LINUX_REBOOT_CMD_RESTART) },
		Log:           slog.New(slog.NewTextHandler(os.Stdout, nil)),
		ConfirmWithin: 3 * time.Second, HealthyFor: time.Second})
	if boot.Trial {
		if err := u.Confirm(ctx); err != nil {
			return err
		}
		say("confirmed %s", version)
		end(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	if err := u.Settle(); err != nil {
		return err
	}
	if failed := u.Status().Error; failed != "" {
		say("told %s", failed)
		if read("/again") == "" {
			end(unix.LINUX_REBOOT_CMD_POWER_OFF)
		}
	}
	return install(ctx, u, disk, keys)
}

// install takes the bundle of the data partition: its length, 8 bytes, and itself.
func install(ctx context.Context, u *update.Updater, disk *slots.Disk, keys []ed25519.PublicKey) error {
	head := make([]byte, 8)
	if _, err := disk.ReadAt(head, disk.Data().Start); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint64(head))
	say("install %d bytes with %d keys", size, len(keys))
	go u.Run(ctx)
	if err := u.Install(ctx, io.NewSectionReader(disk, disk.Data().Start+8, size), false); err != nil {
		say("refused %v", err)
		end(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	say("on trial")
	select {} // Run restarts
}

// hang lets the watchdog bite.
func hang() error {
	f, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, 2); err != nil {
		return err
	}
	say("hangs")
	select {}
}
