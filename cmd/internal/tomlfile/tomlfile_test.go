package tomlfile

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
)

type example struct {
	Name    string            `toml:"name"`
	Wait    time.Duration     `toml:"wait"`
	Count   uint8             `toml:"count"`
	At      netip.AddrPort    `toml:"at"`
	Numbers map[string]string `toml:"numbers"`
	Doors   []door            `toml:"doors"`
	Hidden  int               `toml:"-"`
}

type door struct {
	Name string `toml:"name"`
	Open bool   `toml:"open"`
}

func (d *door) SetDefaults() { d.Open = true }

func TestDecode(t *testing.T) {
	e := example{Wait: time.Second}
	f, err := Decode("x.toml", []byte("name = \"a\"\ncount = 7\nat = \"192.0.2.1:5060\"\nnumbers = {201 = \"x\"}\n[[doors]]\nname = \"b\"\n"), &e)
	if err != nil {
		t.Fatal(err)
	}
	if e.Name != "a" || e.Wait != time.Second || e.Count != 7 || e.At.Port() != 5060 || e.Numbers["201"] != "x" || !e.Doors[0].Open {
		t.Errorf("read %+v", e)
	}
	if !f.Has("doors[0].name") || f.Has("wait") {
		t.Error("Has: want what the file has")
	}
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"syntax":           {"name = \n", "x.toml:1:"},
		"unknown key":      {"nmae = \"a\"\n", `x.toml:1:1: nmae: unknown key; did you mean "name"?`},
		"unknown, far off": {"[colour]\n", "x.toml:1:2: colour: unknown key; allowed here: at, count, doors, name, numbers, wait"},
		"no text":          {"\nname = 7\n", "x.toml:2:1: name: 7 is not a text in quotes"},
		"no time":          {"wait = \"soon\"\n", `x.toml:1:1: wait: "soon" is not a length of time`},
		"too great":        {"count = 256\n", "x.toml:1:1: count: 256 is not a whole number from 0 to 255"},
		"no address":       {"at = \"here\"\n", `x.toml:1:1: at: "here" is not an IP address with a port; write one like "192.0.2.7:8080" or "[2001:db8::7]:8080"`},
		"in a list":        {"[[doors]]\n[[doors]]\nopen = 1\n", "x.toml:3:1: doors[1].open: 1 is neither true nor false"},
		"one table":        {"[doors]\n", "x.toml:1:2: doors: is a list of tables; begin each with [[doors]]"},
		"text, no tables":  {"doors = \"geheim\"\n", "x.toml:1:1: doors: a text is not a list; write [ ] around it"},
		"text in a list":   {"doors = [\"geheim\", 4711]\n", "x.toml:1:1: doors[0]: a text is not a table; write { } around its keys\nx.toml:1:1: doors[1]: a value is not a table"},
		"text, no table":   {"numbers = \"geheim\"\n", "x.toml:1:1: numbers: a text is not a table; write [numbers] above its keys"},
		"all of them":      {"count = -1\nname = 1\n", "x.toml:1:1: count: -1 is not a whole number from 0 to 255\nx.toml:2:1: name: 1 is not"},
	} {
		_, err := Decode("x.toml", []byte(c.text), &example{At: netip.MustParseAddrPort("127.0.0.1:8080")})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// A fault that is found later takes its place in the order of the file.
func TestFailAfterwards(t *testing.T) {
	f, err := Decode("x.toml", []byte("name = \"a\"\nwait = \"1s\"\n"), &example{})
	if err != nil {
		t.Fatal(err)
	}
	f.Fail("wait", "%v is too short", time.Second)
	f.Fail("name", "%q is taken", "a")
	if got, want := f.Err().Error(), "x.toml:1:1: name: \"a\" is taken\nx.toml:2:1: wait: 1s is too short"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	f.Fail("doors[1]", "is no table")
	for path, want := range map[string]bool{"wait": true, "count": false, "doors": true, "doors[1].open": true, "doors[0].open": false} {
		if f.Complained(path) != want {
			t.Errorf("Complained(%s) is %t", path, !want)
		}
	}
}

// A file of nonsense is refused in so many lines as a person reads.
func TestManyFaults(t *testing.T) {
	var text strings.Builder
	for i := range 3 * maxTold {
		fmt.Fprintf(&text, "k%d = 1\n", i)
	}
	_, err := Decode("x.toml", []byte(text.String()), &example{})
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != maxTold+1 || !strings.HasPrefix(lines[maxTold-1], "x.toml:100:1: k99: unknown key") || lines[maxTold] != "x.toml: and 200 faults more" {
		t.Errorf("%d lines, at last %q", len(lines), lines[len(lines)-1])
	}
}

// What a file may cost grows with its length, not with the square of it: the first process of an appliance reads what a server
// sends, and has some hundred megabytes at most.
func TestLongKeys(t *testing.T) {
	const n = 60 << 10
	for name, c := range map[string]struct{ text, want string }{
		"parts of a header": {"[" + strings.Repeat("a.", n/2) + "a]\n", `x.toml:1:258: the key that begins with "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a." is too long: at most 255 bytes`},
		"parts of a key":    {strings.Repeat("a.", n/2) + "a = 1\n", "x.toml:1:257: the key that begins with \"a.a."},
		"lists in lists":    {"a = " + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + "\n", "x.toml:1:1: the key that begins with \"a[0][0]["},
		"tables in tables":  {"a = " + strings.Repeat("{a=", 9999) + "1" + strings.Repeat("}", 9999) + "\n", "x.toml:1:387: the key that begins with \"a.a."},
		"a table's name":    {"\n[\"" + strings.Repeat("ä", 128) + "\"]\n", "x.toml:2:2: the key that begins with \"ääää"},
		"keys of a table with a long name": {"[" + strings.Repeat("a", n/2) + "]\n" + numbered(n/16),
			`x.toml:1:2: the key that begins with "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" is too long: at most 255 bytes`},
		"keys of a table with a name that is allowed": {"[" + strings.Repeat("a", 240) + "]\n" + numbered(n/16), "x.toml:1:2: aaaa"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode("x.toml", []byte(c.text), &example{})
		runtime.ReadMemStats(&after)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || len(err.Error()) > 1000 {
			t.Errorf("%s: got %.200v, want %s", name, err, c.want)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 40 {
			t.Errorf("%s: %d bytes take %d MB", name, len(c.text), took)
		}
	}
}

// numbered is a file of n keys.
func numbered(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "k%04d=1\n", i)
	}
	return text.String()
}

// Asking whether a key has been complained of takes as long with the last fault as with the first. With a search through all
// of them this took 30 s.
func TestManyWrongElements(t *testing.T) {
	const n = 100_000
	begin := time.Now()
	f, err := Parse("x.toml", []byte("doors = ["+strings.Repeat("1,", n)+"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if path := fmt.Sprintf("doors[%d]", i); !f.Complained(path) {
			f.Fail(path, "is no door")
		}
	}
	if f.Err() == nil || !f.Complained("doors[99999].name") {
		t.Error("the faults are lost")
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("name = \"a\"\n[[doors]]\nopen = false\n[numbers]\n201 = \"b\"\n")
	f.Add("doors = [{name = \"a\"}, 3]\nat = \"[::1]:1\"\nnumbers.\"a.b\" = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		var e example
		if _, err := Decode("x.toml", []byte(text), &e); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}
