// Command emulator runs a program that was built for an ARM board on this machine, by qemu-user: `make test-arm` gives it to
// `go test -exec`. What such a program starts may be for ARM too: itself once more, or a link to itself that a DHCP client
// calls. So the kernel has to know what runs such files (binfmt_misc), as it does where Debian's qemu-user-static was installed
// under systemd. Where it does not, the emulators are registered in a user namespace that ends with the program (Linux 6.7 or
// later): nothing of the machine is changed. In there everybody is who he was, root among his users.
//
// It starts no goroutine.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// inside says in the environment that the namespace is made, and by which user.
const inside = "PARKLAMP_EMULATOR"

// misc is where the kernel takes what runs files of other machines; the files are of Debian's qemu-user-static.
const misc = "/proc/sys/fs/binfmt_misc"

var registrations = []string{"/usr/lib/binfmt.d/qemu-arm.conf", "/usr/lib/binfmt.d/qemu-aarch64.conf"}

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "emulator:", err)
		status = 1
	}
	os.Exit(status)
}

// run becomes the program, or returns its exit status.
func run(program []string) (int, error) {
	if len(program) == 0 {
		return 0, errors.New("which program?")
	}
	who, isInside := os.LookupEnv(inside)
	if isInside {
		if err := register(); err != nil {
			return 0, err
		}
		_ = os.Unsetenv(inside)
	}
	var uid, gid int
	if _, err := fmt.Sscanf(who, "%d %d", &uid, &gid); err == nil && uid != 0 {
		// Registering took root, which he is in the namespace; the program gets one below it in which he is himself.
		return start(exec.Command(program[0], program[1:]...), syscall.CLONE_NEWUSER,
			syscall.SysProcIDMap{ContainerID: uid, Size: 1}, syscall.SysProcIDMap{ContainerID: gid, Size: 1})
	}
	err := syscall.Exec(program[0], program, os.Environ()) // returns only where the program cannot be started
	if isInside || !errors.Is(err, syscall.ENOEXEC) {
		return 0, fmt.Errorf("start %s: %w", program[0], err)
	}
	uid, gid = os.Getuid(), os.Getgid()
	users := 1
	if uid == 0 {
		users = 1 << 16
	}
	cmd := exec.Command("/proc/self/exe", program...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", inside, uid, gid))
	return start(cmd, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNS, syscall.SysProcIDMap{HostID: uid, Size: users}, syscall.SysProcIDMap{HostID: gid, Size: users})
}

// start runs a program in namespaces of its own, which has these users and groups, and returns its exit status.
func start(cmd *exec.Cmd, namespaces uintptr, users, groups syscall.SysProcIDMap) (int, error) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: namespaces, GidMappingsEnableSetgroups: groups.Size > 1,
		UidMappings: []syscall.SysProcIDMap{users}, GidMappings: []syscall.SysProcIDMap{groups}}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 0, fmt.Errorf("a user namespace cannot be made (be root, or allow unprivileged user namespaces): %w", err)
	}
	return 0, nil
}

// register tells the kernel what runs programs for ARM in this namespace.
func register() error {
	if err := syscall.Mount("binfmt_misc", misc, "binfmt_misc", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w (before Linux 6.7 install qemu-user-static under systemd, which registers it for the machine)", misc, err)
	}
	for _, file := range registrations {
		line, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("package qemu-user-static: %w", err)
		}
		if err := os.WriteFile(misc+"/register", line, 0); err != nil {
			return fmt.Errorf("register %s: %w", file, err)
		}
	}
	return nil
}
