package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"parklamp/parkd"
)

var t0 = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// entry is a parked call as large as a real one, more or less.
func entry(key string, version int) Entry {
	return Entry{Key: key, Slot: &parkd.SlotState{Orbit: "701", CallID: key, Host: "dock-1", State: parkd.Parked, Since: t0,
		Caller: parkd.Party{Name: "Ann \"A\" Öz", Number: "5550011"}, RecallAt: t0.Add(time.Minute), Leg: "c1"},
		Dialog: json.RawMessage(fmt.Sprintf(`{"local_cseq":%d,"sdp":%q}`, version, strings.Repeat("a=rtpmap:0 PCMU/8000 ", 10))),
		Media:  json.RawMessage(`{"ssrc":7}`)}
}

func newJournal(t *testing.T) *Journal {
	t.Helper()
	j := New(filepath.Join(t.TempDir(), "state", "journal"), "dock-1")
	t.Cleanup(j.Close)
	return j
}

func store(t *testing.T, j *Journal, entries ...Entry) {
	t.Helper()
	if err := j.Store(entries); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, j *Journal) []Entry {
	t.Helper()
	c, err := New(j.path, j.owner).Load()
	if err != nil {
		t.Fatal(err)
	}
	return c.Entries
}

func same(a, b []Entry) bool { return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) }

// Two processes with one path would each take the other's calls. (A lock is of the open file: two in one process are
// as two processes.)
func TestOneProcessOnly(t *testing.T) {
	j := newJournal(t)
	if err := j.Lock(); err != nil {
		t.Fatal(err)
	}
	store(t, j, entry("a", 1))
	other := New(j.path, j.owner)
	if err := other.Lock(); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), j.path) {
		t.Errorf("a second one: %v, want ErrHeld with the path", err)
	}
	store(t, j, entry("a", 2)) // a file that is replaced does not take the lock with it
	if err := other.Lock(); !errors.Is(err, ErrHeld) {
		t.Errorf("after a store: %v", err)
	}
	j.Close()
	if err := other.Lock(); err != nil {
		t.Errorf("after the first is gone: %v", err)
	}
	other.Close()
	blocked := New("/proc/parklamp/journal", "dock-1")
	if err := blocked.Lock(); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("where nothing can be written: %v, want an error that is not ErrHeld", err)
	}
}

