//go:build uboot

package slotstest_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/slots/slotstest"
)

const (
	slotBytes = 1 << 20
	limit     = 2 * time.Minute
	loader    = "/usr/lib/u-boot/qemu_arm/u-boot.bin" // Debian: u-boot-qemu
)

// kernelBytes stands for a kernel: U-Boot only loads and sums it, since a slot says itself by which command it is started.
var kernelBytes = bytes.Repeat([]byte("kernel"), 1000)

// crc is a checksum as U-Boot's memory shows it on a little-endian machine: most significant byte first.
func crc(data []byte) string {
	sum := crc32.ChecksumIEEE(data)
	return fmt.Sprintf("%02x%02x%02x%02x", byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
}

// slotImage is a FAT file system that arrives (and resets) when it is started; sum and number are the checksum it gives of its kernel,
// "" for none.
func slotImage(t *testing.T, name, sum, number string, arrive bool) []byte {
	t.Helper()
	dir := t.TempDir()
	env := "board=test\nversion=1\nkernel=zImage\ninitrd_crc=" + crc(kernelBytes) + "\ninitrd_number=12345678\ncmdline=quiet\nboot=run arrive\narrive=echo ARRIVED ${bootargs}; reset\n"
	for key, value := range map[string]string{"kernel_crc": sum, "kernel_number": number} {
		if value != "" {
			env += key + "=" + value + "\n"
		}
	}
	if !arrive {
		env = strings.ReplaceAll(env, "; reset", "; false")
	}
	for file, data := range map[string][]byte{"slot.env": []byte(env), "zImage": kernelBytes, "initrd": kernelBytes} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return fat(t, filepath.Join(dir, name+".img"), filepath.Join(dir, "slot.env"), filepath.Join(dir, "zImage"), filepath.Join(dir, "initrd"))
}

func fat(t *testing.T, image string, files ...string) []byte {
	t.Helper()
	run(t, "mkfs.vfat", "-C", image, "1024")
	run(t, "mcopy", append(append([]string{"-i", image}, files...), "::")...)
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s(Debian: qemu-system-arm u-boot-qemu u-boot-tools mtools dosfstools)", name, err, out)
	}
}

// boot runs U-Boot with a card until it resets, and returns what it said.
func boot(t *testing.T, card string) string {
	t.Helper()
	cmd := exec.Command("qemu-system-arm", "-M", "virt", "-cpu", "cortex-a7", "-m", "128", "-nographic", "-nodefaults", "-serial", "stdio", "-monitor", "none",
		"-no-reboot", "-bios", loader, "-drive", "if=none,id=card,format=raw,file="+card, "-device", "virtio-blk-device,drive=card")
	in, keys := io.Pipe()
	cmd.Stdin = in
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A key stops the countdown of the loader; its command goes on at once.
	go func() { fmt.Fprint(keys, " \rrun bootcmd_virtio0\r"); keys.Close() }()
	dead := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer dead.Stop()
	err := cmd.Wait()
	if err != nil {
		t.Fatalf("qemu: %v\n%s", err, out.String())
	}
	return out.String()
}

