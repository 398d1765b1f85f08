// Command jitterlab replays a packet trace through the player of a session, tick by tick, and writes what was
// played when. It knows nothing of which trace it reads. What the sender says are our own prompts, so that time
// stretching works on speech.
//
// The trace is CSV, gzip or plain: comment lines with key=value words (clock_rate, which has to be 8000, rx_skew_ppm,
// tick_phase_us, ptime_us; others are passed over), then
// seq,rtp_ts,send_time_us,arrival_time_us[,flags] in send order; arrival may be "lost", flag C is comfort noise, M a
// marker, D a copy. The log is "# jblog=1 buffer=parklamp rx_skew_ppm=P mode=events" and a row for each packet that
// begins to play and each piece of concealment or silence: tick_index,playout_time_us,seq|conceal|silence,note. Times
// are true times; the buffer sees the receiver's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"parklamp/media/codec"
	"parklamp/media/jitter"
	"parklamp/media/jitter/lab"
	"parklamp/media/prompt"
	"parklamp/media/timeline"
)

func main() {
	in := flag.String("trace", "", "trace to read, CSV, gzip or plain")
	out := flag.String("log", "", "playout log to write; - is standard output")
	skew := flag.String("skew", "", "receiver clock skew in ppm instead of the trace's")
	flag.Parse()
	if *in == "" || *out == "" || flag.NArg() > 0 {
		if flag.NArg() > 0 {
			fmt.Fprintf(os.Stderr, "jitterlab: %q is not an option\n", flag.Arg(0))
		}
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*in, *out, *skew); err != nil {
		fmt.Fprintln(os.Stderr, "jitterlab:", err)
		os.Exit(1)
	}
}

func run(in, out, skew string) (err error) {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := lab.Read(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", in, err)
	}
	if skew != "" {
		if t.SkewPPM, err = lab.ParseSkew(skew); err != nil {
			return fmt.Errorf("-skew: %w", err)
		}
	}
	var w io.WriteCloser = os.Stdout
	if out != "-" {
		if same(f, out) {
			return fmt.Errorf("-log %s is the trace itself; name another file", out)
		}
		if w, err = os.Create(out); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	r := lab.Replay(t, jitter.Default(), speech(), false)
	if out != "-" {
		fmt.Println(r.Score())
	}
	return r.WriteLog(w)
}

// same says whether the open file is what path names.
func same(f *os.File, path string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// speech is half a minute of prompts, µ-law.
func speech() []byte {
	var encoded []byte
	for _, p := range []prompt.Phrase{
		prompt.Taken("1234567890"), prompt.Full(), prompt.Failed(), prompt.Lost("702"), prompt.Empty("96"),
		prompt.Unreachable("8"), prompt.ParkedOn("51"), prompt.NoneParked(), prompt.NoSuchOrbit("43"),
	} {
		source := p.Source()
		for {
			var f [timeline.FrameTicks]int16
			var b [timeline.FrameTicks]byte
			if !source.Next(&f) {
				break
			}
			codec.Encode(codec.PCMU, b[:], f[:])
			encoded = append(encoded, b[:]...)
		}
	}
	return encoded
}
