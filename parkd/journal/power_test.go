package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var errPower = errors.New("no power")

// disk is a file system that loses power after some bytes.
type disk struct {
	left int // bytes until then
}

type cutFile struct {
	file
	disk *disk
}

func (f cutFile) WriteAt(b []byte, at int64) (int, error) {
	if len(b) > f.disk.left {
		n, _ := f.file.WriteAt(b[:f.disk.left], at)
		f.disk.left = 0
		return n, errPower
	}
	f.disk.left -= len(b)
	return f.file.WriteAt(b, at)
}

func (f cutFile) Datasync() error {
	if f.disk.left == 0 {
		return errPower
	}
	return f.file.Datasync()
}

// TestPowerLossAtEveryByte cuts the power while the second, third and fourth content are written, at every byte of
// each: what is there afterwards is the content before or the one after, whole.
func TestPowerLossAtEveryByte(t *testing.T) {
	contents := [][]Entry{
		{entry("a", 1)},
		{entry("a", 1), entry("b", 1)},
		{entry("b", 2)},
		{entry("b", 2), entry("c", 1), entry("d", 1)},
	}
	j := newJournal(t)
	var ends []int64
	for _, c := range contents {
		store(t, j, c...)
		ends = append(ends, j.end)
	}
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	whole = whole[:ends[len(ends)-1]+100] // enough of the zeros
	for step := 1; step < len(contents); step++ {
		for cut := ends[step-1]; cut <= ends[step]; cut++ {
			after := make([]byte, len(whole)) // the rest is zeros still
			copy(after, whole[:cut])
			c, err := parse(after, "dock-1")
			want := contents[step-1]
			if cut == ends[step] {
				want = contents[step]
			}
			if err != nil || !same(c.Entries, want) {
				t.Fatalf("cut at byte %d of commit %d: %v, %v", cut-ends[step-1], step, c.Entries, err)
			}
		}
		// The sectors of one write reach the disk in any order.
		random := rand.New(rand.NewPCG(1, uint64(step)))
		for range 200 {
			after := make([]byte, len(whole))
			copy(after, whole[:ends[step-1]])
			lost := false
			for at := ends[step-1]; at < ends[step]; {
				next := min((at/512+1)*512, ends[step])
				if random.IntN(2) == 0 {
					copy(after[at:next], whole[at:next])
				} else {
					lost = true
				}
				at = next
			}
			if !lost {
				continue
			}
			if c, err := parse(after, "dock-1"); err != nil || !same(c.Entries, contents[step-1]) {
				t.Fatalf("commit %d with sectors lost: %v, %v", step, c.Entries, err)
			}
		}
	}
}

