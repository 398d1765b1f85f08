package provision

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"parklamp/cmd/internal/authority"
)

var day = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// newSet is a good set of an appliance.
func newSet(t testing.TB, a *authority.Authority, root authority.Pair, id string) Files {
	t.Helper()
	pair, err := a.Issue(authority.Subject{ID: id, From: day, Until: day.Add(authority.Lifetime)})
	if err != nil {
		t.Fatal(err)
	}
	return Files{
		IdentityFile:    []byte("site = \"hall\"\nid = \"" + id + "\"\nname = \"Tor 7, Süd\"\nnumber = \"207\"\n"),
		PhonedFile:      []byte("[appliance]\nname = \"" + id + "\"\nnumber = \"207\"\n"),
		AuthorityFile:   root.Cert,
		CertificateFile: pair.Cert,
		KeyFile:         pair.Key,
	}
}

func newAuthority(t testing.TB) (*authority.Authority, authority.Pair) {
	t.Helper()
	a, root, err := authority.New("hall", day)
	if err != nil {
		t.Fatal(err)
	}
	return a, root
}

func lay(t testing.TB, dir string, f Files) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range f {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRead(t *testing.T) {
	a, root := newAuthority(t)
	dir := filepath.Join(t.TempDir(), Folder)
	f := newSet(t, a, root, "dock-7")
	f["SITE.CRT"], f["README.txt"], f["._site.crt"] = f[AuthorityFile], []byte("hello"), []byte{0}
	delete(f, AuthorityFile)
	f[IdentityFile] = append([]byte("\ufeff"), f[IdentityFile]...) // as Windows Notepad writes it
	lay(t, dir, f)
	s, err := Read(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Identity{"hall", "dock-7", "Tor 7, Süd", "207"}); s.Identity != want || s.Expires != day.Add(authority.Lifetime) {
		t.Errorf("read %+v, expires %v", s.Identity, s.Expires)
	}
	if s.File(AuthorityFile) == nil || s.File(BoardFile) != nil || bytes.HasPrefix(s.File(IdentityFile), []byte("\ufeff")) {
		t.Error("files: want site.crt by its name in small letters, and no mark before the text")
	}
	if _, err := Read(filepath.Join(dir, "none"), Options{}); !errors.Is(err, ErrNone) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := Read(t.TempDir(), Options{}); !errors.Is(err, ErrNone) {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestFaults(t *testing.T) {
	a, root := newAuthority(t)
	good, other := newSet(t, a, root, "dock-7"), newSet(t, a, root, "dock-8")
	_, foreign := newAuthority(t)
	refuse := func(string, []byte) error { return errors.New("network.toml:3:1: vlan: 5000: 1 to 4094") }
	for name, c := range map[string]struct {
		change Files // nil: taken out
		want   string
	}{
		"id":                       {Files{IdentityFile: []byte("site = \"hall\"\nid = \"dock 7\"\nnumber = \"207\"\n")}, `card/identity.toml:2:1: id: "dock 7": 1 to 63 letters`},
		"no number":                {Files{IdentityFile: []byte("site = \"hall\"\nid = \"dock-7\"\n")}, `card/identity.toml: number: is missing: 1 to 32 of`},
		"no id":                    {Files{IdentityFile: []byte("site = \"hall\"\nnumber = \"207\"\n")}, `card/identity.toml: id: is missing: 1 to 63 letters`},
		"misspelt key":             {Files{IdentityFile: []byte("site = \"hall\"\nidd = \"dock-7\"\n")}, `card/identity.toml:2:1: idd: unknown key; `},
		"control character":        {Files{IdentityFile: []byte("site = \"hall\"\nid = \"dock-7\"\nname = \"a\\nb\"\nnumber = \"207\"\n")}, `card/identity.toml:3:1: name: "a\nb": at most 64 printable`},
		"no identity":              {Files{IdentityFile: nil}, "card/identity.toml: is missing; it holds site, id, name and number"},
		"no configuration":         {Files{PhonedFile: nil}, "card/phoned.toml: is missing"},
		"broken configuration":     {Files{PhonedFile: []byte("[appliance\n")}, "card/phoned.toml:1:"},
		"an empty configuration":   {Files{PhonedFile: {}}, `card/phoned.toml: appliance.name: is missing: must be "dock-7", the id in identity.toml`},
		"another's configuration":  {Files{PhonedFile: other[PhonedFile]}, `card/phoned.toml:2:1: appliance.name: "dock-8": must be "dock-7", the id in identity.toml`},
		"no number there":          {Files{PhonedFile: []byte("[appliance]\nname = \"dock-7\"\n")}, `card/phoned.toml:1:2: appliance.number: is missing: must be "207"`},
		"another socket":           {Files{PhonedFile: append(slices.Clone(good[PhonedFile]), "\n[panel]\nsocket = \"\"\n"...)}, `panel.socket: "": must be "/run/parklamp/phoned.sock", or left away`},
		"another's certificate":    {Files{CertificateFile: other[CertificateFile], KeyFile: other[KeyFile]}, `card: appliance.crt: is for dock-8; must be for "dock-7"`},
		"another's key":            {Files{KeyFile: other[KeyFile]}, "card: appliance.key: does not belong to appliance.crt"},
		"another site":             {Files{AuthorityFile: foreign.Cert}, "card: appliance.crt: was not issued by site.crt"},
		"certificate as authority": {Files{AuthorityFile: good[CertificateFile]}, `card: site.crt: "dock-7" is no certificate authority`},
		"no authority":             {Files{AuthorityFile: nil}, "card: site.crt: is missing beside appliance.crt and appliance.key"},
		"no PEM":                   {Files{CertificateFile: []byte("hello")}, "card: appliance.crt: holds no PEM certificate"},
		"update key":               {Files{UpdateFile: root.Cert}, "card/update.pub: holds no PEM public key"},
		"network":                  {Files{NetworkFile: []byte("vlan = 5000\n")}, "network.toml:3:1: vlan: 5000: 1 to 4094"},
	} {
		f := maps.Clone(good)
		for file, data := range c.change {
			f[file] = data
			if data == nil {
				delete(f, file)
			}
		}
		_, err := f.Check("card", Options{Check: map[string]func(string, []byte) error{NetworkFile: refuse}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, c.want)
		}
		if err != nil && bytes.Contains([]byte(err.Error()), good[KeyFile][40:80]) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
}

// phoned writes in two folders beside the set, and anywhere that is none of the set's.
func TestCheckPaths(t *testing.T) {
	check := CheckPaths("/data/parklamp")
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"[journal]\npath = \"/data/parklamp/journal/calls\"\n[selftest]\nreports = \"/data/parklamp/reports\"", ""},
		{"[journal]\npath = \"journal/calls\"\n[selftest]\nreports = \"reports/july\"", ""},
		{"[journal]\npath = \"/etc/passwd\"", `phoned.toml:2:1: journal.path: "/etc/passwd": must lie below /data/parklamp/journal or /data/parklamp/reports: elsewhere`},
		{"[journal]\npath = \"/var/lib/parklamp/journal\"", "journal.path: "},
		{"[selftest]\nreports = \"/data/parklamp2\"", "selftest.reports: "},
		{"[journal]\npath = \"\"", ""},
		{"[journal]\npath = \"/data/parklamp/calls\"", `phoned.toml:2:1: journal.path: "/data/parklamp/calls": must lie below /data/parklamp/journal or /data/parklamp/reports: elsewhere phoned writes nothing that lasts`},
		{"[journal]\npath = \"calls\"", `journal.path: "/data/parklamp/calls": must`},
		{"[journal]\npath = \"/data/parklamp/journal\"", `journal.path: "/data/parklamp/journal": must`},
		{"[journal]\npath = \"/data/parklamp/journal/../calls\"", "journal.path: "},
		{"[selftest]\nreports = \"/data/parklamp\"", `selftest.reports: "/data/parklamp": must`},
		{"[selftest]\nreports = \"/data/parklamp/log\"", "selftest.reports: "},
	} {
		err := check("phoned.toml", []byte(c.text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// A key of updates or a board definition alone makes nobody of a phone; each part of a set that says who it is does.
func TestBare(t *testing.T) {
	for _, name := range append(slices.Clone(names), SecretPrefix+"pbx") {
		want := !slices.Contains([]string{IdentityFile, PhonedFile, CertificateFile, KeyFile}, name)
		if got := (Files{name: nil, NetworkFile: nil}).Bare(); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// A site that was renamed keeps its authority: its sets are taken and stay in force, and only who looks at a folder is warned.
func TestRenamedSite(t *testing.T) {
	a, root := newAuthority(t)
	f, to := newSet(t, a, root, "dock-7"), t.TempDir()
	if s, err := f.Check("card", Options{}); err != nil || s.Warning() != "" {
		t.Errorf("%+v, %v", s, err)
	}
	f[IdentityFile] = bytes.Replace(f[IdentityFile], []byte("hall"), []byte("lager"), 1)
	if _, err := f.Import("card", to, Options{}); err != nil {
		t.Fatal(err)
	}
	s, err := Current(to, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `site.crt was made for site hall, and identity.toml says "lager": right only if the site was renamed`; s.Warning() != want || s.Identity.Site != "lager" {
		t.Errorf("%q, %+v", s.Warning(), s.Identity)
	}
	if s, err := (Files{PhonedFile: f[PhonedFile]}).Check("x", Options{}); err != nil || s.Warning() != "" {
		t.Errorf("without certificates: %+v, %v", s, err)
	}
}

// A server may send a configuration and nothing else.
func TestConfigurationAlone(t *testing.T) {
	s, err := Files{PhonedFile: []byte("[appliance]\nname = \"dock-7\"\nnumber = \"207\"\n")}.Check("http://192.0.2.1", Options{})
	if err != nil || s.Identity.ID != "dock-7" || s.Identity.Number != "207" || !s.Expires.IsZero() {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := (Files{PhonedFile: []byte("[sip]\n")}).Check("x", Options{}); err == nil || !strings.Contains(err.Error(), "set appliance.name there") {
		t.Errorf("nameless: %v", err)
	}
	if s, err := (Files{PhonedFile: []byte("[appliance]\nname = \"dock-7\"\n")}).Check("x", Options{}); err != nil || s.Identity.Number != "" {
		t.Errorf("without a number: %+v, %v", s, err)
	}
	const idFault, numberFault = ": 1 to 63 letters, digits and hyphens", ": 1 to 32 of 0-9 A-Z"
	long, to := strings.Repeat("a", 64), t.TempDir()
	for text, want := range map[string]string{
		`name = "a b"`:                          `x/phoned.toml:2:1: appliance.name: "a b"` + idFault,
		`name = "x\ny"`:                         `x/phoned.toml:2:1: appliance.name: "x\ny"` + idFault,
		`name = "\u001b[2J"`:                    `x/phoned.toml:2:1: appliance.name: "\x1b[2J"` + idFault,
		`name = "../../etc"`:                    `x/phoned.toml:2:1: appliance.name: "../../etc"` + idFault,
		`name = "` + long + `"`:                 `x/phoned.toml:2:1: appliance.name: "` + long + `"` + idFault,
		"name = \"dock-7\"\nnumber = \"2 0 1\"": `x/phoned.toml:3:1: appliance.number: "2 0 1"` + numberFault,
		"name = \"dock-7\"\nnumber = \"\"":      "x/phoned.toml:3:1: appliance.number: is missing" + numberFault,
		"name = \"dock-7\"\nnumber = 201":       "x/phoned.toml:3:1: appliance.number: is not a text in quotes",
	} {
		if _, err := (Files{PhonedFile: []byte("[appliance]\n" + text + "\n")}).Import("x", to, Options{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := Current(to, Options{}); !errors.Is(err, ErrNone) {
		t.Errorf("something was imported: %v", err)
	}
}

func TestNamesOfFiles(t *testing.T) {
	for name, c := range map[string]struct {
		add  string
		want string
	}{
		"misspelt": {"phonedd.toml", "phonedd.toml: unknown file; the names are identity.toml, phoned.toml"},
		"twice":    {"IDENTITY.TOML", "is there twice"},
	} {
		dir := t.TempDir()
		lay(t, dir, Files{IdentityFile: nil, c.add: nil})
		if _, err := ReadDir(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	lay(t, dir, Files{PhonedFile: make([]byte, maxHeld+1)})
	if _, err := ReadDir(dir); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("too long: %v", err)
	}
}

// What an earlier system took stays in force, though it is longer than what is taken now, and the copy of it on the boot partition is
// no fault; another set as long is refused, from wherever it comes.
func TestLongerThanNow(t *testing.T) {
	a, root := newAuthority(t)
	from, to := filepath.Join(t.TempDir(), Folder), t.TempDir()
	long := func(f Files) Files {
		f[PhonedFile] = append(f[PhonedFile], strings.Repeat("# 345678\n", 22_000)...)
		return f
	}
	held := long(newSet(t, a, root, "dock-7"))
	if err := (&store{dir: to}).put(&Set{Hash: held.hash(), files: held}); err != nil {
		t.Fatal(err)
	}
	inForce := func(id string) {
		t.Helper()
		s, err := Current(to, Options{})
		if err != nil || s.Identity.ID != id {
			t.Fatalf("in force: %v", err)
		}
	}
	inForce("dock-7")
	for i := range maxEntries { // somebody has filled the folder
		if err := os.WriteFile(filepath.Join(to, setsFolder, currentLink, fmt.Sprintf("secret-%d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	claimed(t, to)
	inForce("dock-7")
	lay(t, from, held)
	if err := RemoveKey(from); err != nil {
		t.Fatal(err)
	}
	f, err := ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := f.Import(from, to, Options{}); err != nil || r.Imported {
		t.Errorf("the same again: %v, imported %v", err, r.Imported)
	}
	next := long(newSet(t, a, root, "dock-8"))
	if _, err := next.Import("card", to, Options{}); err == nil || !strings.Contains(err.Error(), "card/phoned.toml: has 198") ||
		!strings.Contains(err.Error(), "bytes: at most 65536 are allowed") {
		t.Errorf("another one as long: %v", err)
	}
	if _, err := ReadTar(bytes.NewReader(archive(t, next))); err == nil || !strings.Contains(err.Error(), "phoned.toml: is longer than 65536 bytes") {
		t.Errorf("by archive: %v", err)
	}
	inForce("dock-7")
	if r, err := newSet(t, a, root, "dock-8").Import("card", to, Options{}); err != nil || r.Renamed != "dock-7" {
		t.Errorf("a short one: %v, renamed %q", err, r.Renamed)
	}
	inForce("dock-8")
}

func TestReadTar(t *testing.T) {
	a, root := newAuthority(t)
	f := newSet(t, a, root, "dock-7")
	got, err := ReadTar(bytes.NewReader(archive(t, f)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := got.Check("x", Options{}); err != nil || got.hash() != f.hash() {
		t.Error(err, "or another content")
	}
	many := Files{} // as an archive with holes, which has few bytes of its own, makes of itself
	for i := range 250 {
		many[fmt.Sprintf("%s%d", SecretPrefix, i)] = make([]byte, maxFile)
	}
	const tooMuch = "with it the files have more than 1048576 bytes together"
	if _, err := ReadTar(bytes.NewReader(archive(t, many))); err == nil || !strings.Contains(err.Error(), tooMuch) {
		t.Errorf("an archive that is too much in all: %v", err)
	}
	dir := t.TempDir()
	full := Files{SecretPrefix + "z": {1}}
	for i := range maxSet / maxFile {
		full[fmt.Sprintf("%s%d", SecretPrefix, i)] = make([]byte, maxFile)
	}
	lay(t, dir, full)
	if _, err := ReadDir(dir); err == nil || !strings.Contains(err.Error(), "secret-z: "+tooMuch) {
		t.Errorf("a folder that is too much in all: %v", err)
	}
	if _, err := ReadTar(bytes.NewReader(archive(t, nil))); !errors.Is(err, ErrNone) {
		t.Errorf("empty: %v", err)
	}
}

func archive(t testing.TB, f Files) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, data := range f {
		if err := w.WriteHeader(&tar.Header{Name: "parklamp/" + name, Mode: 0o600, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	w.Close()
	return b.Bytes()
}

func TestImport(t *testing.T) {
	a, root := newAuthority(t)
	from, to := filepath.Join(t.TempDir(), Folder), t.TempDir()
	f := newSet(t, a, root, "dock-7")
	f[NetworkFile], f["secret-pbx"] = []byte("vlan = 7\n"), []byte("hush\n")
	f[PhonedFile] = append(f[PhonedFile], "# /data/parklamp/secret-pbx\n"...)
	lay(t, from, f)
	take := func(want Result) {
		t.Helper()
		files, err := ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		r, err := files.Import(from, to, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Imported != want.Imported || r.KeyLeft != want.KeyLeft || r.Renamed != want.Renamed {
			t.Fatalf("imported %v, key left %v, renamed %q, want %+v", r.Imported, r.KeyLeft, r.Renamed, want)
		}
		s, err := Current(to, Options{})
		if err != nil || s.Hash != r.Set.Hash {
			t.Fatalf("the set in force: %v", err)
		}
	}
	take(Result{Imported: true, KeyLeft: true})
	for name, data := range f {
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := os.Stat(filepath.Join(to, KeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v %v", info.Mode(), err)
	}
	take(Result{KeyLeft: true})

	if err := RemoveKey(from); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{KeyFile, "secret-pbx"} {
		if _, err := os.Stat(filepath.Join(from, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still on the card: %v", name, err)
		}
	}
	take(Result{}) // the next start

	// A technician edits the configuration on the card, which has no key any more.
	lay(t, from, Files{PhonedFile: append(f[PhonedFile], "log_level = \"debug\"\n"...)})
	os.Remove(filepath.Join(from, NetworkFile))
	take(Result{Imported: true})
	if _, err := os.Lstat(filepath.Join(to, NetworkFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("network.toml is no longer part of the set, and still there: %v", err)
	}
	if sets, _ := os.ReadDir(filepath.Join(to, setsFolder)); len(sets) != 2 {
		t.Errorf("%d entries, want the set and the link", len(sets))
	}

	if got, err := os.ReadFile(filepath.Join(to, "secret-pbx")); err != nil || string(got) != "hush\n" {
		t.Errorf("the password did not outlive the new configuration: %q %v", got, err)
	}
	lay(t, from, Files{"secret-pbx": []byte("hush now\n")})
	take(Result{Imported: true, KeyLeft: true})

	// The card goes into another place.
	lay(t, from, newSet(t, a, root, "dock-8"))
	take(Result{Imported: true, KeyLeft: true, Renamed: "dock-7"})

	// The data partition loses a block.
	if err := os.WriteFile(filepath.Join(to, PhonedFile), []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	take(Result{Imported: true, KeyLeft: true})
}

// An error leaves what is in force.
func TestImportRefused(t *testing.T) {
	a, root := newAuthority(t)
	to := t.TempDir()
	if _, err := newSet(t, a, root, "dock-7").Import("card", to, Options{}); err != nil {
		t.Fatal(err)
	}
	bad := newSet(t, a, root, "dock-8")
	bad[PhonedFile] = []byte("[appliance]\n")
	if _, err := bad.Import("card", to, Options{}); err == nil {
		t.Fatal("imported")
	}
	if s, err := Current(to, Options{}); err != nil || s.Identity.ID != "dock-7" {
		t.Errorf("in force: %v, %v", s, err)
	}
	// A new certificate without its key: the old one does not fit.
	bad = newSet(t, a, root, "dock-7")
	delete(bad, KeyFile)
	if _, err := bad.Import("card", to, Options{}); err == nil || !strings.Contains(err.Error(), "appliance.key: does not belong") {
		t.Errorf("a certificate without its key: %v", err)
	}
}

var errPower = errors.New("power cut")

// The power fails before every single change of the disk: the set in force is the old one or the new one, whole, also by
// the names that programs use; and the next start finishes the work.
func TestPowerCut(t *testing.T) {
	a, root := newAuthority(t)
	old, next := newSet(t, a, root, "dock-7"), newSet(t, a, root, "dock-7")
	old[NetworkFile], next[BoardFile] = []byte("vlan = 7\n"), []byte("name = \"x\"\n")
	for cutAt := 0; ; cutAt++ {
		to := t.TempDir()
		if cutAt%2 == 0 { // else: the first import of all
			if _, err := old.Import("card", to, Options{}); err != nil {
				t.Fatal(err)
			}
		}
		left := cutAt / 2
		s := store{dir: to, cut: func() error {
			if left--; left < 0 {
				return errPower
			}
			return nil
		}}
		_, cutErr := s.take(next, "card")
		if cutErr != nil && !errors.Is(cutErr, errPower) {
			t.Fatal(cutErr)
		}
		if cutAt%4 == 2 { // the technician puts the old files back
			if _, err := old.Import("card", to, Options{}); err != nil {
				t.Fatalf("back, after a cut before change %d: %v", cutAt/2, err)
			}
		}
		checkWhole(t, fmt.Sprintf("cut before change %d", cutAt/2), to, old, next)
		if r, err := next.Import("card", to, Options{}); err != nil {
			t.Fatalf("after a cut before change %d: %v", cutAt/2, err)
		} else if s, err := Current(to, Options{}); err != nil || s.Hash != r.Set.Hash {
			t.Fatalf("after a cut before change %d: %v", cutAt/2, err)
		}
		if sets, _ := os.ReadDir(filepath.Join(to, setsFolder)); len(sets) != 2 {
			t.Fatalf("after a cut before change %d: %d entries, want the set and the link", cutAt/2, len(sets))
		}
		for name, data := range next {
			if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("after a cut before change %d: %s: %v", cutAt/2, name, err)
			}
		}
		if cutErr == nil && cutAt%2 == 1 {
			if cutAt < 30 {
				t.Errorf("only %d changes: the cut is not where the changes are", cutAt/2)
			}
			return
		}
	}
}

// checkWhole reads the files by the names that programs use: all of them from one set.
func checkWhole(t *testing.T, when, dir string, sets ...Files) {
	t.Helper()
	got := Files{}
	for _, name := range append(names, "secret-pbx") {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			got[name] = data
		}
	}
	if len(got) == 0 {
		return // none yet
	}
	for _, s := range sets {
		same := func(a, b []byte) bool { return bytes.Equal(a, b) }
		if maps.EqualFunc(got, s, same) {
			return
		}
	}
	t.Errorf("%s: files of two sets: %v", when, got)
}

func FuzzIdentity(f *testing.F) {
	f.Add([]byte("site = \"hall\"\nid = \"dock-7\"\nname = \"Tor 7\"\nnumber = \"207\"\n"), []byte("[appliance]\nname = \"dock-7\"\nnumber = \"207\"\n"))
	f.Add([]byte("id = 7\n"), []byte("appliance = 3\n"))
	f.Add([]byte("[site]\n"), []byte("[[appliance]]\nname = {}\n"))
	f.Fuzz(func(t *testing.T, identity, phoned []byte) {
		s, err := Files{IdentityFile: identity, PhonedFile: phoned}.Check("card", Options{})
		if err == nil && len(s.Identity.Faults()) > 0 {
			t.Errorf("accepted %+v", s.Identity)
		}
	})
}

func FuzzReadTar(f *testing.F) {
	f.Add(archive(f, Files{IdentityFile: []byte("id = \"a\"\n"), "x/../phoned.toml": []byte("x")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ReadTar(bytes.NewReader(data))
		if err == nil && len(got) == 0 {
			t.Error("nothing, and no error")
		}
		got.Check("x", Options{})
	})
}

// A full disk: what is in force stays, and what was written of the new set is taken away again, at each start.
func TestFullDisk(t *testing.T) {
	a, root := newAuthority(t)
	for failAt := 1; ; failAt++ {
		to := t.TempDir()
		if _, err := newSet(t, a, root, "dock-7").Import("card", to, Options{}); err != nil {
			t.Fatal(err)
		}
		n := 0
		full := store{dir: to, cut: func() error {
			if n++; n == failAt {
				return syscall.ENOSPC
			}
			return nil
		}}
		_, err := full.take(newSet(t, a, root, "dock-8"), "card")
		if err == nil {
			return
		}
		s, err := Current(to, Options{})
		if err != nil {
			t.Fatalf("failure %d: %v", failAt, err)
		}
		if s.Identity.ID == "dock-8" {
			continue // the switch has happened: the next start tidies
		}
		entries, err := os.ReadDir(filepath.Join(to, setsFolder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if set, err := ReadDir(filepath.Join(to, setsFolder, e.Name())); err == nil && !bytes.Equal(set[IdentityFile], s.File(IdentityFile)) {
				t.Errorf("failure %d leaves %s", failAt, e.Name())
			}
		}
		if len(entries) > 3 { // the set in force, the link, and perhaps a link that was not renamed
			t.Errorf("failure %d leaves %v", failAt, entries)
		}
	}
}
