package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parklamp/cmd/internal/fleet"
	"parklamp/cmd/internal/mbr"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/update"
)

var day = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// medium is a card in memory with faults of real ones.
type medium struct {
	data   []byte
	real   int64           // a fake card: addresses beyond wrap
	failAt int64           // a write to here fails; 0: none
	stale  map[int64]byte  // what reads back otherwise
	onByte func(off int64) // called before each write
	order  []int64         // of the writes
}

var errIO = errors.New("input/output error")

func (m *medium) WriteAt(p []byte, off int64) (int, error) {
	if m.onByte != nil {
		m.onByte(off)
	}
	m.order = append(m.order, off)
	if m.failAt > 0 && off <= m.failAt && m.failAt < off+int64(len(p)) {
		return 0, errIO
	}
	if m.real > 0 {
		off %= m.real
	}
	return copy(m.data[off:], p), nil
}

func (m *medium) Sync() error { return nil }

func (m *medium) Reread(p []byte, off int64) (int, error) {
	at := off
	if m.real > 0 {
		at %= m.real
	}
	n := copy(p, m.data[at:])
	for bad, value := range m.stale {
		if off <= bad && bad < off+int64(n) {
			p[bad-off] = value
		}
	}
	return n, nil
}

// testCard is bytes that have no period.
func testCard(size int) []byte {
	r, card := rand.New(rand.NewPCG(1, 2)), make([]byte, size)
	for i := range card {
		card[i] = byte(r.Uint32())
	}
	return card
}

func silent(string, int64, int64) {}

func TestFlash(t *testing.T) {
	for _, size := range []int{headSize / 2, headSize, 3*chunk + 512} {
		want := testCard(size)
		m := &medium{data: bytes.Repeat([]byte{0xa5}, size+chunk)}
		if err := flash(t.Context(), m, bytes.NewReader(want), int64(size), silent); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.data[:size], want) {
			t.Errorf("%d bytes: another content", size)
		}
		if m.data[size] != 0xa5 {
			t.Errorf("%d bytes: wrote beyond the image", size)
		}
		if last := m.order[len(m.order)-1]; m.order[0] != 0 || last != 0 {
			t.Errorf("%d bytes: written in the order %v, want the begin wiped first and written last", size, m.order)
		}
	}
}

// Whatever goes wrong, the card starts nothing and people are told.
func TestFlashFails(t *testing.T) {
	const size = 3 * chunk
	for name, c := range map[string]struct {
		medium medium
		image  int64 // bytes that it has; 0: size
		cancel int64 // before the write of this offset
		want   []error
		text   string
	}{
		"write error":       {medium: medium{failAt: 2 * chunk}, want: []error{errIO, errUnusable}},
		"fake card":         {medium: medium{real: 2 * chunk}, want: []error{errReread, errUnusable}},
		"bad cell":          {medium: medium{stale: map[int64]byte{2*chunk + 7: 0}}, want: []error{errReread, errUnusable}},
		"bad cell in front": {medium: medium{stale: map[int64]byte{510: 0xfe}}, want: []error{errReread, errUnusable}},
		"short image":       {image: size - 512, want: []error{io.EOF, errUnusable}, text: "read the image"},
		"interrupted":       {cancel: headSize + chunk, want: []error{errUnusable}, text: "interrupted"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		m := c.medium
		m.data = testCard(size + chunk)
		if c.cancel > 0 {
			m.onByte = func(off int64) {
				if off == c.cancel {
					cancel()
				}
			}
		}
		image := testCard(size)
		image[510] = 0x55
		if c.image > 0 {
			image = image[:c.image]
		}
		err := flash(ctx, &m, bytes.NewReader(image), size, silent)
		cancel()
		for _, want := range c.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
		if err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s", name, err, c.text)
		}
		if !bytes.Equal(m.data[:512], make([]byte, 512)) {
			t.Errorf("%s: the card has a partition table", name)
		}
	}
}

