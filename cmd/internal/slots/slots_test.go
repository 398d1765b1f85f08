package slots_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/slots/slotstest"
)

const slotSize = 64 << 10

var fresh = slots.State{Seq: 1, Good: slots.A}

func disk(t *testing.T, dev slots.Device) *slots.Disk {
	t.Helper()
	d, err := slots.NewDisk(dev)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sector makes a sector with a right checksum of any list.
func sector(list string) []byte {
	s := make([]byte, slots.Sector)
	copy(s[4:], list)
	binary.LittleEndian.PutUint32(s, crc32.ChecksumIEEE(s[4:]))
	return s
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{
		"a: unknown key\nb: is missing\n": "a: unknown key; b: is missing",
		"a\\b\tc\xff":                     "a?b?c?",
		strings.Repeat("x", 199) + "\nb":  strings.Repeat("x", 199) + ";",
		strings.Repeat("x", 198) + "\nb":  strings.Repeat("x", 198) + "; ",
	} {
		got := slots.Reason(text)
		if got != want || slots.Reason(got) != got {
			t.Errorf("%q: %q, want %q, which stays so", text, got, want)
		}
	}
}

func TestStateSector(t *testing.T) {
	for _, s := range []slots.State{fresh, {Seq: 7, Good: slots.B, Try: slots.A, Left: 1}, {Seq: 1<<31 - 1, Good: slots.A, Try: slots.B}, {Seq: 1, Good: slots.A, Why: "seq=2 not registered"},
		{Seq: 1<<31 - 1, Good: slots.B, Try: slots.A, Left: 3, Why: slots.Reason(strings.Repeat("é\n", 1000))}} {
		text, err := s.Sector()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := slots.ParseState(text); err != nil || got != s {
			t.Errorf("%+v is read as %+v, %v", s, got, err)
		}
	}
	for _, s := range []slots.State{{}, {Seq: 1}, {Seq: 1 << 31, Good: slots.A}, {Seq: 1, Good: 'c'}, {Seq: 1, Good: slots.A, Try: 'x'}, {Seq: 1, Good: slots.A, Left: 4},
		{Seq: 1, Good: slots.A, Why: "a\x00seq=9"}, {Seq: 1, Good: slots.A, Why: `\`}, {Seq: 1, Good: slots.A, Why: strings.Repeat("x", 201)}} {
		if _, err := s.Sector(); err == nil {
			t.Errorf("%+v can be written", s)
		}
	}
	for list, want := range map[string]string{
		"good=a\x00seq=1\x00left=0\x00unknown=x\x00": "",
		"good=a\x00seq=1\x00try=\x00":                "",
		"seq=1\x00":                                  `good ""`,
		"good=a\x00":                                 "seq 0",
		"good=c\x00seq=1\x00":                        `good: slot "c": must be a or b`,
		"good=a\x00seq=010\x00":                      "decimal",
		"good=a\x00seq=0x1\x00":                      "decimal",
		"good=a\x00good=b\x00seq=1\x00":              "twice",
		"good=a\x00seq=1\x00left=9\x00":              "left 9: must be 0 to 3",
		"good=a\x00seq=1\x00nothing\x00":             "must be key=value",
		strings.Repeat("x", 508):                     "has no end",
	} {
		_, err := slots.ParseState(sector(list))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", list, err, want)
		}
	}
}

// U-Boot's own tool makes the first state of a card.
func TestStateOfMkenvimage(t *testing.T) {
	tool, err := exec.LookPath("mkenvimage")
	if err != nil {
		t.Log("no mkenvimage (Debian: u-boot-tools): its output is compared where it is")
		return
	}
	cmd := exec.Command(tool, "-s", "512", "-p", "0", "-o", "-", "-")
	cmd.Stdin = strings.NewReader("good=a\nleft=0\nseq=1\n")
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := fresh.Sector()
	if !bytes.Equal(text, want) {
		t.Errorf("mkenvimage makes %q, we %q", text, want)
	}
}

func TestNewerCopyCounts(t *testing.T) {
	c := slotstest.NewCard(slotSize, fresh)
	d := disk(t, c)
	put := func(at int64, s slots.State) {
		text, err := s.Sector()
		if err != nil {
			t.Fatal(err)
		}
		copy(c.Bytes(slots.Extent{Start: at, Size: slots.Sector}), text)
	}
	trial := slots.State{Seq: 5, Good: slots.A, Try: slots.B, Left: 2}
	counted := trial
	counted.Left = 1
	for _, x := range []struct{ a, b, want slots.State }{
		{fresh, trial, trial}, {trial, fresh, trial}, {trial, counted, counted}, {counted, trial, counted}, {trial, trial, trial},
	} {
		put(slots.StateA, x.a)
		put(slots.StateB, x.b)
		if got, err := d.State(); err != nil || got != x.want {
			t.Errorf("%+v and %+v: %+v, %v", x.a, x.b, got, err)
		}
	}
	c.Bytes(slots.Extent{Start: slots.StateB, Size: slots.Sector})[77] ^= 1
	if got, err := d.State(); err != nil || got != trial {
		t.Errorf("with the second copy torn: %+v, %v", got, err)
	}
	c.Bytes(slots.Extent{Start: slots.StateA, Size: slots.Sector})[77] ^= 1
	if _, err := d.State(); !errors.Is(err, slots.ErrState) {
		t.Errorf("with both copies torn: %v", err)
	}
	if err := d.Store(slots.State{Good: slots.B}); err != nil {
		t.Fatal(err)
	}
	if got, err := d.State(); err != nil || got.Good != slots.B || got.Seq != 1 {
		t.Errorf("stored over two torn copies: %+v, %v", got, err)
	}
}

// At every cut of a Store the state is the old one or the new one, and the next Store works.
func TestStoreSurvivesCuts(t *testing.T) {
	for seed := range uint64(120) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := slotstest.NewCard(slotSize, fresh)
		d := disk(t, c)
		old := fresh
		for round := range 6 {
			next := slots.State{Good: slots.A, Try: slots.B, Left: r.IntN(4)}
			if r.IntN(2) == 0 {
				next = slots.State{Good: slots.B}
			}
			c.PowerFor(1 + r.IntN(5))
			err := d.Store(next)
			c.Cut(r)
			got, stateErr := d.State()
			next.Seq = old.Seq + 1
			if stateErr != nil || got != next && (err == nil || got != old) {
				t.Fatalf("seed %d, round %d: %+v, %v after a store (%v) of %+v over %+v", seed, round, got, stateErr, err, next, old)
			}
			old = got
		}
	}
}

// A card that takes writes and forgets them is told.
type forgetful struct{ *slotstest.Card }

func (forgetful) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func TestStoreOnAWornCard(t *testing.T) {
	err := disk(t, forgetful{slotstest.NewCard(slotSize, fresh)}).Store(slots.State{Good: slots.B})
	if err == nil || !strings.Contains(err.Error(), "worn out") {
		t.Errorf("%v", err)
	}
}

func TestLoader(t *testing.T) {
	all := func(slots.Slot, bool) bool { return true }
	only := func(s slots.Slot) func(slots.Slot, bool) bool {
		return func(t slots.Slot, _ bool) bool { return s == t }
	}
	trial := slots.State{Seq: 3, Good: slots.A, Try: slots.B, Left: 1}
	for name, x := range map[string]struct {
		s      slots.State
		starts func(slots.Slot, bool) bool
		want   []slots.Boot // one boot after another
	}{
		"good":            {slots.State{Seq: 3, Good: slots.B}, all, []slots.Boot{{Slot: slots.B}, {Slot: slots.B}}},
		"trial once":      {trial, all, []slots.Boot{{Slot: slots.B, Trial: true}, {Slot: slots.A}, {Slot: slots.A}}},
		"trial unsound":   {trial, only(slots.A), []slots.Boot{{Slot: slots.A}}},
		"good unsound":    {slots.State{Seq: 3, Good: slots.A}, only(slots.B), []slots.Boot{{Slot: slots.B}}},
		"no state":        {slots.State{}, all, []slots.Boot{{Slot: slots.A}}},
		"no state, b":     {slots.State{}, only(slots.B), []slots.Boot{{Slot: slots.B}}},
		"damaged but all": {fresh, func(s slots.Slot, care bool) bool { return !care && s == slots.B }, []slots.Boot{{Slot: slots.B}}},
	} {
		c := slotstest.NewCard(slotSize, x.s)
		for i, want := range x.want {
			if got, err := slotstest.Load(c, x.starts); err != nil || got != want {
				t.Errorf("%s, boot %d: %+v, %v; want %+v", name, i, got, err, want)
			}
		}
	}
	if _, err := slotstest.Load(slotstest.NewCard(slotSize, fresh), func(slots.Slot, bool) bool { return false }); !errors.Is(err, slotstest.ErrBricked) {
		t.Errorf("no slot starts: %v", err)
	}
}

// A sector of a card in a file, past the kernel's memory where the file system lets us, and what lies beside it stays.
func TestWriteSector(t *testing.T) {
	c := slotstest.NewCard(slotSize, fresh)
	whole := c.Bytes(slots.Extent{Size: slots.BootStart + 2*slotSize + 2<<20})
	path := filepath.Join(t.TempDir(), "card")
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := slots.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	want := bytes.Clone(whole)
	at := d.Slot(slots.B).Start + slots.Sector
	for i := range byte(3) { // each read leaves the page in the kernel's memory
		sector := bytes.Repeat([]byte{i + 1}, slots.Sector)
		copy(want[at:], sector)
		if err := d.WriteSector(sector, at); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("write %d: the card is not what it should be, %v", i, err)
		}
	}
	if err := d.WriteSector(make([]byte, slots.Sector), at+1); err == nil {
		t.Error("between two sectors")
	}
	if err := d.WriteSector(make([]byte, 2*slots.Sector), at); err == nil {
		t.Error("two sectors")
	}
}

func TestLayoutRefused(t *testing.T) {
	c := slotstest.NewCard(slotSize, fresh)
	mbr := c.Bytes(slots.Extent{Size: slots.Sector})
	for name, spoil := range map[string]func(){
		"no table":     func() { mbr[511] = 0 },
		"other start":  func() { mbr[446+8]++ },
		"no slot b":    func() { copy(mbr[446+32+12:], make([]byte, 4)) },
		"overlap":      func() { mbr[446+32+8]-- },
		"unlike slots": func() { mbr[446+32+12]++; mbr[446+48+8]++ },
	} {
		was := bytes.Clone(mbr)
		spoil()
		if _, err := slots.NewDisk(c); !errors.Is(err, slots.ErrLayout) {
			t.Errorf("%s: %v", name, err)
		}
		copy(mbr, was)
	}
}

func TestCommandLine(t *testing.T) {
	got, err := slots.ParseCommandLine("console=ttyAMA0 parklamp.slot=b parklamp.trial=1 parklamp.board=rpi-4\n")
	if want := (slots.Boot{Slot: slots.B, Trial: true, Board: "rpi-4"}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	want := slots.Boot{Board: "rpi-4"}
	if got, err := slots.ParseCommandLine("console=tty1 parklamp.trial=1 parklamp.board=rpi-4"); !errors.Is(err, slots.ErrNoSlot) || got != want {
		t.Errorf("no slot: %+v, %v", got, err)
	}
	if got, err := slots.ParseCommandLine("parklamp.slot=c parklamp.trial=1 parklamp.board=rpi-4"); err == nil || errors.Is(err, slots.ErrNoSlot) || got != want {
		t.Errorf("slot c: %+v, %v", got, err)
	}
	if got, err := slots.ParseCommandLine("parklamp.slot=a parklamp.trial=yes"); err != nil || got != (slots.Boot{Slot: slots.A}) {
		t.Errorf("trial: %+v, %v", got, err)
	}
}

// Among disks of others, the one with the state is found; without a state, the one with the signature.
func TestFind(t *testing.T) {
	root := t.TempDir()
	names := []string{"mmcblk0", "mmcblk0boot0", "ram0", "sda", "sdb"}
	for _, n := range names {
		if err := os.MkdirAll(filepath.Join(root, "sys/block", n), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dev := filepath.Join(root, "dev")
	if err := os.Mkdir(dev, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dev, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	find := func() (string, error) {
		d, err := slots.Find(filepath.Join(root, "sys"), dev)
		if err != nil {
			return "", err
		}
		defer d.Close()
		return filepath.Base(d.Path), nil
	}
	write("sda", make([]byte, 1<<20))
	if _, err := find(); !errors.Is(err, slots.ErrNoCard) || !strings.Contains(err.Error(), "sda") {
		t.Errorf("no card: %v", err)
	}
	c := slotstest.NewCard(slotSize, fresh)
	whole := c.Bytes(slots.Extent{Size: slots.BootStart + 2*slotSize + 2<<20})
	write("sdb", whole)
	if got, err := find(); err != nil || got != "sdb" {
		t.Errorf("found %s, %v", got, err)
	}
	clear(whole[slots.StateA:][:slots.Sector])
	clear(whole[slots.StateB:][:slots.Sector])
	write("mmcblk0", whole)
	if got, err := find(); err != nil || got != "sdb" {
		t.Errorf("found %s before the one with a state, %v", got, err)
	}
	write("sdb", nil)
	if got, err := find(); err != nil || got != "mmcblk0" {
		t.Errorf("found %s by its signature, %v", got, err)
	}
	d := slots.Disk{Path: "/dev/mmcblk0"}
	if got, _ := d.PartitionPath(4); got != "/dev/mmcblk0p4" {
		t.Error(got)
	}
	d.Path = "/dev/vda"
	if got, _ := d.PartitionPath(2); got != "/dev/vda2" {
		t.Error(got)
	}
}

// The boot script and the template of the card have the same places as this package.
func TestPlacesAgree(t *testing.T) {
	script, err := os.ReadFile("../../../buildroot/boot/boot.cmd")
	if err != nil {
		t.Fatal(err)
	}
	a, b := strconv.FormatInt(slots.StateA/slots.Sector, 16), strconv.FormatInt(slots.StateB/slots.Sector, 16)
	for _, want := range []string{"for place in " + a + " " + b + ";", "-c -s " + strconv.FormatInt(slots.Sector, 16) + " ",
		`= b; then setenv from ${devtype} ${devnum}:` + strconv.Itoa(slots.B.Partition()), "else setenv from ${devtype} ${devnum}:" + strconv.Itoa(slots.A.Partition())} {
		if !strings.Contains(string(script), want) {
			t.Errorf("boot.cmd has no %q", want)
		}
	}
	template, err := os.ReadFile("../../../buildroot/genimage.cfg")
	if err != nil {
		t.Fatal(err)
	}
	// of is what the template says of a partition, in bytes.
	of := func(part, what string) int64 {
		found := regexp.MustCompile(`(?s)partition ` + part + ` \{[^}]*` + what + ` = (\d+)(M?)\n`).FindSubmatch(template)
		if found == nil {
			t.Fatalf("genimage.cfg has no %s of %s", what, part)
		}
		n, _ := strconv.ParseInt(string(found[1]), 10, 64)
		if len(found[2]) > 0 {
			n <<= 20
		}
		return n
	}
	for part, want := range map[string]int64{"state-a": slots.StateA, "state-b": slots.StateB, "boot": slots.BootStart} {
		if got := of(part, "offset"); got != want {
			t.Errorf("genimage.cfg has %s at %d, want %d", part, got, want)
		}
	}
	if a, b := of("slot-a", "size"), of("slot-b", "size"); a != b {
		t.Errorf("genimage.cfg: slot a has %d bytes and slot b %d", a, b)
	}
	if want := "disk-signature = 0x" + strconv.FormatInt(slots.Signature, 16); !strings.Contains(string(template), want) {
		t.Errorf("genimage.cfg has no %s", want)
	}
	images, err := os.ReadFile("../../../buildroot/scripts/post-image.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("fat boot.img %d BOOT", of("boot", "size")>>20),
		fmt.Sprintf("data.img %dM ", of("data", "size")>>20),
		"mkenvimage -s " + strconv.Itoa(slots.Sector) + " -p 0 -o state.bin",
	} {
		if !strings.Contains(string(images), want) {
			t.Errorf("post-image.sh has no %q", want)
		}
	}
	// The state of a new card, as a text for mkenvimage there, is the one that this package reads.
	first := regexp.MustCompile(`printf '([^']*)' \| mkenvimage`).FindSubmatch(images)
	if first == nil {
		t.Fatal("post-image.sh makes no state")
	}
	sector := make([]byte, slots.Sector)
	copy(sector[4:], strings.ReplaceAll(string(first[1]), `\n`, "\x00"))
	binary.LittleEndian.PutUint32(sector, crc32.ChecksumIEEE(sector[4:]))
	if got, err := slots.ParseState(sector); err != nil || got != (slots.State{Seq: 1, Good: slots.A}) {
		t.Errorf("the state of a new card is %+v, %v", got, err)
	}
	system := regexp.MustCompile(`fat slot\.img (\d+) SLOT`).FindSubmatch(images)
	if system == nil {
		t.Fatal("post-image.sh makes no system")
	}
	if n, _ := strconv.ParseInt(string(system[1]), 10, 64); n<<20 > of("slot-a", "size") {
		t.Errorf("a system of %d MiB does not fit its slot", n)
	}
}

func FuzzParseState(f *testing.F) {
	for _, s := range []slots.State{fresh, {Seq: 7, Good: slots.B, Try: slots.A, Left: 1, Why: "no peer"}} {
		text, _ := s.Sector()
		f.Add(text[4:])
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		if len(list) > slots.Sector-4 {
			return
		}
		s, err := slots.ParseState(sector(string(list)))
		if err != nil {
			return
		}
		text, err := s.Sector()
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", s, err)
		}
		if again, err := slots.ParseState(text); err != nil || again != s {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}