func TestStoreAndLoad(t *testing.T) {
	j := newJournal(t)
	if got := load(t, j); len(got) != 0 {
		t.Fatalf("no file gives %v", got)
	}
	for _, want := range [][]Entry{
		{entry("a", 1)},
		{entry("a", 1), entry("b", 1)},
		{entry("a", 2), entry("b", 1)},
		{entry("b", 1)},
		{entry("b", 1), entry("a", 3)}, // came back
		{},
		{entry("a", 4)},
	} {
		store(t, j, want...)
		if got := load(t, j); !same(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
	}
	info, err := os.Stat(j.path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != minBytes {
		t.Errorf("file %v, %v", info, err)
	}
}

// An entry that did not change costs nothing; the pulse tells the next life when this one ended.
func TestStoreWritesWhatIsNew(t *testing.T) {
	j := newJournal(t)
	now := t0
	j.now = func() time.Time { return now }
	store(t, j, entry("a", 1), entry("b", 1))
	at := j.end
	store(t, j, entry("a", 1), entry("b", 1))
	if j.end != at {
		t.Errorf("%d bytes for nothing", j.end-at)
	}
	store(t, j, entry("a", 1), entry("b", 2))
	one := int64(len(encode(t, entry("b", 2))))
	if grown := j.end - at; grown > one+100 {
		t.Errorf("%d bytes for one changed entry of %d", grown, one)
	}
	at, now = j.end, now.Add(2*pulse)
	store(t, j, entry("a", 1), entry("b", 2))
	if grown := j.end - at; grown == 0 || grown > 100 {
		t.Errorf("a pulse has %d bytes", grown)
	}
	if c, err := j.Load(); err != nil || !c.At.Equal(now) {
		t.Errorf("loaded at %v, %v, want %v", c.At, err, now)
	}
	now = now.Add(-24 * time.Hour) // the clock was set
	at = j.end
	store(t, j, entry("a", 1), entry("b", 2))
	if j.end == at {
		t.Error("no pulse after the clock was set back")
	}
	store(t, j)
	at, now = j.end, now.Add(2*pulse)
	store(t, j)
	if j.end != at {
		t.Error("a pulse without calls")
	}
}

func encode(t *testing.T, e Entry) []byte {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSizeIsBounded(t *testing.T) {
	j := newJournal(t)
	files := 0
	j.create = func(path string) (file, error) { files++; return createFile(path) }
	var all []Entry
	for i := range 20 {
		all = append(all, entry(fmt.Sprint(i), 0))
	}
	for i := range 1000 {
		all[i%20] = entry(fmt.Sprint(i%20), i)
		store(t, j, all...)
	}
	if info, err := os.Stat(j.path); err != nil || info.Size() > maxBytes {
		t.Errorf("file %v, %v", info, err)
	}
	if files < 2 || files > 10 {
		t.Errorf("%d new files for 1000 commits", files)
	}
	if got := load(t, j); !same(got, all) {
		t.Errorf("%d entries are back, want %d", len(got), len(all))
	}
	if left, _ := filepath.Glob(j.path + "*"); len(left) != 1 {
		t.Errorf("files left: %v", left)
	}
}

func TestEntriesPastALimitAreLeftOut(t *testing.T) {
	j := newJournal(t)
	large := entry("large", 1)
	large.Dialog = json.RawMessage(`"` + strings.Repeat("x", maxEntry) + `"`)
	broken := entry("broken", 1)
	broken.Dialog = json.RawMessage(`{`)
	err := j.Store([]Entry{entry("a", 1), large, broken, entry("b", 1)})
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "entry large of ") || !strings.Contains(err.Error(), "entry broken") {
		t.Errorf("error %v", err)
	}
	if got := load(t, j); !same(got, []Entry{entry("a", 1), entry("b", 1)}) {
		t.Errorf("got %v", got)
	}
	if err := j.Store([]Entry{entry("a", 1), large}); !errors.Is(err, ErrFull) {
		t.Errorf("the second time: %v", err)
	}
	half := entry("", 1)
	half.Dialog = json.RawMessage(`"` + strings.Repeat("x", maxEntry/2) + `"`)
	var many []Entry
	for i := range 100 {
		half.Key = fmt.Sprint(i)
		many = append(many, half)
	}
	if err := j.Store(many); !errors.Is(err, ErrFull) {
		t.Errorf("3 MB: %v", err)
	}
	if n := len(load(t, j)); n < 60 || n > 65 {
		t.Errorf("%d of 100 entries of 32 KB are stored", n)
	}
}

func TestAnotherAppliancesJournalIsRefused(t *testing.T) {
	j := newJournal(t)
	store(t, j, entry("a", 1))
	c, err := New(j.path, "dock-2").Load()
	if !errors.Is(err, ErrOwner) || !strings.Contains(err.Error(), `"dock-1"'s, this is "dock-2"`) {
		t.Errorf("error %v", err)
	}
	if c.Owner != "dock-1" || !same(c.Entries, []Entry{entry("a", 1)}) {
		t.Errorf("the other's content: %+v", c)
	}
}

// Keep says who is on the disk, also when it takes nothing more: then whoever was stored before, as he was parked.
func TestKeepSaysWhoIsThere(t *testing.T) {
	talks := entry("talks", 1)
	talks.Slot = nil
	parked := entry("talks", 2)
	large := entry("large", 1)
	large.Dialog = json.RawMessage(`"` + strings.Repeat("x", maxEntry) + `"`)
	for _, tc := range []struct {
		name  string
		fault error
		keep  []Entry
		want  []string
		err   error
	}{
		{"nothing new", nil, []Entry{entry("a", 1), talks}, []string{"a"}, nil},
		{"new", nil, []Entry{entry("b", 1), parked}, []string{"b", "talks"}, nil},
		{"one is too large", nil, []Entry{entry("a", 1), large}, []string{"a"}, ErrFull},
		{"full", syscall.ENOSPC, []Entry{entry("a", 2), entry("b", 1), parked}, []string{"a"}, syscall.ENOSPC},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := newJournal(t)
			now := t0
			j.now = func() time.Time { return now }
			var fail error
			create := j.create
			j.create = func(path string) (file, error) {
				f, err := create(path)
				return faulty{f, &fail}, err
			}
			store(t, j, entry("a", 1), talks)
			fail, now = tc.fault, now.Add(time.Second)
			found, err := j.Keep(tc.keep)
			if j.Has("large") {
				t.Error("it has what is too large")
			}
			if !errors.Is(err, tc.err) || len(found) != len(tc.want) {
				t.Errorf("found %v, %v; want %v, %v", found, err, tc.want, tc.err)
			}
			for _, key := range tc.want {
				if !found[key] {
					t.Errorf("%s is not found", key)
				}
				if j.Has(key) != (tc.fault == nil) {
					t.Errorf("%s: it has it: %t", key, j.Has(key))
				}
			}
			if c, err := New(j.path, j.owner).Load(); err != nil || tc.fault == nil && !c.At.Equal(now) {
				t.Errorf("the end was at %v, the file says %v, %v", now, c.At, err)
			}
		})
	}
	j := New("/proc/parklamp/journal", "dock-1")
	if found, err := j.Keep([]Entry{entry("a", 1)}); len(found) > 0 || err == nil {
		t.Errorf("nowhere: found %v, %v", found, err)
	}
}