// newImage makes out/image/rpi/card.img with a boot partition and facts of the boards, in a folder.
func newImage(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const bootAt, bootSize, size = 4 << 20, 4 << 20, 12 << 20
	image := testCard(size)
	clear(image[:mbr.SectorSize])
	mbr.Table{Partitions: [4]mbr.Partition{{Type: 0x0e, Start: bootAt, Size: bootSize}, {Type: 0x83, Start: bootAt + bootSize, Size: size - bootAt - bootSize}}}.Put(image)
	boot := filepath.Join(dir, "boot.img")
	if err := os.WriteFile(boot, make([]byte, bootSize), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mtool(t.Context(), "mformat", "-i", boot, "-v", "BOOT", "::"); err != nil {
		t.Fatal(err)
	}
	fat, err := os.ReadFile(boot)
	if err != nil {
		t.Fatal(err)
	}
	copy(image[bootAt:], fat)
	for path, data := range map[string][]byte{
		"image/rpi/card.img": image, "boards/rpi.env": []byte("BOARDS=\"rpi-zero-2w rpi-3\"\n"), "boards/qemu-virt.env": nil,
	} {
		os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, path), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// newFleet makes a site with dock-7 and dock-8.
func newFleet(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hall")
	if err := fleet.New(dir, "hall", day); err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"dock-7", "dock-8"} {
		a := fleet.Appliance{ID: id, Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(7 + i)}), Board: "rpi-3"}
		if _, err := fleet.Add(dir, a, day); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run is one command line; answers is what is typed.
func run(t *testing.T, dir string, m machine, answers string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	f := flasher{machine: m, in: bufio.NewReader(strings.NewReader(answers)), out: &out, now: func() time.Time { return day },
		wait: time.Millisecond, facts: filepath.Join(dir, "boards"), images: filepath.Join(dir, "image")}
	err := f.run(t.Context(), args)
	return out.String(), err
}

func TestFile(t *testing.T) {
	dir, site := newImage(t), newFleet(t)
	to := filepath.Join(dir, "card-7.img")
	if err := os.WriteFile(to, nil, 0o644); err != nil { // it was there, and everybody could read it
		t.Fatal(err)
	}
	out, err := run(t, dir, machine{"/"}, "", "-board", "rpi-3", "-dev", to, "-site", site, "-id", "dock-7")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"for dock-7, goes onto\n  file " + to, "writing      [########################################] 100 %", "reading back [###", "Done: 12.6 MB written and read back"} {
		if !strings.Contains(out, want) {
			t.Errorf("printed\n%slacks %s", out, want)
		}
	}
	image, _ := os.ReadFile(filepath.Join(dir, "image/rpi/card.img"))
	got, _ := os.ReadFile(to)
	if len(got) != len(image) || !bytes.Equal(got[:4<<20], image[:4<<20]) || !bytes.Equal(got[8<<20:], image[8<<20:]) {
		t.Error("outside the boot partition the card is not the image")
	}
	// What is on the card is what the site has, and right.
	card := filepath.Join(t.TempDir(), provision.Folder)
	if _, err := mtool(t.Context(), "mcopy", "-s", "-i", to+"@@4M", "::/"+provision.Folder, card); err != nil {
		t.Fatal(err)
	}
	set, err := provision.Read(card, fleet.Checks())
	if err != nil || set.Identity.ID != "dock-7" || set.File(provision.KeyFile) == nil {
		t.Errorf("on the card: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "parklamp-flash-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	key, _ := os.ReadFile(filepath.Join(site, "appliances/dock-7", provision.KeyFile))
	if strings.Contains(out, string(key[30:60])) {
		t.Error("the key was printed")
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the card with the key: %v, %v", info.Mode(), err)
	}
	// Without an identity it is the image.
	if _, err := run(t, dir, machine{"/"}, "", "-board", "rpi", "-dev", to); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(to); !bytes.Equal(got, image) {
		t.Error("without an identity the card is not the image")
	}
}

func TestRefusals(t *testing.T) {
	dir, site := newImage(t), newFleet(t)
	m := newMachine(t)
	to := filepath.Join(dir, "card.img")
	if err := os.MkdirAll(m.at(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args    string
		answers string
		want    string
	}{
		"no board":        {"-dev /dev/mmcblk0", "", "BOARD is missing"},
		"board or not":    {"-dev " + to, "", "BOARD is missing: name the board, such as BOARD=rpi-3; images are made of rpi, and BOARD=qemu-virt is that for the emulator"},
		"nobody's board":  {"-dev " + to + " -site " + site + " -id dock-9", "", "site.toml does not say what dock-9 is"},
		"unknown board":   {"-board rpi-9 -dev " + to, "", "BOARD=rpi-9: there are qemu-virt, rpi, rpi-3, rpi-zero-2w"},
		"no image":        {"-board qemu-virt -dev " + to, "", "'make image BOARD=qemu-virt' makes it"},
		"no device":       {"-board rpi", "", "DEV is missing"},
		"neither":         {"", "", "BOARD is missing: name the board, such as BOARD=rpi-3\nDEV is missing"},
		"no board, disk":  {"-dev /dev/sdz", "", "BOARD is missing: name the board, such as BOARD=rpi-3\nstat "},
		"no such image":   {"-image mine.img -dev " + to, "", "there is no mine.img"},
		"no folder":       {"-board rpi -dev " + to + ".d/card.img", "", "card.img.d: no such file"},
		"half an id":      {"-board rpi -dev " + to + " -id dock-7", "", "SITE and ID belong together"},
		"nobody":          {"-board rpi-3 -dev " + to + " -site " + site + " -id dock-9", "", "has no appliance dock-9; 'parkctl site add"},
		"another board":   {"-board rpi-zero-2w -dev " + to + " -site " + site + " -id dock-7", "", "dock-7 is a rpi-3 in site.toml; BOARD=rpi-zero-2w is another"},
		"allowed what":    {"-board rpi -dev " + to + " -allow mounted", "", "ALLOW=mounted: allowed are internal and large"},
		"mounted":         {"-board rpi -dev /dev/sdb", "sdb\n", "mounted on /media/me/boot"},
		"said no":         {"-board rpi -dev /dev/mmcblk0", "no\n", `nothing was written: "no" is not "mmcblk0"`},
		"said nothing":    {"-board rpi -dev /dev/mmcblk0", "", "nothing was written"},
		"another's name":  {"-board rpi -dev /dev/mmcblk0", "sdb\n", "nothing was written"},
		"not an image":    {"-image " + filepath.Join(site, "site.toml") + " -dev " + to, "", "is no image of a card"},
		"many, no site":   {"-board rpi -csv x.csv", "", "SITE is missing"},
		"many, no file":   {"-board rpi -csv none.csv -site " + site, "", "none.csv"},
		"unknown disk":    {"-board rpi -dev /dev/sdz", "", "no such file"},
		"a file in /dev/": {"-board rpi -dev /dev/new", "", "no such file"},
	} {
		out, err := run(t, dir, m, c.answers, strings.Fields(c.args)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || name == "no such image" && strings.Contains(err.Error(), "make image") {
			t.Errorf("%s: %v\nwant %s\n%s", name, err, c.want, out)
		}
		if strings.Contains(out, "goes onto") && !strings.HasPrefix(name, "said") && name != "another's name" {
			t.Errorf("%s: was refused after all was settled:\n%s", name, out)
		}
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a refused run has written a file")
	}
}

// Nobody is asked about a file: what is no card stays, and so does what the card is made from.
func TestFileThatIsNoCard(t *testing.T) {
	dir, m := newImage(t), newMachine(t)
	image := filepath.Join(dir, "image/rpi/card.img")
	before, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, err := range []error{os.Symlink(image, "link.img"), os.Link(image, "hard.img"), os.Symlink("none.img", "nowhere.img"), os.Symlink("/dev/null", "null"),
		os.WriteFile("precious.txt", []byte("precious\n"), 0o600), os.WriteFile("precious.img", testCard(2*headSize), 0o600),
		os.WriteFile("late.img", append(make([]byte, 64<<10), 1), 0o600), os.WriteFile("empty", nil, 0o600), os.WriteFile("zeros.img", make([]byte, headSize+9), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ dev, want string }{
		{image, "is the image that the card is made from"},
		{"image/rpi/../rpi/card.img", "is the image that the card is made from"},
		{"link.img", "is the image that the card is made from"},
		{"hard.img", "is the image that the card is made from"},
		{"nowhere.img", "is a link to a file that is not there"},
		{"null", "is neither a file nor a disk"},
		{"precious.txt", "holds something else than the image of a card"},
		{"precious.img", "holds something else than the image of a card"},
		{"late.img", "holds something else than the image of a card"},
		{"empty", "must end in .img, such as empty.img"},
		{"new", "must end in .img, such as new.img"},
		{"zeros.img", ""},
		{"new.img", ""},
		{"new.img", ""},
	} {
		if _, err := run(t, dir, machine{"/"}, "", "-board", "rpi", "-dev", c.dev); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.dev, err, c.want)
		}
	}
	if _, err := run(t, dir, m, "", "-board", "rpi", "-dev", "sdb"); err == nil || !strings.Contains(err.Error(), "sdb is no path of a disk: name it with its folder, /dev/sdb") {
		t.Error(err)
	}
	if after, _ := os.ReadFile(image); !bytes.Equal(after, before) {
		t.Error("the image was written")
	}
}

// Where no board is named, it is the site's, or a file for the emulator if that has the only image.
func TestGuessedBoard(t *testing.T) {
	dir, site := newImage(t), newFleet(t)
	to := filepath.Join(dir, "card.img")
	out, err := run(t, dir, machine{"/"}, "", "-dev", to, "-site", site, "-id", "dock-7")
	if err != nil || !strings.Contains(out, "dock-7 is a rpi-3 in site.toml") || !strings.Contains(out, "card.img (rpi-3), for dock-7, goes onto") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(dir, "image/rpi"), filepath.Join(dir, "image/qemu-virt")); err != nil {
		t.Fatal(err)
	}
	out, err = run(t, dir, machine{"/"}, "", "-dev", to)
	if err != nil || !strings.Contains(out, "taken to be for the emulator, BOARD=qemu-virt") || !strings.Contains(out, "card.img (qemu-virt), for an appliance without identity") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A definition of one's own is for the board that it is made from: that is the card it gets, and no other.
func TestBoardOfItsOwn(t *testing.T) {
	dir, site := newImage(t), newFleet(t)
	for _, a := range []fleet.Appliance{{ID: "dock-9", Board: "dock.toml"}, {ID: "sim-1", Board: "desk.toml"}} {
		if _, err := os.Stat(filepath.Join(site, a.Board)); err != nil {
			text := map[string]string{"dock.toml": "name = 'dock'\nfrom = ['rpi-3', 'leds-74hc595']\n[keys]\nmute = false\n", "desk.toml": "name = 'sim'\nfrom = 'desk'\n"}[a.Board]
			if err := os.WriteFile(filepath.Join(site, a.Board), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := fleet.Add(site, a, day); err != nil {
			t.Fatal(err)
		}
	}
	to, list := filepath.Join(dir, "card.img"), filepath.Join(dir, "fleet.csv")
	os.WriteFile(list, fmt.Appendf(nil, "id,device\ndock-9,%s\n", to), 0o644)
	one, many := " -dev "+to+" -id dock-9", " -csv "+list
	for args, want := range map[string]struct{ out, err string }{
		one:                          {out: "BOARD is not named: dock-9 is a rpi-3 (dock.toml) in site.toml."},
		"-board rpi" + one:           {out: "card.img (rpi), for dock-9, goes onto"},
		"-board qemu-virt" + one:     {err: "dock-9 is a rpi-3 (dock.toml) in site.toml; BOARD=qemu-virt is another"},
		many:                         {out: "card.img (rpi-3), for dock-9, goes onto"},
		"-board qemu-virt" + many:    {err: "fleet.csv:2: dock-9 is a rpi-3 (dock.toml) in site.toml; BOARD=qemu-virt is another"},
		" -dev " + to + " -id sim-1": {err: "BOARD is missing: name the board, such as BOARD=rpi-3; desk.toml does not say what sim-1 is: from = \"rpi-3\" there would"},
		"-board dock.toml" + one:     {out: "card.img (rpi-3), for dock-9, goes onto"},
		"-board " + filepath.Join(site, "dock.toml") + one: {out: "card.img (rpi-3), for dock-9, goes onto"},
		"-board dock.toml" + many:                          {out: "card.img (rpi-3), for dock-9, goes onto"},
		"-board other.toml" + one:                          {err: "BOARD=other.toml: the card gets the definition that site.toml names: put the file into " + site + ", and board = \"other.toml\" for dock-9 into "},
		"-board other.toml" + many:                         {err: "fleet.csv:2: BOARD=other.toml: the card gets the definition that site.toml names"},
		"-board dock.toml -dev " + to:                      {err: "BOARD=dock.toml: a definition comes onto the card with the files of a site that names it"},
		"-board dock.toml -dev " + to + " -id nobody":      {err: "has no appliance nobody"},
		"-board desk.toml -dev " + to + " -id sim-1":       {err: "BOARD is missing: name the board, such as BOARD=rpi-3; desk.toml does not say what sim-1 is"},
		"-board rpi-zero-2w" + one:                         {err: "BOARD=rpi-zero-2w is another"},
		"-board rpi -dev " + to + " -id sim-1":             {out: "for sim-1, goes onto"},
	} {
		if err := os.MkdirAll(filepath.Join(dir, "image/qemu-virt"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(filepath.Join(dir, "image/rpi/card.img"), filepath.Join(dir, "image/qemu-virt/card.img")); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
		out, err := run(t, dir, machine{"/"}, "", append(strings.Fields(args), "-site", site)...)
		if want.err == "" && (err != nil || !strings.Contains(out, want.out)) || want.err != "" && (err == nil || !strings.Contains(err.Error(), want.err)) {
			t.Errorf("%s: %v, want %+v\n%s", args, err, want, out)
		}
	}
	// Where images of several boards are made, a file for nobody may be for any of them: all are named.
	_, err := run(t, dir, machine{"/"}, "", "-dev", to)
	if err == nil || !strings.Contains(err.Error(), "images are made of qemu-virt, rpi, and BOARD=qemu-virt is that for the emulator") {
		t.Error(err)
	}
}

// An image that is not what its maker wrote down is not written.
func TestImageWithFacts(t *testing.T) {
	dir := newImage(t)
	facts := filepath.Join(dir, "image/rpi/image.json")
	os.WriteFile(facts, []byte(`{"files": [{"name": "card.img", "sha256": "00"}]}`), 0o644)
	if _, err := run(t, dir, machine{"/"}, "", "-board", "rpi", "-dev", filepath.Join(dir, "x.img")); err == nil || !strings.Contains(err.Error(), "not what image.json says") {
		t.Error(err)
	}
}

// Whose updates an appliance takes is told where it is not its site's alone.
func TestKeyOfUpdates(t *testing.T) {
	dir, site := newImage(t), newFleet(t)
	card, err := os.ReadFile(filepath.Join(dir, "image/rpi/card.img"))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(filepath.Join(site, "update.pub"))
	if err != nil {
		t.Fatal(err)
	}
	own := update.ShowKey(update.ParseKeys(pub)[0])
	for name, c := range map[string]struct{ key, site, want string }{
		"none":         {"", "", "takes no updates until it has the files of a site"},
		"the image's":  {own, "", "the key of the image has signed, " + own},
		"the site's":   {"", site, ""},
		"the same":     {own, site, ""},
		"another site": {"other", site, "The image has another key for updates than the site, other: the appliance takes those of the site alone."},
	} {
		facts := fmt.Sprintf(`{"update_key": %q, "files": [{"name": "card.img", "sha256": "%x"}]}`, c.key, sha256.Sum256(card))
		if err := os.WriteFile(filepath.Join(dir, "image/rpi/image.json"), []byte(facts), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"-board", "rpi-3", "-dev", filepath.Join(dir, "x.img")}
		if c.site != "" {
			args = append(args, "-site", c.site, "-id", "dock-7")
		}
		out, err := run(t, dir, machine{"/"}, "", args...)
		if err != nil || !strings.Contains(out, c.want) || c.want == "" && strings.Contains(out, "updates") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestMany(t *testing.T) {
	dir, site := newImage(t), newFleet(t)
	list := filepath.Join(dir, "fleet.csv")
	one := filepath.Join(dir, "7.img")
	os.WriteFile(list, fmt.Appendf(nil, "\ufeffID, device\n# the dock\ndock-8,/dev/mmcblk0\ndock-7, %s\n", one), 0o644)
	m := newMachine(t)
	m.put(t, dir+"/fleet.csv", "") // the folder of the file, as that machine has it
	out, err := run(t, dir, m, "no\n", "-board", "rpi-3", "-csv", list, "-site", site)
	if err == nil || !strings.Contains(err.Error(), "1 of 2 cards are not written: dock-8") || !strings.Contains(out, "2 of 2: dock-7") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(m.at(one)); err != nil {
		t.Error("one that fails has stopped the others")
	}
}

// A wrong disk, two names of one, and a board that has no image are found before the first card is touched.
func TestManyLooksFirst(t *testing.T) {
	dir, site := newImage(t), newFleet(t)
	list, card := filepath.Join(dir, "fleet.csv"), filepath.Join(dir, "7.img")
	folder := filepath.Join(t.TempDir(), "here")
	if err := os.Symlink(dir, folder); err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.Add(site, fleet.Appliance{ID: "dock-9"}, day); err != nil {
		t.Fatal(err)
	}
	names := strings.NewReplacer("CARD", card, "DIR", dir, "LINK", folder)
	for name, c := range map[string]struct{ text, want string }{
		"in use":         {"id,device\ndock-7,CARD\ndock-8,/dev/sdb\n", "fleet.csv:3: /dev/sdb is in use: mounted on /media/me/boot"},
		"no such disk":   {"id,device\ndock-7,CARD\ndock-8,/dev/sdz\n", "fleet.csv:3: stat"},
		"no such folder": {"id,device\ndock-7,CARD\ndock-8,DIR/none/8.img\n", "fleet.csv:3: write DIR/none: no such file"},
		"two names":      {"id,device\ndock-7,CARD\ndock-8,DIR/./7.img\n", "fleet.csv:3: DIR/./7.img is in line 2 already, by another name"},
		"through links":  {"id,device\ndock-7,CARD\ndock-8,LINK/7.img\n", "fleet.csv:3: LINK/7.img is in line 2 already"},
		"two of a disk":  {"id,device\ndock-7,/dev/mmcblk0\ndock-8,/dev/card\n", "fleet.csv:3: /dev/card is in line 2 already"},
		"another board":  {"id,device,board\ndock-7,CARD,\ndock-8,next card,rpi-9\n", "fleet.csv:3: BOARD=rpi-9: there are"},
		"not the site's": {"id,device,board\ndock-7,CARD,\ndock-8,next card,qemu-virt\n", "fleet.csv:3: dock-8 is a rpi-3 in site.toml; BOARD=qemu-virt is another"},
		"no image":       {"id,device,board\ndock-7,CARD,\ndock-9,next card,qemu-virt\n", "fleet.csv:3: there is no"},
	} {
		os.WriteFile(list, []byte(names.Replace(c.text)), 0o644)
		m := machine{"/"}
		if strings.Contains(c.text, "/dev/") {
			m = newMachine(t)
			if err := os.Symlink(m.at("dev/mmcblk0"), m.at("dev/card")); err != nil {
				t.Fatal(err)
			}
		}
		out, err := run(t, dir, m, "mmcblk0\n", "-csv", list, "-site", site)
		if want := names.Replace(c.want); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s\n%s", name, err, want, out)
		}
		if _, err := os.Stat(card); err == nil {
			t.Fatalf("%s: the first card was written", name)
		}
	}
}

// Each row's board is its own: the column counts, then BOARD, then site.toml. One that site.toml does not have is found before
// the first card is touched.
func TestManyBoards(t *testing.T) {
	dir, site := newImage(t), newFleet(t)
	list, image, seven := filepath.Join(dir, "fleet.csv"), filepath.Join(dir, "image/rpi/card.img"), filepath.Join(dir, "7.img")
	for args, want := range map[string]string{"": "(rpi-3), for dock-7", "-board rpi": "(rpi), for dock-7", "-board rpi-zero-2w": "", "-image " + image: "(rpi-3), for dock-7"} {
		os.WriteFile(list, fmt.Appendf(nil, "id,device,board\ndock-8,%s,rpi-3\ndock-7,%s,\n", filepath.Join(dir, "8.img"), seven), 0o644)
		out, err := run(t, dir, machine{"/"}, "", append(strings.Fields(args), "-csv", list, "-site", site)...)
		if want != "" && (err != nil || !strings.Contains(out, want) || !strings.HasSuffix(out, "\nAll cards are written: 2.\n") || !strings.Contains(out, "card.img (rpi-3), for dock-8, goes onto")) {
			t.Errorf("%q: %v: lacks %s\n%s", args, err, want, out)
		}
		if want == "" && (err == nil || !strings.Contains(err.Error(), "fleet.csv:3: dock-7 is a rpi-3 in site.toml; BOARD=rpi-zero-2w is another") || strings.Contains(out, "dock-8")) {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

// An image that lacks the end of a partition is not written, whatever was on the card.
func TestCutImage(t *testing.T) {
	dir := newImage(t)
	cut, to := filepath.Join(dir, "cut.img"), filepath.Join(dir, "x.img")
	image, err := os.ReadFile(filepath.Join(dir, "image/rpi/card.img"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, image[:10<<20], 0o644); err != nil { // the boot partition is whole
		t.Fatal(err)
	}
	if _, err := run(t, dir, machine{"/"}, "", "-image", cut, "-dev", to); err == nil || !strings.Contains(err.Error(), "is cut off: partition 2 ends at 12.6 MB, the file at 10.5 MB") {
		t.Error(err)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("it was written all the same")
	}
}

// One image is for several boards: it may be named in place of each, and a board has the one that is made.
func TestImageOfSeveralBoards(t *testing.T) {
	dir, site := newImage(t), newFleet(t)
	to := filepath.Join(dir, "x.img")
	if out, err := run(t, dir, machine{"/"}, "", "-board", "rpi", "-dev", to, "-site", site, "-id", "dock-7"); err != nil || !strings.Contains(out, "card.img (rpi), for dock-7") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "boards/rpi-zero-2w.env"), []byte("BOARDS=rpi-zero-2w\n"), 0o644); err != nil { // of Buildroot, not made
		t.Fatal(err)
	}
	if out, err := run(t, dir, machine{"/"}, "", "-board", "rpi-zero-2w", "-dev", to); err != nil || !strings.Contains(out, "image/rpi/card.img (rpi-zero-2w)") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A fleet does not get an older system unnoticed.
func TestVersion(t *testing.T) {
	dir := newImage(t)
	card, err := os.ReadFile(filepath.Join(dir, "image/rpi/card.img"))
	if err != nil {
		t.Fatal(err)
	}
	os.MkdirAll(filepath.Join(dir, "image/rpi/slot"), 0o755)
	for path, text := range map[string]string{"image.json": fmt.Sprintf(`{"version": "v1.1", "files": [{"name": "card.img", "sha256": "%x"}]}`, sha256.Sum256(card)),
		"slot/slot.env": "board=rpi\nversion=v1.1\ntime=2026-11-20T10:00:00Z\n"} {
		if err := os.WriteFile(filepath.Join(dir, "image/rpi", path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for source, want := range map[string]string{"": "It is version v1.1 of 2026-11-20.\n", "v1.1 2026-11-20": "It is version v1.1 of 2026-11-20.\n",
		"v1.2 2026-11-22": "It is version v1.1 of 2026-11-20; the source is at v1.2 of 2026-11-22: 'make image' makes that one.\n"} {
		if out, err := run(t, dir, machine{"/"}, "", "-source", source, "-board", "rpi", "-dev", filepath.Join(dir, "x.img")); err != nil || !strings.Contains(out, want) {
			t.Errorf("%q: %v\n%s", source, err, out)
		}
	}
}

// make bundle of a board names its image, as make image does.
func TestBundleOfABoard(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "make", "-C", "../../..", "bundle", "BOARD=rpi-3", "KEY=none").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "rpi-3 is among the boards of: rpi") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestJobs(t *testing.T) {
	ids := []string{"dock-7", "dock-8"}
	jobs, err := readJobs("f.csv", strings.NewReader("device,note,id\nnext card,x,dock-7\nnext card,,dock-8\n"), ids)
	if err != nil || len(jobs) != 2 || jobs[1] != (job{line: 3, id: "dock-8", device: nextCard}) {
		t.Errorf("%+v %v", jobs, err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "f.csv: is empty: the first line must be id,device"},
		"no head":       {"dock-7,/dev/sdb\n", `f.csv:1: "dock-7,/dev/sdb": the first line must name the columns id and device`},
		"semicolons":    {"id;device\ndock-7;/dev/sdb\n", "columns id and device, with a comma between"},
		"nobody":        {"id,device\ndock-9,next card\n", `f.csv:2: id "dock-9": the site has dock-7, dock-8`},
		"twice":         {"id,device\ndock-7,next card\n\ndock-7,next card\n", "f.csv:4: id dock-7 is in line 2 already"},
		"same device":   {"id,device\ndock-7,/dev/sdb\ndock-8,/dev/sdb\n", "f.csv:3: device /dev/sdb is in line 2 already"},
		"no device":     {"id,device\ndock-7,\n", `f.csv:2: device is empty`},
		"other column":  {"id,device,boards\ndock-7,/dev/sdb,rpi\n", `f.csv:1: column "boards": allowed are id, device, board, note, each once`},
		"column twice":  {"id,device,id\n", `f.csv:1: column "id": allowed are`},
		"columns":       {"id,device\ndock-7\n", "f.csv:2: 1 columns: must be 2"},
		"nobody at all": {"id,device\n", "has no appliances"},
	} {
		if _, err := readJobs("f.csv", strings.NewReader(c.text), ids); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func FuzzJobs(f *testing.F) {
	f.Add("id,device\ndock-7,next card\n")
	f.Add("device,id\n\"a\"\"b\",dock-7\n")
	f.Fuzz(func(t *testing.T, text string) {
		jobs, err := readJobs("f.csv", strings.NewReader(text), []string{"dock-7"})
		if err == nil && (len(jobs) != 1 || jobs[0].id != "dock-7" || jobs[0].device == "") {
			t.Errorf("%q read as %+v", text, jobs)
		}
	})
}

// The next card is the one that appears, not one that was there.
func TestNextCard(t *testing.T) {
	dir, site, m := newImage(t), newFleet(t), newMachine(t)
	list := filepath.Join(dir, "fleet.csv")
	os.WriteFile(list, []byte("id,device\ndock-7,next card\n"), 0o644)
	inserted := make(chan struct{})
	var out bytes.Buffer
	f := flasher{machine: m, in: bufio.NewReader(strings.NewReader("no\n")), wait: time.Millisecond, now: func() time.Time { return day },
		facts: filepath.Join(dir, "boards"), images: filepath.Join(dir, "image")}
	// The empty slot sde gets a card once the technician is asked for it.
	f.out = writerFunc(func(p []byte) (int, error) {
		if strings.HasPrefix(string(p), "Put in the card for dock-7") {
			m.put(t, "sys/devices/pci0/usb1/host7/block/sde/size", "31116288\n")
			close(inserted)
		}
		return out.Write(p)
	})
	err := f.run(t.Context(), []string{"-board", "rpi-3", "-csv", list, "-site", site})
	<-inserted
	if err == nil || !strings.Contains(out.String(), "/dev/sde  15.9 GB") || !strings.Contains(out.String(), `"no" is not "sde"`) {
		t.Errorf("%v\n%s", err, &out)
	}
}

// While somebody is asked, the disk that was shown may be taken out, and another one comes by its name.
func TestOtherDiskAfterTheQuestion(t *testing.T) {
	const dir = "sys/devices/platform/mmc0/block/mmcblk0/"
	for name, c := range map[string]struct {
		change func(machine)
		want   string
	}{
		"a large one":      {func(m machine) { m.put(t, dir+"size", "3907029168\n") }, "2.0 TB, more than a card has"},
		"one in use":       {func(m machine) { m.put(t, "proc/self/mountinfo", "22 1 179:0 / /srv rw - ext4 /dev/mmcblk0 rw\n") }, "in use: mounted on /srv"},
		"another card":     {func(m machine) { m.put(t, dir+"size", "31116287\n") }, errOther.Error()},
		"another reader":   {func(m machine) { m.put(t, dir+"dev", "179:64\n") }, errOther.Error()},
		"other partitions": {func(m machine) { m.put(t, dir+"mmcblk0p1/size", "4096\n") }, errOther.Error()},
		"none":             {func(m machine) { os.Remove(m.at("dev/mmcblk0")) }, "lsblk lists the disks"},
		"a file":           {func(machine) {}, errOther.Error()}, // as those of this machine all are
	} {
		images, m := newImage(t), newMachine(t)
		f := flasher{machine: m, in: bufio.NewReader(strings.NewReader("mmcblk0\n")), wait: time.Millisecond, now: func() time.Time { return day },
			facts: filepath.Join(images, "boards"), images: filepath.Join(images, "image")}
		f.out = writerFunc(func(p []byte) (int, error) {
			if strings.Contains(string(p), "Type mmcblk0") {
				c.change(m)
			}
			return len(p), nil
		})
		err := f.run(t.Context(), []string{"-board", "rpi-3", "-dev", "/dev/mmcblk0"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if info, err := os.Stat(m.at("dev/mmcblk0")); err == nil && info.Size() > 0 {
			t.Errorf("%s: it was written", name)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

var _ io.Writer = writerFunc(nil)
