package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/nettest"
	"parklamp/cmd/internal/selftest"
)

// worst lists what is not well, as "outcome item: text".
func worst(all []selftest.Finding) []string {
	var bad []string
	for _, f := range all {
		if f.Outcome != selftest.Passed {
			bad = append(bad, fmt.Sprintf("%s %s: %s", f.Outcome, f.Item, f.Text))
		}
	}
	return bad
}

// fit says whether each word of want is in the findings, in order, and nothing else is there.
func fit(bad []string, want ...string) bool {
	return slices.EqualFunc(bad, want, func(b, w string) bool {
		for _, part := range strings.Split(w, "...") {
			if !strings.Contains(b, part) {
				return false
			}
		}
		return true
	})
}

func TestJudgeDisk(t *testing.T) {
	same := func(n int, d time.Duration) []time.Duration {
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = d
		}
		return all
	}
	const plenty = 1 << 30
	well := storage{free: plenty, size: plenty, large: same(largePieces, 5*time.Millisecond), small: same(smallPieces, time.Millisecond)}
	cases := []struct {
		name   string
		change func(*storage)
		want   []string
	}{
		{"well", func(*storage) {}, nil},
		{"little is free", func(s *storage) { s.free = littleFree - 1 }, []string{"warning space...64 MiB are safe"}},
		{"full", func(s *storage) { s.free, s.err, s.large, s.small = 0, unix.ENOSPC, nil, nil },
			[]string{"failed space...is full", "failed write...no space left"}},
		{"so full that nothing is written", func(s *storage) { s.free, s.large, s.small = leastFree-1, nil, nil },
			[]string{"failed space...is full"}},
		{"read-only", func(s *storage) { s.readOnly, s.large, s.small = true, nil, nil },
			[]string{"failed space...read-only", "warning time"}},
		{"not there", func(s *storage) { *s = storage{err: errors.New("no such file")} }, []string{"failed write...no such file"}},
		{"slow", func(s *storage) { s.large = same(largePieces, 100*time.Millisecond) }, []string{"warning speed"}},
		{"slow to commit", func(s *storage) { s.small = same(smallPieces, 150*time.Millisecond) }, []string{"warning commit...100ms are safe"}},
		{"one long stall", func(s *storage) { s.large[7] = 3 * time.Second }, []string{"warning commit...more than 2s"}},
		{"so slow that time was up", func(s *storage) { s.large, s.small = same(9, 2500*time.Millisecond), nil }, []string{"warning speed", "warning time"}},
		{"lies", func(s *storage) { s.differs = true }, []string{"failed read back"}},
	}
	for _, c := range cases {
		s := well
		s.large, s.small = slices.Clone(well.large), slices.Clone(well.small)
		c.change(&s)
		if bad := worst(judgeDisk("/data", s)); !fit(bad, c.want...) {
			t.Errorf("%s: %q, want %q", c.name, bad, c.want)
		}
	}
}