// The script under U-Boot starts what the model starts, and leaves the state that it leaves.
func TestScriptIsTheModel(t *testing.T) {
	dir := t.TempDir()
	scr := filepath.Join(dir, "boot.scr")
	run(t, "mkimage", "-A", "arm", "-T", "script", "-C", "none", "-d", "../../../../buildroot/boot/boot.cmd", scr)
	bootPart := fat(t, filepath.Join(dir, "boot.img"), scr)
	sound := slotImage(t, "sound", crc(kernelBytes), "12345678", true)
	otherOrder := slotImage(t, "other-order", "12345678", crc(kernelBytes), true) // for a loader that leaves the number in memory
	wrongSum := slotImage(t, "wrong-sum", "12345678", "9abcdef0", true)
	noSum := slotImage(t, "no-sum", "", "", true) // its slot.env has lost lines
	unbootable := slotImage(t, "unbootable", crc(kernelBytes), "12345678", false)
	empty := make([]byte, slotBytes)

	starts := func(image []byte) func(care bool) bool {
		return func(care bool) bool {
			return bytes.Equal(image, sound) || bytes.Equal(image, otherOrder) || !care && (bytes.Equal(image, wrongSum) || bytes.Equal(image, noSum))
		}
	}
	good := slots.State{Seq: 9, Good: slots.A}
	goodB := slots.State{Seq: 10, Good: slots.B}
	trial := slots.State{Seq: 11, Good: slots.A, Try: slots.B, Left: 1}
	tried := trial
	tried.Left = 0
	gaveUp := tried
	gaveUp.Seq, gaveUp.Why = 12, strings.Repeat(`try=b; a "c" $d ${seq} #'ä`, 7)
	twice := slots.State{Seq: 100, Good: slots.B, Try: slots.A, Left: 2}
	for name, x := range map[string]struct {
		states [2]slots.State // the zero one is torn
		a, b   []byte
	}{
		"good a":                     {[2]slots.State{good, good}, sound, sound},
		"good b is newer":            {[2]slots.State{good, goodB}, sound, sound},
		"good b is newer, first":     {[2]slots.State{goodB, good}, sound, sound},
		"trial in the second copy":   {[2]slots.State{goodB, trial}, sound, sound},
		"trial in both copies":       {[2]slots.State{trial, trial}, sound, sound},
		"trial, first copy torn":     {[2]slots.State{{}, trial}, sound, sound},
		"trial, second copy torn":    {[2]slots.State{trial, {}}, sound, sound},
		"tried":                      {[2]slots.State{trial, tried}, sound, sound},
		"tried, first":               {[2]slots.State{tried, trial}, sound, sound},
		"gave up":                    {[2]slots.State{trial, gaveUp}, sound, sound},
		"two attempts, a":            {[2]slots.State{twice, goodB}, sound, sound},
		"trial of an empty slot":     {[2]slots.State{trial, good}, sound, empty},
		"trial, the other order":     {[2]slots.State{trial, good}, sound, otherOrder},
		"trial with a wrong sum":     {[2]slots.State{trial, good}, sound, wrongSum},
		"trial without a sum":        {[2]slots.State{trial, good}, sound, noSum},
		"good a without, b sound":    {[2]slots.State{good, good}, noSum, sound},
		"good a without, b is empty": {[2]slots.State{good, good}, noSum, empty},
		"trial that cannot start":    {[2]slots.State{trial, good}, sound, unbootable},
		"both copies torn":           {[2]slots.State{}, sound, sound},
		"both torn, only b":          {[2]slots.State{}, empty, sound},
		"good a is empty":            {[2]slots.State{good, good}, empty, sound},
		"good a damaged, b sound":    {[2]slots.State{good, good}, wrongSum, sound},
		"good a damaged, b is empty": {[2]slots.State{good, good}, wrongSum, empty},
		"nothing starts":             {[2]slots.State{good, good}, unbootable, empty},
	} {
		t.Run(name, func(t *testing.T) {
			c := slotstest.NewCard(slotBytes, slots.State{})
			d, err := slots.NewDisk(c)
			if err != nil {
				t.Fatal(err)
			}
			card := filepath.Join(dir, "card.img")
			for i, at := range []int64{slots.StateA, slots.StateB} {
				if x.states[i] != (slots.State{}) {
					text, err := x.states[i].Sector()
					if err != nil {
						t.Fatal(err)
					}
					copy(c.Bytes(slots.Extent{Start: at, Size: slots.Sector}), text)
				}
			}
			copy(c.Bytes(d.Boot()), bootPart)
			copy(c.Bytes(d.Slot(slots.A)), x.a)
			copy(c.Bytes(d.Slot(slots.B)), x.b)
			end := d.Data().Start + d.Data().Size
			if err := os.WriteFile(card, c.Bytes(slots.Extent{Size: end}), 0o644); err != nil {
				t.Fatal(err)
			}
			said := boot(t, card)
			want, err := slotstest.Load(c, func(s slots.Slot, care bool) bool {
				return starts(map[slots.Slot][]byte{slots.A: x.a, slots.B: x.b}[s])(care)
			})
			line := "no slot can be started: write the card anew"
			if err == nil {
				on := 0
				if want.Trial {
					on = 1
				}
				line = fmt.Sprintf("ARRIVED quiet parklamp.slot=%s parklamp.trial=%d parklamp.board=test", want.Slot, on)
			}
			// What did not start for another reason has said ARRIVED too, before: the last word counts.
			i := max(strings.LastIndex(said, "ARRIVED quiet"), strings.LastIndex(said, "no slot can be started"))
			if i < 0 || !strings.HasPrefix(said[i:], line) {
				t.Errorf("want %q in\n%s", line, said)
			}
			after, err := os.ReadFile(card)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int64{slots.StateA, slots.StateB} {
				got, gotErr := slots.ParseState(after[at:][:slots.Sector])
				model, modelErr := slots.ParseState(c.Bytes(slots.Extent{Start: at, Size: slots.Sector}))
				if got != model || (gotErr == nil) != (modelErr == nil) {
					t.Errorf("copy at %d: U-Boot leaves %+v (%v), the model %+v (%v)", at, got, gotErr, model, modelErr)
				}
			}
		})
	}
}
