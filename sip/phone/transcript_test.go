package phone

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// testConfig has closed numbers of three digits that begin with 2, open ones, and ten orbits.
func testConfig() Config {
	c := Default()
	c.DialPlan = []string{"2xx", "0x.T", "*3x"}
	c.Orbits = strings.Fields("701 702 703 704 705 706 707 708 709 710")
	return c
}

// bench steps a machine with a clock of its own, whose timers fire when the clock passes them.
type bench struct {
	m      *Machine
	now    time.Time
	timers map[TimerID]time.Time
}

func newBench(c Config) *bench {
	return &bench{m: New(c), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), timers: make(map[TimerID]time.Time)}
}

func (b *bench) step(in Input) []Effect {
	out := b.m.Step(b.now, in)
	for _, e := range out {
		switch e := e.(type) {
		case SetTimer:
			b.timers[e.ID] = b.now.Add(e.After)
		case StopTimer:
			delete(b.timers, e.ID)
		}
	}
	return out
}

// due returns the timer that fires next, if it does by t.
func (b *bench) due(t time.Time) (TimerID, bool) {
	var ids []TimerID
	for id, at := range b.timers {
		if !at.After(t) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return TimerID{}, false
	}
	return slices.MinFunc(ids, func(x, y TimerID) int {
		if c := b.timers[x].Compare(b.timers[y]); c != 0 {
			return c
		}
		return strings.Compare(x.String(), y.String())
	}), true
}

// wait lets time pass; each timer that fires is told to seen with its effects.
func (b *bench) wait(d time.Duration, seen func(Input, []Effect)) {
	end := b.now.Add(d)
	for {
		id, ok := b.due(end)
		if !ok {
			break
		}
		b.now = b.timers[id]
		delete(b.timers, id)
		seen(Timer{id}, b.step(Timer{id}))
	}
	b.now = end
}

// parseInput reads what Input.String prints.
func parseInput(line string) (Input, error) {
	var args []string
	fields := map[string]string{}
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		n := strings.IndexByte(rest, ' ')
		if q := strings.Index(rest, `="`); q > 0 && (n < 0 || q < n) {
			quoted, err := strconv.QuotedPrefix(rest[q+1:])
			if err != nil {
				return nil, err
			}
			if fields[rest[:q]], err = strconv.Unquote(quoted); err != nil {
				return nil, err
			}
			rest = rest[q+1+len(quoted):]
			continue
		}
		word := rest
		if n >= 0 {
			word = rest[:n]
		}
		rest = rest[len(word):]
		if key, value, ok := strings.Cut(word, "="); ok {
			fields[key] = value
		} else {
			args = append(args, word)
		}
	}
	for len(args) < 3 {
		args = append(args, "")
	}
	has := func(name string) bool { return slices.Contains(args, name) }
	id, orbit, from, name := CallID(args[1]), fields["orbit"], fields["from"], fields["name"]
	switch args[0] {
	case "hook":
		return Hook{args[1] == "up"}, nil
	case "digit":
		if len(args[1]) == 1 {
			return Digit{args[1][0]}, nil
		}
	case "key":
		return KeyDown{Key(args[1])}, nil
	case "orbit":
		for s := OrbitFree; s <= OrbitUnknown; s++ {
			if s.String() == args[2] {
				return Orbit{args[1], s, has("long")}, nil
			}
		}
	case "incoming":
		return Incoming{id, from, name, has("recall"), orbit, has("auto-answer"), has("emergency")}, nil
	case "progress":
		return Progress{id, has("early")}, nil
	case "answered":
		return Answered{id}, nil
	case "failed":
		code, err := strconv.Atoi(args[2])
		return Failed{id, code}, err
	case "ended":
		return Ended{id}, nil
	case "remote-hold":
		return RemoteHold{id, args[2] == "on"}, nil
	case "identity":
		return Identity{id, from, name}, nil
	case "referred":
		return Referred{id}, nil
	case "transfer-progress":
		code, err := strconv.Atoi(args[2])
		return TransferProgress{id, code, has("final")}, err
	case "park-committed":
		return ParkCommitted{id, args[2]}, nil
	case "park-refused":
		return ParkRefused{id, orbit, Reason(args[2])}, nil
	case "fetched":
		return Fetched{id, orbit, from, name}, nil
	case "fetch-refused":
		return FetchRefused{id, orbit, Reason(args[2])}, nil
	case "timer":
		kind, call, _ := strings.Cut(args[1], ":")
		for k := TimerState; k <= TimerCall; k++ {
			if k.String() == kind {
				return Timer{TimerID{k, CallID(call)}}, nil
			}
		}
	case "spoken":
		return Spoken{}, nil
	}
	return nil, fmt.Errorf("%q is no input", line)
}