func TestNoPlaceToWrite(t *testing.T) {
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j := New(filepath.Join(inTheWay, "journal"), "dock-1")
	if err := j.Store([]Entry{entry("a", 1)}); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), inTheWay) {
		t.Errorf("error %v", err)
	}
	if _, err := j.Load(); err == nil {
		t.Error("loaded from below a file")
	}
	if _, err := j.SetAside(); err == nil {
		t.Error("set aside nothing")
	}
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]Config{
		`path = "journal": an absolute path of at most 4000 bytes, or empty`: {Path: "journal", MaxAge: time.Minute},
		"max_age = 0s: 1s to 24h": {},
	} {
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	b, err := appendFrame(header(), commit{Owner: "dock-1", At: t0})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	b, err = appendFrame(b, commit{At: t0, Put: []Entry{entry("a", 1), entry("b", 1)}, Gone: []string{"c"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(append(b, 0, 0, 0, 0, 0, 0))
	f.Add(header())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parse(b, "dock-1")
		if err != nil {
			return
		}
		// What was read can be stored and read again.
		var again []byte
		again, err = appendFrame(header(), commit{Owner: "dock-1", At: c.At, Put: c.Entries})
		if err != nil {
			t.Fatal(err)
		}
		d, err := parse(again, "dock-1")
		if err != nil || len(d.Entries) != len(c.Entries) {
			t.Fatalf("%d entries, then %d: %v", len(c.Entries), len(d.Entries), err)
		}
	})
}

// BenchmarkStore is one commit with its fdatasync, on the disk of the temporary folder.
func BenchmarkStore(b *testing.B) {
	for _, calls := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%d calls", calls), func(b *testing.B) {
			j := New(filepath.Join(b.TempDir(), "journal"), "dock-1")
			defer j.Close()
			var all []Entry
			for i := range calls {
				e := entry(fmt.Sprint(i), 0)
				e.Dialog = json.RawMessage(fmt.Sprintf("%q", strings.Repeat("x", 1800)))
				all = append(all, e)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				all[i%calls].Media = json.RawMessage(fmt.Sprint(i))
				if err := j.Store(all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The clock of the machine is set while calls are parked: by its monotonic reading no time passes, and a power cut within the
// next minute would make the callers of a moment ago those of long ago.
func TestPulseGoesByTheWallClock(t *testing.T) {
	j := New(filepath.Join(t.TempDir(), "journal"), "dock-1")
	if err := j.Store([]Entry{{Key: "1"}}); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if j.wroteAt != j.wroteAt.Round(0) {
		t.Errorf("%v is compared by its monotonic reading", j.wroteAt)
	}
}