func TestDiskOfThisMachine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	began := time.Now()
	all := Disk(t.Context(), dir)
	// A disk that others keep busy may be so slow that time is up before the small pieces: then that is what is found.
	if !slices.ContainsFunc(all, func(f selftest.Finding) bool {
		return f.Item == "commit" && len(f.Figures) == 3 || f.Item == "time" && time.Since(began) >= diskFor
	}) {
		t.Errorf("no figures: %+v", all)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if bad := worst(Disk(ended, dir)); len(bad) != 1 || !strings.Contains(bad[0], "canceled") {
		t.Errorf("given up: %q", bad)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if bad := worst(Disk(t.Context(), file)); len(bad) != 1 || !strings.HasPrefix(bad[0], "failed write") {
		t.Errorf("a folder that is a file: %q", bad)
	}
}

// put writes a file below a root.
func put(t *testing.T, root, path, text string) {
	t.Helper()
	at := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWear(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	if all := wear(dir, root); all != nil {
		t.Errorf("of no disk: %v", all)
	}
	put(t, root, "devices/mmcblk0/device/life_time", "0x01 0x0b\n")
	put(t, root, "devices/mmcblk0/mmcblk0p4/partition", "4\n")
	put(t, root, "fs/ext4/mmcblk0p4/errors_count", "3\n")
	if err := os.MkdirAll(filepath.Join(root, "dev/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(root, "dev/block", fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err := os.Symlink(filepath.Join(root, "devices/mmcblk0/mmcblk0p4"), link); err != nil {
		t.Fatal(err)
	}
	if bad := worst(wear(dir, root)); !fit(bad, "failed mmcblk0p4...3 errors", "warning mmcblk0:...0x0b") {
		t.Errorf("%q", bad)
	}
}

func TestJudgeLink(t *testing.T) {
	cases := []struct {
		carrier, speed, duplex string
		addresses              []string
		want                   selftest.Outcome
	}{
		{"1", "100", "full", []string{"192.0.2.7/24"}, selftest.Passed},
		{"1", "10", "half", []string{"192.0.2.7/24"}, selftest.Warned},
		{"1", "-1", "", []string{"192.0.2.7/24"}, selftest.Passed},
		{"0", "", "", []string{"192.0.2.7/24"}, selftest.Failed},
		{"", "", "", nil, selftest.Warned},
		{"1", "100", "full", nil, selftest.Warned},
	}
	for _, c := range cases {
		if f := judgeLink("eth0", c.carrier, c.speed, c.duplex, c.addresses); f.Outcome != c.want {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

func TestGateway(t *testing.T) {
	root := t.TempDir()
	n := Net{Root: root}
	if f := n.gateway(); f.Outcome != selftest.Warned {
		t.Errorf("without routes: %+v", f)
	}
	none := strings.Repeat("0", 32)
	put(t, root, "proc/net/ipv6_route", none+" 00 "+none+" 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n")
	if f := n.gateway(); f.Outcome != selftest.Passed || f.Text != "fe80::1 on eth0" {
		t.Errorf("of IPv6 alone: %+v", f)
	}
	put(t, root, "proc/net/route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"+
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n")
	if f := n.gateway(); f.Outcome != selftest.Passed || f.Text != "192.0.2.1 on eth0, fe80::1 on eth0" {
		t.Errorf("%+v", f)
	}
}

func TestNetworkNamesWhatIsMissing(t *testing.T) {
	n := Net{Root: t.TempDir(), Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("127.3.4.5")},
		Accounts: []Account{{"sip:a@b", true, ""}, {"sip:c@d", false, "403 Forbidden"}},
		Peers: []Peer{
			{"near", "192.0.2.1:5060", func(context.Context) (Pong, error) { return Pong{Took: time.Millisecond}, nil }},
			{"gone", "192.0.2.2:5060", func(context.Context) (Pong, error) { return Pong{}, errors.New("no answer in time") }},
			{"far", "192.0.2.3:5060", func(context.Context) (Pong, error) { return Pong{Took: 80 * time.Millisecond}, nil }},
			{"flaky", "192.0.2.4:5060", flaky()},
		}}
	bad := slices.DeleteFunc(worst(Network(t.Context(), n)), func(b string) bool { // what this machine's own links are is not known
		return !strings.Contains(b, "203.0.113.77") && !strings.Contains(b, "127.3.4.5") && !strings.Contains(b, "registrar") && !strings.Contains(b, "peer")
	})
	if !fit(bad, "failed 203.0.113.77", "failed registrar sip:c@d...403", "failed peer gone...192.0.2.2:5060", "warning peer far...slow", "warning peer flaky...2 of 5") {
		t.Errorf("%q", bad)
	}
}

// flaky answers three of five questions.
func flaky() func(context.Context) (Pong, error) {
	n := 0
	return func(context.Context) (Pong, error) {
		if n++; n%2 == 0 {
			return Pong{}, errors.New("lost")
		}
		return Pong{Took: time.Millisecond}, nil
	}
}

func TestDNSQuery(t *testing.T) {
	reply := func(rcode dnsmessage.RCode, id uint16) func([]byte) []byte {
		return func(q []byte) []byte {
			var m dnsmessage.Message
			if m.Unpack(q) != nil {
				return nil
			}
			m.Response, m.RCode, m.ID = true, rcode, m.ID+id
			b, _ := m.Pack()
			return b
		}
	}
	for name, c := range map[string]struct {
		answer func([]byte) []byte
		good   bool
	}{
		"an answer":    {reply(dnsmessage.RCodeSuccess, 0), true},
		"no such name": {reply(dnsmessage.RCodeNameError, 0), true},
		"another's":    {reply(dnsmessage.RCodeSuccess, 1), false},
		"no DNS":       {func([]byte) []byte { return []byte("hello") }, false},
	} {
		if _, err := query(t.Context(), nettest.Answer(t, c.answer), "pbx.example.com"); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := query(ended, nettest.Answer(t, func([]byte) []byte { return nil }), "a.b"); err == nil {
		t.Error("no answer is no error")
	}
}

func TestJudgeClocks(t *testing.T) {
	date := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	if bad := worst([]selftest.Finding{judgeOffset("x", 3*time.Second, 0), judgeOffset("y", -time.Second, 0)}); !fit(bad, "failed x...3s") {
		t.Errorf("%q", bad)
	}
	for off, want := range map[time.Duration]selftest.Outcome{0: selftest.Passed, 900 * time.Millisecond: selftest.Passed, 2900 * time.Millisecond: selftest.Passed,
		3100 * time.Millisecond: selftest.Failed, -1900 * time.Millisecond: selftest.Passed, -2100 * time.Millisecond: selftest.Failed} {
		if f := judgePeerDate("p", date.Add(off), date); f.Outcome != want {
			t.Errorf("%v: %+v", off, f)
		}
	}
	if f := judgeNow(time.Unix(60, 0)); f.Outcome != selftest.Failed {
		t.Errorf("%+v", f)
	}
	if f := judgeKernel(0, 0, time.Millisecond); f.Outcome != selftest.Passed {
		t.Errorf("%+v", f)
	}
	if f := judgeKernel(5, unix.STA_UNSYNC, 0); f.Outcome != selftest.Warned {
		t.Errorf("%+v", f)
	}
	root := t.TempDir()
	c := Clocks{Root: root}
	if f := c.rtc(date); f.Outcome != selftest.Absent {
		t.Errorf("%+v", f)
	}
	put(t, root, "sys/class/rtc/rtc0/since_epoch", fmt.Sprintln(date.Unix()-60))
	if f := c.rtc(date); f.Outcome != selftest.Warned {
		t.Errorf("%+v", f)
	}
	alone := worst(Clock(t.Context(), Clocks{Root: root}))
	if !strings.Contains(strings.Join(alone, "\n"), "nothing to compare with") {
		t.Errorf("%q", alone)
	}
}

// room plays what was sent after a while, softer, with noise.
func room(sent []int16, late time.Duration, gainDB, noiseDBFS float64) []int16 {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]int16, len(sent)+samples(SweepTail))
	for i := range out {
		v := r.NormFloat64() * 32768 * math.Pow(10, noiseDBFS/20)
		if j := i - samples(late); j >= 0 && j < len(sent) {
			v += float64(sent[j]) * math.Pow(10, gainDB/20)
		}
		out[i] = int16(max(-32768, min(32767, v)))
	}
	return out
}

func TestSweepIsFound(t *testing.T) {
	for _, c := range []struct {
		late        time.Duration
		gain, noise float64
		found       bool
	}{{40 * time.Millisecond, -6, -60, true}, {300 * time.Millisecond, -30, -50, true}, {90 * time.Millisecond, -45, -60, true},
		{0, -200, -40, false}, {0, -200, -200, false}} {
		gain, late, ok := heard(room(Sweep(), c.late, c.gain, c.noise))
		if ok != c.found || ok && (math.Abs(gain-c.gain) > 1 || (late-c.late).Abs() > time.Millisecond) {
			t.Errorf("%+v: %.1f dB, %v, %v", c, gain, late, ok)
		}
	}
	if _, _, ok := heard(nil); ok {
		t.Error("nothing holds it")
	}
	if f := Loop("loudspeaker", nil)[0]; f.Outcome != selftest.Warned {
		t.Errorf("%+v", f)
	}
	if f := Loop("loudspeaker", room(Sweep(), 40*time.Millisecond, -12, -60))[0]; f.Outcome != selftest.Passed || f.Text != "heard, -12 dB" {
		t.Errorf("%+v", f)
	}
}

func TestLevel(t *testing.T) {
	x := make([]int16, 16000)
	for i := range 4000 { // a quarter of it speaks
		x[i+5000] = int16(3276.8 * math.Sin(float64(i)))
	}
	if level, peak := Level(x); math.Abs(level+23) > 0.5 || math.Abs(peak+20) > 0.1 {
		t.Errorf("%.1f %.1f, want -23 and -20 dBFS", level, peak)
	}
	for _, quiet := range [][]int16{nil, make([]int16, 100)} {
		if level, peak := Level(quiet); level != quietest || peak != quietest {
			t.Errorf("silence has %v %v", level, peak)
		}
	}
}

// watched is a context that looks at a folder whenever it is asked whether it has ended.
type watched struct {
	context.Context
	look func()
}

func (w watched) Err() error {
	w.look()
	return w.Context.Err()
}

// A program that is killed while it measures, or a power cut, leaves nothing on the card: what is measured with has no name.
func TestDiskLeavesNothingWhenKilled(t *testing.T) {
	dir := t.TempDir()
	asked, seen := 0, 0
	Disk(watched{t.Context(), func() {
		left, _ := os.ReadDir(dir)
		asked, seen = asked+1, max(seen, len(left))
	}}, dir)
	if asked == 0 || seen > 0 {
		t.Errorf("%d files in the folder meanwhile, seen in %d looks", seen, asked)
	}
}
