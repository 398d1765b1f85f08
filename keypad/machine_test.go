package keypad

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parklamp/board"

	"pgregory.net/rapid"
)

func desk(t testing.TB) board.Model {
	t.Helper()
	m, err := board.Load("desk", []string{"701", "702", "703", "704", "705", "706", "707", "708", "709", "710"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// feed scans once each millisecond: a step "12 1 park" closes key 1 and park from 12 ms on, "hook" lifts the
// handset. It returns the events as "at kind key".
func feed(m *Machine, until int, steps ...string) []string {
	var got []string
	rows := make([]uint32, len(m.model.Rows))
	hook := false
	next := 0
	for ms := range until + 1 {
		for next < len(steps) {
			fields := strings.Fields(steps[next])
			var at int
			fmt.Sscan(fields[0], &at)
			if at > ms {
				break
			}
			next++
			clear(rows)
			hook = false
			for _, f := range fields[1:] {
				if f == "hook" {
					hook = true
					continue
				}
				k, ok := m.model.Key(board.Key(f))
				if !ok {
					panic("no key " + f)
				}
				rows[k.Row] |= 1 << k.Column
			}
		}
		at := epoch.Add(time.Duration(ms) * time.Millisecond)
		for _, e := range m.Scan(Sample{At: at, Rows: rows, Hook: hook}) {
			got = append(got, fmt.Sprintf("%d %v %s", e.Seen.Sub(epoch).Milliseconds(), e.Kind, e.Key))
		}
	}
	return got
}

func TestMachine(t *testing.T) {
	cases := []struct {
		name  string
		until int
		steps []string
		want  []string
	}{
		{"press and release", 100, []string{"10 5", "50"}, []string{"12 down 5", "80 up 5"}},
		{"a spike is no press", 100, []string{"10 5", "11"}, nil},
		{"bounce at both ends", 120, []string{"10 5", "11", "12 5", "50", "52 5", "55", "58 5", "60"},
			[]string{"14 down 5", "90 up 5"}},
		{"a glove lets go for 25 ms", 200, []string{"10 5", "40", "65 5", "100"}, []string{"12 down 5", "130 up 5"}},
		{"two keys at once", 100, []string{"10 5 6", "50"}, []string{"12 down 5", "12 down 6", "80 up 5", "80 up 6"}},
		{"rollover", 100, []string{"10 5", "20 5 6", "30 6", "50"},
			[]string{"12 down 5", "22 down 6", "60 up 5", "80 up 6"}},
		{"long press, once", 2000, []string{"10 orbit-703", "1900"},
			[]string{"12 down orbit-703", "812 long orbit-703", "1930 up orbit-703"}},
		{"just below a long press", 900, []string{"10 park", "811"}, []string{"12 down park", "841 up park"}},
		{"stuck", 30200, []string{"10 7", "30100"},
			[]string{"12 down 7", "812 long 7", "30012 stuck 7", "30130 up 7"}},
		{"held at the start is no press", 2000, []string{"0 park", "1000"}, []string{"2 held park", "1030 up park"}},
		{"held at the start, pressed again", 300, []string{"0 park", "100", "200 park"}, []string{"2 held park", "130 up park", "202 down park"}},
		{"jammed since the start", 30300, []string{"0 park", "30100"}, []string{"2 held park", "30002 stuck park", "30130 up park"}},
		// 1 and 2 share a row, 2 and 5 a column; 4 would be the ghost.
		{"the third key of a rectangle waits", 200, []string{"10 1 2", "20 1 2 4 5", "60 2 5", "120"},
			[]string{"12 down 1", "12 down 2", "62 down 5", "90 up 1", "150 up 2", "150 up 5"}},
		{"ghosts alone are no press", 200, []string{"10 1 2 4 5", "100"}, nil},
		{"keys that are down stay down among ghosts", 200, []string{"10 1 2", "20 1 2 4 5", "100 1 2", "110"},
			[]string{"12 down 1", "12 down 2", "140 up 1", "140 up 2"}},
		{"handset", 400, []string{"10 hook", "12", "13 hook", "200", "205 hook", "208"},
			[]string{"23 lifted hook", "288 replaced hook"}},
		{"a bumped cradle does not hang up", 400, []string{"10 hook", "100", "170 hook"}, []string{"20 lifted hook"}},
		{"handset lifted at the start", 50, []string{"0 hook"}, []string{"10 lifted hook"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := feed(NewMachine(Default(), desk(t)), c.until, c.steps...); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestDiodesKnowNoGhosts(t *testing.T) {
	model := desk(t)
	model.Diodes = true
	got := feed(NewMachine(Default(), model), 20, "10 1 2 4 5")
	if len(got) != 4 {
		t.Errorf("got %q, want four presses", got)
	}
}

func TestNextIsZeroAtRest(t *testing.T) {
	m := NewMachine(Default(), desk(t))
	if m.Next() != 0 {
		t.Errorf("before the first sample: %v", m.Next())
	}
	feed(m, 100, "10 5", "50")
	if m.Next() != 0 {
		t.Errorf("after a press: %v", m.Next())
	}
	m = NewMachine(Default(), desk(t))
	feed(m, 10, "10 5")
	if m.Next() != Default().ScanPeriod {
		t.Errorf("while a key closes: %v", m.Next())
	}
	m = NewMachine(Default(), desk(t))
	feed(m, 40000, "10 5")
	if m.Next() != stuckPeriods*Default().ScanPeriod {
		t.Errorf("with a stuck key: %v", m.Next())
	}
}

// Whatever the contacts do, each key's events alternate Down and Up, a Down needs two closed samples and an Up
// comes only after Release without contact.
func TestMachineProperties(t *testing.T) {
	model := desk(t)
	cfg := Default()
	rapid.Check(t, func(t *rapid.T) {
		m := NewMachine(cfg, model)
		rows := make([]uint32, len(model.Rows))
		m.Scan(Sample{At: epoch, Rows: rows})
		isDown := map[board.Key]bool{}
		lastClosed := map[board.Key]time.Time{}
		at := epoch
		for _, ms := range rapid.SliceOfN(rapid.IntRange(0, 40), 1, 200).Draw(t, "ms between samples") {
			at = at.Add(time.Duration(ms) * time.Millisecond)
			for i := range rows {
				rows[i] = rapid.Uint32Range(0, 15).Draw(t, "row") & rapid.Uint32Range(0, 15).Draw(t, "mask")
			}
			for _, k := range model.Keys {
				if rows[k.Row]&(1<<k.Column) != 0 {
					lastClosed[k.Key] = at
				}
			}
			for _, e := range m.Scan(Sample{At: at, Rows: rows}) {
				switch e.Kind {
				case Down:
					if isDown[e.Key] {
						t.Fatalf("%s down twice", e.Key)
					}
					isDown[e.Key] = true
					if !lastClosed[e.Key].Equal(at) {
						t.Fatalf("%s down while open", e.Key)
					}
				case Up:
					if !isDown[e.Key] {
						t.Fatalf("%s up without down", e.Key)
					}
					isDown[e.Key] = false
					if lastClosed[e.Key].Equal(at) || at.Sub(e.At) < cfg.Release {
						t.Fatalf("%s up after %v", e.Key, at.Sub(e.At))
					}
				case Long, Stuck:
					if !isDown[e.Key] {
						t.Fatalf("%s %v while up", e.Key, e.Kind)
					}
				}
			}
		}
	})
}

func TestConfigValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.LongPress = time.Minute
	if err := cfg.Validate(); err == nil || err.Error() != "long_press: 1m0s is not from 300ms to 5s" {
		t.Errorf("error %v", err)
	}
}

func BenchmarkMachineScan(b *testing.B) {
	m := NewMachine(Default(), desk(b))
	rows := make([]uint32, len(m.model.Rows))
	at := epoch
	b.ReportAllocs()
	for i := range b.N {
		at = at.Add(2 * time.Millisecond)
		rows[1] = uint32(i>>6) & 2
		m.Scan(Sample{At: at, Rows: rows})
	}
}

// A key that is brushed right after another one of its column was let go is no press: the contact that the column had was the other's.
func TestBrushedAfterAnotherOfItsColumn(t *testing.T) {
	model := desk(t)
	m := NewMachine(Default(), model)
	rows := make([]uint32, len(model.Rows))
	column := 0
	var got []string
	scan := func(at time.Duration, key board.Key, edges ...board.Edge) {
		clear(rows)
		columns := uint32(0)
		if k, ok := model.Key(key); ok {
			rows[k.Row], column, columns = 1<<k.Column, k.Column, 1<<k.Column
		}
		for i := range edges {
			edges[i].Input, edges[i].Index = board.Column, column
		}
		for _, e := range m.Scan(Sample{From: epoch.Add(at - 50*time.Microsecond), At: epoch.Add(at), Edges: edges, Rows: rows}) {
			got = append(got, fmt.Sprintf("%v %s", e.Kind, e.Key))
		}
		m.Armed(epoch.Add(at), columns)
	}
	scan(0, "")
	for at := 10 * ms; at <= 110*ms; at += 2 * ms {
		scan(at, "2")
	}
	scan(112*ms, "", board.Edge{At: epoch.Add(111 * ms)})
	scan(120*ms, "5", board.Edge{At: epoch.Add(120*ms - 100*time.Microsecond), Active: true})
	scan(122*ms, "", board.Edge{At: epoch.Add(120*ms + 100*time.Microsecond)})
	scan(200*ms, "")
	scan(300*ms, "5", board.Edge{At: epoch.Add(299 * ms), Active: true})
	scan(302*ms, "5")
	scan(400*ms, "", board.Edge{At: epoch.Add(390 * ms)})
	scan(500*ms, "")
	if want := []string{"down 2", "up 2", "down 5", "up 5"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := m.Unseen(); n != 0 {
		t.Errorf("%d presses unseen", n)
	}
}

// While the lines cannot be read a key can be let go and pressed again: it is no long press for that.
func TestLinesThatCannotBeReadMakeNoLongPress(t *testing.T) {
	model := desk(t)
	m := NewMachine(Default(), model)
	got := feed(m, 700, "10 5")
	m.Blind()
	five, _ := model.Key("5")
	rows := make([]uint32, len(model.Rows))
	rows[five.Row] = 1 << five.Column
	for at := 950; at <= 1800; at++ {
		for _, e := range m.Scan(Sample{At: epoch.Add(time.Duration(at) * ms), Rows: rows}) {
			got = append(got, fmt.Sprintf("%d %v %s", at, e.Kind, e.Key))
		}
	}
	if want := []string{"12 down 5", "1750 long 5"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
