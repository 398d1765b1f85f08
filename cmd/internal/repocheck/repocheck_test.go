package repocheck

import (
	"bytes"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

// layers lists, for each folder, the prefixes of this module that it may import besides itself and what is below it.
// The first row whose folder is a prefix counts.
var layers = []struct {
	folder  string
	allowed []string
}{
	{"board", nil},
	{"keypad", []string{"board"}},
	{"leds", []string{"board"}},
	{"sip/phone", []string{}},
	{"sip/event/xmldoc", []string{}},
	{"sip/event/pidf", []string{"sip/event/xmldoc"}},
	{"sip/event/dialoginfo", []string{"sip/event/xmldoc"}},
	{"sip/sdp", []string{}},
	{"sip", []string{"sip"}},
	{"media", []string{"media"}},
	{"parkd/panel", []string{"parkd"}},
	{"parkd/federation", []string{"parkd", "sip"}},
	{"parkd", []string{}},
	{"cmd", []string{"board", "keypad", "leds", "sip", "media", "parkd", "cmd/internal"}},
}

// topLevel is everything that may stand at the root, besides dot files.
var topLevel = []string{"cmd", "board", "keypad", "leds", "sip", "media", "parkd", "buildroot", "out",
	"Makefile", "go.mod", "go.sum", "README.md"}

type source struct {
	path    string // relative to the root
	folder  string
	imports []string // of this module, without its name
	pkgDoc  bool
	test    bool
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() && (rel == "out" || strings.HasPrefix(d.Name(), ".") && rel != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{path: rel, folder: filepath.ToSlash(filepath.Dir(rel)), pkgDoc: f.Doc != nil,
			test: strings.HasSuffix(rel, "_test.go")}
		for _, imp := range f.Imports {
			if p, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), "parklamp/"); ours {
				s.imports = append(s.imports, p)
			}
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d Go files found below %s: is the test run from its folder?", len(all), root)
	}
	return all
}

func under(folder, prefix string) bool {
	return folder == prefix || strings.HasPrefix(folder, prefix+"/")
}

func TestImportDirection(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue // tests may bring fakes and peers together
		}
		i := slices.IndexFunc(layers, func(l struct {
			folder  string
			allowed []string
		}) bool {
			return under(s.folder, l.folder)
		})
		if i < 0 {
			t.Errorf("%s: folder has no row in the table of layers", s.path)
			continue
		}
		for _, imp := range s.imports {
			ok := under(imp, layers[i].folder) ||
				slices.ContainsFunc(layers[i].allowed, func(a string) bool { return under(imp, a) })
			if !ok {
				t.Errorf("%s imports %s: %s may import only %v", s.path, imp, layers[i].folder, layers[i].allowed)
			}
		}
	}
}

// shipped are the programs of an appliance and of the desk.
var shipped = []string{"cmd/phoned", "cmd/parkd", "cmd/parkctl", "cmd/init"}

// Nobody has to guess which folders are an appliance and which only test it: the README's second table of folders has those
// that are in no shipped program, or their names end in "test".
func TestWhatIsNotShippedIsSaidToBe(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| not shipped |")
	if !found {
		t.Fatal("README.md has no table of what is not shipped")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	imports := map[string][]string{}
	for _, s := range sources(t) {
		if !s.test {
			imports[s.folder] = append(imports[s.folder], s.imports...)
		}
	}
	reached := map[string]bool{}
	for next := slices.Clone(shipped); len(next) > 0; next = next[1:] {
		if !reached[next[0]] {
			reached[next[0]] = true
			next = append(next, imports[next[0]]...)
		}
	}
	var named []string
	for _, m := range link.FindAllStringSubmatch(table, -1) {
		named = append(named, m[1])
	}
	for folder := range imports {
		said := strings.HasSuffix(folder, "test") && folder != "cmd/internal/selftest" || slices.ContainsFunc(named, func(n string) bool { return under(folder, n) })
		switch {
		case reached[folder] && said:
			t.Errorf("%s is in a shipped program, and its name or README.md says that it is in none", folder)
		case !reached[folder] && !said:
			t.Errorf("%s is in no shipped program: README.md has a table of those", folder)
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			documented[s.folder] = documented[s.folder] || s.pkgDoc
		}
	}
	for folder, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", folder)
		}
	}
}

func TestNoDrawerPackages(t *testing.T) {
	for _, s := range sources(t) {
		switch filepath.Base(s.folder) {
		case "util", "utils", "common", "types", "helpers", "misc":
			t.Errorf("%s: a package is one noun that says what it owns", s.path)
		}
	}
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

// link matches a Markdown link or picture to a file of the repository.
var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// What is built lies below out, with the Go of Buildroot's among it: it is no part of ./... .
func TestNothingBelowOutIsOurs(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !bytes.Contains(mod, []byte("\nignore ./out\n")) {
		t.Errorf("go.mod does not say \"ignore ./out\" (%v)", err)
	}
}

func TestReadmeLinks(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range link.FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("README.md links to %s: %v", m[1], err)
		}
	}
}

// testName matches a test that the README names.
var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")

func TestReadmeNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		code, err := os.ReadFile(filepath.Join(root, s.path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`).FindAllSubmatch(code, -1) {
			exists[string(m[1])] = true
		}
	}
	named := testName.FindAllStringSubmatch(string(text), -1)
	if len(named) == 0 {
		t.Fatal("README.md names no test")
	}
	for _, m := range named {
		if !exists[m[1]] {
			t.Errorf("README.md names %s, which is no test", m[1])
		}
	}
}

// gap matches words that announce work left undone; such a gap is a line under Limits in the README.
var gap = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

func TestNoGapsInComments(t *testing.T) {
	for _, s := range sources(t) {
		text, err := os.ReadFile(filepath.Join(root, s.path))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if gap.MatchString(line) {
				t.Errorf("%s:%d: %q: a gap belongs in the README under Limits", s.path, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// largestFile is twice what the largest file has, the words of the prompts. Bytes.
const largestFile = 2 << 20

// notSource says why a file does not belong into the repository; empty: it may.
func notSource(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\x7fELF")):
		return "is a program"
	case len(data) > largestFile:
		return "is larger than 2 MiB"
	}
	return ""
}

func TestNoPrograms(t *testing.T) {
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = root
	list, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v: what is tracked is known in a clone only", err)
	}
	names := strings.Split(strings.TrimRight(string(list), "\x00"), "\x00")
	if len(names) < 20 {
		t.Fatalf("only %d files are tracked below %s", len(names), root)
	}
	for _, name := range names {
		path := filepath.Join(root, name)
		if info, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue // removed and not committed yet, or a link
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if why := notSource(data); why != "" {
			t.Errorf("%s %s", name, why)
		}
	}
}

func TestNotSource(t *testing.T) {
	for _, c := range []struct {
		data string
		want string
	}{
		{"", ""}, {"package main\n", ""}, {"\x7fELF\x02\x01", "is a program"},
		{strings.Repeat("x", largestFile), ""}, {strings.Repeat("x", largestFile+1), "is larger than 2 MiB"},
	} {
		if got := notSource([]byte(c.data)); got != c.want {
			t.Errorf("%d bytes: %q, want %q", len(c.data), got, c.want)
		}
	}
}
