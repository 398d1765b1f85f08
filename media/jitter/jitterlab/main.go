// Command jitterlab replays a packet trace through the jitter buffer as a session uses it, tick by tick,
// and writes what was played when. It knows nothing of which trace it reads.
//
// The trace is gzip CSV: comment lines with key=value words (rx_skew_ppm, tick_phase_us), then
// seq,rtp_ts,send_time_us,arrival_time_us[,flags] in send order; arrival may be "lost", flag C is comfort
// noise. The log is "# jblog=1 buffer=parklamp rx_skew_ppm=P mode=ticks" and a line for each tick:
// tick_index,playout_time_us,seq|conceal|silence. Times are true times; the buffer sees the receiver's.
package main

import (
	"bufio"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"parklamp/media/jitter"
)

type packet struct {
	jitter.Packet
	arrival float64 // µs, true time
}

type trace struct {
	packets []packet // in order of arrival
	skew    float64  // receiver clock: 1 + skew·1e-6 times true time
	phase   float64  // µs, true time of tick 0
}

func main() {
	in := flag.String("trace", "", "trace to read, gzip CSV")
	out := flag.String("log", "", "playout log to write; - is standard output")
	skew := flag.String("skew", "", "receiver clock skew in ppm instead of the trace's")
	flag.Parse()
	if *in == "" || *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*in, *out, *skew); err != nil {
		fmt.Fprintln(os.Stderr, "jitterlab:", err)
		os.Exit(1)
	}
}

func run(in, out, skew string) error {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := read(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", in, err)
	}
	if skew != "" {
		if t.skew, err = strconv.ParseFloat(skew, 64); err != nil {
			return fmt.Errorf("skew: %w", err)
		}
	}
	w := os.Stdout
	if out != "-" {
		if w, err = os.Create(out); err != nil {
			return err
		}
	}
	b := bufio.NewWriter(w)
	replay(t, b)
	if err := b.Flush(); err != nil {
		return err
	}
	return w.Close()
}

func read(r io.Reader) (trace, error) {
	var t trace
	z, err := gzip.NewReader(r)
	if err != nil {
		return t, err
	}
	lines := bufio.NewScanner(z)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			for _, word := range strings.Fields(line[1:]) {
				key, value, _ := strings.Cut(word, "=")
				switch key {
				case "rx_skew_ppm":
					t.skew, err = strconv.ParseFloat(value, 64)
				case "tick_phase_us":
					t.phase, err = strconv.ParseFloat(value, 64)
				}
				if err != nil {
					return t, fmt.Errorf("line %d: %w", n, err)
				}
			}
			continue
		}
		fields := strings.Split(line, ",")
		if len(fields) < 4 || fields[3] == "lost" || fields[0] == "seq" {
			continue
		}
		seq, err1 := strconv.ParseUint(fields[0], 10, 16)
		ts, err2 := strconv.ParseUint(fields[1], 10, 32)
		at, err3 := strconv.ParseFloat(fields[3], 64)
		if err1 != nil || err2 != nil || err3 != nil {
			return t, fmt.Errorf("line %d: %q is not a packet", n, line)
		}
		p := packet{arrival: at}
		p.Seq, p.TS, p.Samples = uint16(seq), uint32(ts), 160
		if len(fields) > 4 {
			p.Marker = strings.Contains(fields[4], "M")
			if p.Comfort = strings.Contains(fields[4], "C"); p.Comfort {
				p.Samples = 0
			}
		}
		t.packets = append(t.packets, p)
	}
	sort.SliceStable(t.packets, func(i, j int) bool { return t.packets[i].arrival < t.packets[j].arrival })
	return t, lines.Err()
}

func replay(t trace, w io.Writer) {
	fmt.Fprintf(w, "# jblog=1 buffer=parklamp rx_skew_ppm=%g mode=ticks\n", t.skew)
	if len(t.packets) == 0 {
		return
	}
	rate := 1 + t.skew*1e-6
	local := func(us float64) time.Duration { return time.Duration(us * rate * 1000) }
	b := jitter.New(jitter.Default())
	end := t.packets[len(t.packets)-1].arrival + 2e6
	next := 0
	for k := 0; ; k++ {
		now := t.phase + float64(k)*20000/rate
		if now > end {
			return
		}
		for next < len(t.packets) && t.packets[next].arrival <= now {
			p := &t.packets[next]
			b.Put(&p.Packet, local(p.arrival))
			next++
		}
		what := "silence"
		switch out := b.Get(local(now)); out.Kind {
		case jitter.Play, jitter.Comfort:
			what = strconv.Itoa(int(out.Seq))
		case jitter.Conceal:
			what = "conceal"
		}
		fmt.Fprintf(w, "%d,%.0f,%s\n", k, now, what)
	}
}
