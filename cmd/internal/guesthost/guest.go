//go:build image

package guesthost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/hands"
)

// BootLimit is how long a guest may take, by the clock on the wall, until its hand answers.
const BootLimit = 4 * time.Minute

// ErrOff means that the guest has ended.
var ErrOff = errors.New("the guest is switched off")

// Clock says how a guest's time goes.
type Clock int

const (
	// Real time: the guest is as slow as this machine is busy. For everything with a network.
	Real Clock = iota
	// Steady: 4 ns for each instruction while the guest is busy, real time while it is idle. Figures then hardly depend on
	// this machine.
	//
	// Idle time that takes no time (sleep=off) is nothing for a phone: whenever the guest waits for this machine, a card or the
	// test, its time runs away. The check of its data partition ran out of time, and of 200 presses one or two got no answer within 5 s.
	Steady
)

// Machine says what is switched on. In real time it has two processors, one for the hand and one for the phone; where
// instructions are counted it has one.
type Machine struct {
	Name    string // of files and messages
	Dir     string // where console and initrd go
	Kernel  string // zImage
	Initrd  string // of the image; "" for the segment alone
	Segment []byte // what the test adds to the initrd, see Segment
	Card    string // file of the card, written to; "" for none
	Cable   *Cable // nil: no network interface
	MAC     byte   // last byte of the address
	Args    string // of the kernel
	Memory  int    // MiB, 256 if 0
	Clock   Clock
	// Worn makes the card refuse everything that is written to it (EIO).
	Worn bool
	// Epoch starts the guest's clock in 1970, as on a board without a battery.
	Epoch bool
}

// Guest is a machine that is switched on.
type Guest struct {
	Machine
	*Hand
	Console string // path of its log
	cmd     *exec.Cmd
	done    chan struct{} // closed when QEMU has ended
}

// SwitchOn starts a guest; what has come of it Ready tells.
func SwitchOn(m Machine) (*Guest, error) {
	initrd := filepath.Join(m.Dir, m.Name+".initrd")
	image := m.Segment
	for len(image)%512 != 0 {
		image = append(image, 0)
	}
	if m.Initrd != "" {
		rest, err := os.ReadFile(m.Initrd)
		if err != nil {
			return nil, err
		}
		image = append(image[:len(image):len(image)], rest...)
	}
	if err := os.WriteFile(initrd, image, 0o644); err != nil {
		return nil, err
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(ends[1]), "hand")
	defer theirs.Close()
	ours := os.NewFile(uintptr(ends[0]), "hand")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		return nil, err
	}
	g := &Guest{Machine: m, Hand: &Hand{rpc.NewClient(conn)}, Console: filepath.Join(m.Dir, m.Name+".console"), done: make(chan struct{})}
	g.cmd = exec.Command("qemu-system-arm", m.args(initrd, g.Console)...)
	g.cmd.ExtraFiles = []*os.File{theirs}
	says, err := os.Create(filepath.Join(m.Dir, m.Name+".qemu"))
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	defer says.Close()
	g.cmd.Stdout, g.cmd.Stderr = says, says
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := g.cmd.Start(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("start %s: %w", m.Name, err)
	}
	go func() {
		_ = g.cmd.Wait() // how it ended is told by its console
		_ = g.Hand.Close()
		close(g.done)
	}()
	return g, nil
}

func (m Machine) args(initrd, console string) []string {
	cores := "1"
	if m.Clock == Real {
		cores = "2"
	}
	a := []string{"-M", "virt", "-smp", cores, "-cpu", "cortex-a7", "-nodefaults", "-display", "none", "-no-reboot",
		"-monitor", "none", "-serial", "file:" + console, "-kernel", m.Kernel, "-initrd", initrd,
		"-append", strings.TrimSpace("console=ttyAMA0 panic=-1 quiet rdinit=/hand/agent " + m.Args),
		"-device", "virtio-rng-device",
		"-chardev", "socket,id=hand,fd=3", "-device", "virtio-serial-device", "-device", "virtserialport,chardev=hand,name=" + hands.Port}
	memory := m.Memory
	if memory == 0 {
		memory = 256
	}
	a = append(a, "-m", fmt.Sprint(memory))
	if m.Clock == Steady {
		a = append(a, "-icount", "shift=2,sleep=on")
	}
	if m.Epoch {
		a = append(a, "-rtc", "base=1970-01-01T00:00:00")
	}
	switch {
	case m.Card != "" && m.Worn:
		// QEMU manual, block drivers: blkdebug injects errors, here into every write for ever.
		a = append(a, "-drive", "if=none,id=card,format=raw,cache=writethrough,file.driver=blkdebug,file.inject-error.0.event=none,file.inject-error.0.iotype=write,"+
			"file.inject-error.0.errno=5,file.inject-error.0.once=off,file.image.driver=file,file.image.filename="+m.Card, "-device", "virtio-blk-device,drive=card")
	case m.Card != "":
		// Written through: what the guest's kernel has given to the card is on it when the plug is pulled.
		a = append(a, "-drive", "if=none,id=card,format=raw,cache=writethrough,file="+m.Card, "-device", "virtio-blk-device,drive=card")
	}
	if m.Cable != nil {
		a = append(a, "-netdev", m.Cable.netdev(), "-device", fmt.Sprintf("virtio-net-device,netdev=%s,mac=52:54:00:12:34:%02x", cableID, m.MAC))
	}
	return a
}

// Ready waits until the hand in the guest answers.
func (g *Guest) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, BootLimit)
	defer cancel()
	if _, err := g.Look(ctx); err != nil {
		return fmt.Errorf("boot %s: %w\n%s", g.Name, err, g.Tail())
	}
	return nil
}

// PullPlug ends the guest as a power cut does: nobody in it is told anything.
func (g *Guest) PullPlug() {
	_ = g.cmd.Process.Kill() // an error means that it has ended
	<-g.done
}

// Off is closed when the guest has ended, by itself or by us.
func (g *Guest) Off() <-chan struct{} { return g.done }

// Tail is the end of the console's log.
func (g *Guest) Tail() string {
	text, err := os.ReadFile(g.Console)
	if err != nil {
		return err.Error()
	}
	if len(text) == 0 {
		text, _ = os.ReadFile(filepath.Join(g.Dir, g.Name+".qemu"))
	}
	const most = 4000
	return string(text[max(0, len(text)-most):])
}