func TestInputStringsReadBack(t *testing.T) {
	for _, in := range []Input{
		Hook{true}, Hook{false}, Digit{'#'}, KeyDown{KeyVolumeUp}, Orbit{"701", OrbitTaken, true}, Orbit{"701", OrbitFree, false},
		Incoming{"c1", "+4930 1", `A "B" = C`, true, "702", true, true}, Incoming{Call: "c1"}, Progress{"p1", true}, Progress{"p1", false},
		Answered{"p1"}, Failed{"p1", 486}, Ended{"c1"}, RemoteHold{"c1", true}, Identity{"c1", "1", "Ann"}, Referred{"c1"},
		TransferProgress{"c1", 200, true}, TransferProgress{"c1", 180, false}, ParkCommitted{"c1", "701"},
		ParkRefused{"c1", "701", ReasonTaken}, Fetched{"p1", "701", "1", "Ann"}, FetchRefused{"p1", "", ReasonEmpty},
		Timer{TimerID{Kind: TimerReminder}}, Timer{TimerID{TimerCall, "c1"}}, Spoken{},
	} {
		got, err := parseInput(in.String())
		if err != nil || got != in {
			t.Errorf("%q reads back as %#v, %v; want %#v", in, got, err, in)
		}
	}
}

// TestTranscripts runs the commands of each testdata/*.txt, "> " before each, and compares the effects that follow.
// A command is an input, "dial 204#" (digits one after the other), "orbit 701 taken", "wait 5s" (timers fire), "# …".
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := transcript(want)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, file, want, got)
		})
	}
}

func golden(t *testing.T, file string, want, got []byte) {
	t.Helper()
	if bytes.Equal(want, got) {
		return
	}
	if *update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			t.Fatalf("%s:%d differs (go test -update rewrites it):\nwant %q\ngot  %q", file, i+1, w[min(i, len(w)-1)], g[min(i, len(g)-1)])
		}
	}
}

// transcript runs the commands of a transcript and returns it with the effects that they have now.
func transcript(text []byte) ([]byte, error) {
	b := newBench(testConfig())
	var out bytes.Buffer
	seen := func(_ Input, effects []Effect) {
		for _, e := range effects {
			fmt.Fprintf(&out, "  %v\n", e)
		}
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		command, is := strings.CutPrefix(line, "> ")
		if !is {
			if line == "" || line[0] == '#' {
				fmt.Fprintln(&out, line)
			}
			continue
		}
		fmt.Fprintln(&out, line)
		name, arg, _ := strings.Cut(command, " ")
		switch name {
		case "dial":
			for _, d := range []byte(arg) {
				seen(nil, b.step(Digit{d}))
			}
		case "wait":
			d, err := time.ParseDuration(arg)
			if err != nil {
				return nil, err
			}
			b.wait(d, seen)
		default:
			in, err := parseInput(command)
			if err != nil {
				return nil, err
			}
			seen(in, b.step(in))
		}
		fmt.Fprintf(&out, "= %v\n", b.m.View().State)
	}
	return out.Bytes(), lines.Err()
}
