package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// transcript prints what happens, a line each, with the time since it began.
type transcript struct {
	out   io.Writer
	begin time.Time

	mu sync.Mutex // guards out
}

func newTranscript(out io.Writer) *transcript { return &transcript{out: out, begin: time.Now()} }

// say prints one line.
func (t *transcript) say(format string, args ...any) {
	t.at(time.Now(), fmt.Sprintf(format, args...))
}

func (t *transcript) at(when time.Time, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%8.3f  %s\n", when.Sub(t.begin).Seconds(), text)
}

// head prints a heading.
func (t *transcript) head(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "\n%s\n", text)
}

// follow prints what a phone shows until ctx ends: hook, tones, rings, prompts and lamps that change.
func (t *transcript) follow(ctx context.Context, a *site.Appliance) error {
	var before panel.Status
	first := true
	return a.Watch(ctx, func(s panel.Status) bool {
		if !first {
			t.changes(a.Name, before, s)
		}
		before, first = s, false
		return true
	})
}

func (t *transcript) changes(name string, old, now panel.Status) {
	line := func(format string, args ...any) { t.say("%-8s "+format, append([]any{name}, args...)...) }
	if old.Phone.HookUp != now.Phone.HookUp {
		line("handset %s", word(now.Phone.HookUp, "lifted", "replaced"))
	}
	if old.Phone.Ring != now.Phone.Ring {
		line("ring %s", orNone(now.Phone.Ring))
	}
	if old.Phone.Tone != now.Phone.Tone && now.Phone.Tone != "" {
		line("tone %s", now.Phone.Tone)
	}
	if !old.Phone.PromptAt.Equal(now.Phone.PromptAt) && now.Phone.Prompt != "" {
		line("says %q", now.Phone.Prompt)
	}
	lamps := map[string]panel.Lamp{}
	for _, l := range old.Lamps {
		lamps[l.ID] = l
	}
	for _, l := range now.Lamps {
		if was := lamps[l.ID]; was.Pattern != l.Pattern {
			line("lamp %s: %s", l.ID, lampWords(l))
		}
	}
	if old.Phone.State != now.Phone.State {
		line("phone %s", now.Phone.State)
	}
}

func lampWords(l panel.Lamp) string {
	if l.Colour == panel.Off {
		return "off (" + l.Pattern + ")"
	}
	cadence := "steady"
	if len(l.Cadence) > 0 {
		var parts []string
		for _, d := range l.Cadence {
			parts = append(parts, fmt.Sprint(d.Milliseconds()))
		}
		cadence = strings.Join(parts, "/") + " ms"
	}
	return fmt.Sprintf("%s %s (%s)", l.Colour, cadence, l.Pattern)
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func orNone(s string) string {
	if s == "" {
		return "stops"
	}
	return s
}

// sipLine finds the SIP messages in a log of an appliance.
var sipLine = regexp.MustCompile(`time=(\S+) level=DEBUG msg="sip (sent|received)" line="((?:[^"\\]|\\.)*)" peer=(\S+) transport=(\S+)`)

// messages prints the SIP messages that the appliances have logged, but for the traffic that keeps them in touch.
func (t *transcript) messages(phones []*site.Appliance) error {
	var sent []message
	for _, a := range phones {
		f, err := os.Open(a.Log)
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			m := sipLine.FindStringSubmatch(lines.Text())
			if m == nil || strings.Contains(m[3], "OPTIONS") {
				continue
			}
			when, err := time.Parse(time.RFC3339Nano, m[1])
			if err == nil && m[2] == "sent" { // each message once, where it was sent
				sent = append(sent, message{when, a.Name, m[3], fmt.Sprintf("%-8s -> %s/%s  %s", a.Name, m[4], m[5], m[3])})
			}
		}
		_ = f.Close()
		if err := lines.Err(); err != nil {
			return err
		}
	}
	for _, m := range inOrder(sent) {
		if m.at.After(t.begin) {
			t.at(m.at, m.text)
		}
	}
	return nil
}

// message is a SIP message of a log.
type message struct {
	at         time.Time
	from, line string // appliance, and the log's words
	text       string // to print
}

// inOrder sorts messages by the time of their sending. A log has milliseconds: of those in one, each appliance's stay in
// their order, and nothing stands above what it answers.
func inOrder(sent []message) []message {
	slices.SortStableFunc(sent, func(a, b message) int { return a.at.Compare(b.at) })
	out := make([]message, 0, len(sent))
	for len(sent) > 0 {
		same := slices.IndexFunc(sent, func(m message) bool { return !m.at.Equal(sent[0].at) })
		if same < 0 {
			same = len(sent)
		}
		next := 0
		for i, m := range sent[:same] {
			if !slices.ContainsFunc(sent[:same], func(o message) bool { return o.from != m.from && m.answers(o) }) &&
				!slices.ContainsFunc(sent[:i], func(o message) bool { return o.from == m.from }) {
				next = i
				break
			}
		}
		out = append(out, sent[next])
		sent = slices.Delete(sent, next, next+1)
	}
	return out
}

// answers says whether a message may be the answer to another: the response to a request, or the ACK for a response to INVITE.
func (m message) answers(o message) bool {
	if _, method, response := strings.Cut(m.line, " to "); response {
		return strings.HasPrefix(o.line, method+" ")
	}
	return strings.HasPrefix(m.line, "ACK ") && strings.HasSuffix(o.line, " to INVITE")
}