// The same while a new file takes the place of the old one.
func TestPowerLossWhileTheFileIsReplaced(t *testing.T) {
	before, after := []Entry{entry("a", 1)}, []Entry{entry("a", 2), entry("b", 1)}
	dir := t.TempDir()
	step := 61 // bytes; what follows the entries is zeros
	for cut := 0; cut <= minBytes+8000; cut += step {
		if cut > 3000 {
			step = 12001
		}
		j := New(filepath.Join(dir, fmt.Sprint(cut)), "dock-1")
		store(t, j, before...)
		j.size = j.end // no room
		d := &disk{left: cut}
		j.create = func(path string) (file, error) {
			f, err := createFile(path)
			return cutFile{f, d}, err
		}
		err := j.Store(after)
		want := before
		if err == nil {
			want = after
		}
		if cut < minBytes && !errors.Is(err, errPower) {
			t.Fatalf("power lost at byte %d: %v", cut, err)
		}
		if got := load(t, j); !same(got, want) {
			t.Fatalf("power lost at byte %d (%v): %v", cut, err, got)
		}
		j.Close()
		if err := os.Remove(j.path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamage(t *testing.T) {
	j := newJournal(t)
	store(t, j, entry("a", 1))
	first := j.end
	store(t, j, entry("a", 1), entry("b", 1))
	second := j.end
	store(t, j, entry("a", 1), entry("b", 1), entry("c", 1))
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		spoil func(b []byte) []byte
		err   error
		text  string
		keys  string
	}{
		{"as it was", func(b []byte) []byte { return b }, nil, "", "a b c"},
		{"empty", func([]byte) []byte { return nil }, ErrDamaged, "does not begin as a journal", ""},
		{"text", func([]byte) []byte { return []byte("this is no journal at all") }, ErrDamaged, "does not begin as a journal", ""},
		{"header only", func(b []byte) []byte { return b[:headerBytes] }, ErrDamaged, "first frame", ""},
		{"cut in the header", func(b []byte) []byte { return b[:headerBytes-1] }, ErrDamaged, "does not begin", ""},
		{"version of later", func(b []byte) []byte { b[len(magic)] = 2; return b }, ErrVersion, "of version 2, this program reads 1", ""},
		{"wrong crc in the middle", func(b []byte) []byte { b[first+20] ^= 1; return b }, ErrDamaged, "1 of its frames cannot be read", "a c"},
		{"wrong crc at the end", func(b []byte) []byte { b[second+20] ^= 1; return b }, nil, "", "a b"},
		{"crc itself", func(b []byte) []byte { b[second+5] ^= 1; return b }, nil, "", "a b"},
		{"length out of the file", func(b []byte) []byte { b[second+3] = 0x7f; return b }, nil, "", "a b"},
		{"first frame", func(b []byte) []byte { b[headerBytes+10] ^= 1; return b }, ErrDamaged, "1 of its frames", "a b c"},
		{"cut short", func(b []byte) []byte { return b[:second+9] }, nil, "", "a b"},
		{"too long", func([]byte) []byte { return make([]byte, maxBytes+1) }, ErrDamaged, "is longer than", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := New(filepath.Join(t.TempDir(), "journal"), "dock-1")
			if err := os.WriteFile(k.path, tc.spoil(append([]byte(nil), whole...)), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := k.Load()
			if !errors.Is(err, tc.err) || err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v, want %v %q", err, tc.err, tc.text)
			}
			var keys []string
			for _, e := range c.Entries {
				keys = append(keys, e.Key)
			}
			if got := strings.Join(keys, " "); got != tc.keys {
				t.Errorf("entries %q, want %q", got, tc.keys)
			}
			if kept, err := k.SetAside(); err != nil || kept != k.path+".bad" {
				t.Errorf("set aside as %q: %v", kept, err)
			}
			store(t, k, entry("n", 1))
			if got := load(t, k); !same(got, []Entry{entry("n", 1)}) {
				t.Errorf("afterwards %v", got)
			}
			k.Close()
		})
	}
}

// faulty is a disk whose writes or syncs fail for a while.
type faulty struct {
	file
	fail *error
}

func (f faulty) WriteAt(b []byte, at int64) (int, error) {
	if *f.fail != nil {
		n, _ := f.file.WriteAt(b[:len(b)/2], at)
		return n, *f.fail
	}
	return f.file.WriteAt(b, at)
}

// A disk that is full for a while: every Store says so, and the first that succeeds has everything.
func TestDiskFull(t *testing.T) {
	for _, name := range []string{"while a frame is written", "while a new file is written"} {
		t.Run(name, func(t *testing.T) {
			j := newJournal(t)
			var fail error
			j.create = func(path string) (file, error) {
				f, err := createFile(path)
				return faulty{f, &fail}, err
			}
			store(t, j, entry("a", 1))
			if strings.Contains(name, "new file") {
				j.size = j.end
			}
			fail = syscall.ENOSPC
			for range 3 {
				if err := j.Store([]Entry{entry("a", 1), entry("b", 1)}); !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("full disk: %v", err)
				}
				if got := load(t, j); !same(got, []Entry{entry("a", 1)}) {
					t.Fatalf("full disk: %v", got)
				}
			}
			if left, _ := filepath.Glob(j.path + ".new"); len(left) > 0 {
				t.Errorf("left on a full disk: %v", left)
			}
			fail = nil
			store(t, j, entry("a", 1), entry("b", 1))
			if got := load(t, j); !same(got, []Entry{entry("a", 1), entry("b", 1)}) {
				t.Errorf("afterwards %v", got)
			}
		})
	}
}
