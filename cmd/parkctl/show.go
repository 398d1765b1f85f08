package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parklamp/parkd/panel"
)

// ask gets a Status, or with --json prints one resource of the API and returns
// false.
func (t *tool) ask(ctx context.Context, resource string) (s panel.Status, show bool, err error) {
	c := t.appliance()
	if !t.json {
		s, err = c.Status(ctx)
		return s, err == nil, err
	}
	text, err := c.Get(ctx, resource)
	if err != nil {
		return s, false, err
	}
	return s, false, t.indented(text)
}

func (t *tool) indented(text []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(text), "", "  "); err != nil {
		return fmt.Errorf("%w: %w", errNoJSON, err)
	}
	return t.raw(b.Bytes())
}

// errNoJSON: what came is not what a program could read.
var errNoJSON = errors.New("the appliance sent no JSON")

// raw prints JSON that came from outside as a line. What a terminal would obey is escaped, which to a program is the same.
func (t *tool) raw(text []byte) error {
	if !json.Valid(text) {
		return errNoJSON
	}
	_, err := fmt.Fprintf(t.out, "%s\n", cleanJSON(bytes.TrimSpace(text)))
	return err
}

func (t *tool) status(ctx context.Context, _ []string) error {
	if t.count {
		return t.counters(ctx)
	}
	s, show, err := t.ask(ctx, "status")
	if !show {
		return err
	}
	parts := append([]string{s.Appliance.Version, "up " + age(s.At, s.Appliance.Started)}, s.Appliance.Addresses...)
	rows := [][]cell{{{"Appliance", faint}, {s.Appliance.Name, bold}, {strings.Join(parts, ", "), plain}}}
	if s.Phone.State != "" {
		rows = append(rows, []cell{{"Phone", faint}, {words(s.Phone.State), bold}, {phoneDetail(s), plain}})
	}
	parked, unknown := 0, 0
	for _, o := range s.Orbits {
		switch o.State {
		case panel.StateFree:
		case panel.StateUnknown:
			unknown++
		default:
			parked++
		}
	}
	detail := fmt.Sprintf("of %d orbits", len(s.Orbits))
	if unknown > 0 {
		detail += fmt.Sprintf(", %d not known", unknown)
	}
	rows = append(rows, []cell{{"Orbits", faint}, {fmt.Sprintf("%d taken", parked), bold}, {detail, plain}},
		[]cell{{"Calls", faint}, {fmt.Sprint(len(s.Calls)), bold}, {"on this appliance", plain}})
	for _, p := range s.Peers {
		rows = append(rows, []cell{{"Peer", faint}, {p.Name, bold}, grade(p.State, strings.TrimSuffix(p.State+" for "+age(s.At, p.Since), " for ")+", "+p.Address)})
	}
	for _, a := range s.Accounts {
		text := a.State
		if a.Reason != "" {
			text += ": " + a.Reason
		}
		rows = append(rows, []cell{{"Account", faint}, {a.AOR, bold}, grade(a.State, text)})
	}
	if len(s.Health) == 0 {
		rows = append(rows, []cell{{"Health", faint}, {"well", bold}, {"no fault is known", green}})
	}
	for _, c := range s.Health {
		text := advised(c)
		if !c.Since.IsZero() {
			text += " (for " + age(s.At, c.Since) + ")"
		}
		rows = append(rows, []cell{{"Health", faint}, {c.Severity, bold}, grade(c.Severity, text)})
	}
	t.table(t.out, rows)
	return nil
}

// advised is what is wrong and what to do.
func advised(c panel.Condition) string {
	if c.Hint == "" {
		return c.Text
	}
	return c.Text + "; " + c.Hint
}

// counters prints each counter with its meaning.
func (t *tool) counters(ctx context.Context) error {
	s, err := t.appliance().Status(ctx)
	if err != nil {
		return err
	}
	if t.json {
		text, err := json.Marshal(s.Counters)
		if err != nil {
			return err
		}
		return t.indented(text)
	}
	rows := [][]cell{head("COUNTER", "VALUE", "MEANING")}
	for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
		rows = append(rows, []cell{{name, bold}, {fmt.Sprint(s.Counters[name]), plain}, {panel.CounterAbout(name), faint}})
	}
	t.table(t.out, rows)
	return nil
}

func phoneDetail(s panel.Status) string {
	p := s.Phone
	parts := []string{map[bool]string{true: "handset up", false: "handset down"}[p.HookUp]}
	add := func(is bool, text string) {
		if is {
			parts = append(parts, text)
		}
	}
	add(p.Party.String() != "", "with "+p.Party.String())
	add(p.Third.String() != "", "and with "+p.Third.String())
	add(p.Digits != "", "dialled "+p.Digits)
	add(p.Tone != "", words(p.Tone)+" tone")
	add(p.Ring != "", "rings ("+words(p.Ring)+")")
	add(p.Muted, "muted")
	add(p.DND, "do not disturb")
	add(p.VolumeMax > 0, fmt.Sprintf("volume %d/%d", p.Volume, p.VolumeMax))
	add(p.Prompt != "", fmt.Sprintf("last heard %q", p.Prompt))
	return strings.Join(parts, ", ")
}

func (t *tool) orbits(ctx context.Context, _ []string) error {
	s, show, err := t.ask(ctx, "orbits")
	if !show {
		return err
	}
	if len(s.Orbits) == 0 {
		fmt.Fprintln(t.out, "This appliance has no orbits.")
		return nil
	}
	rows := [][]cell{head("ORBIT", "STATE", "FOR", "CALLER", "PARKED BY", "ON")}
	for _, o := range s.Orbits {
		rows = append(rows, []cell{{o.Number, bold}, grade(o.State, words(o.State)), {age(s.At, o.Since), plain},
			{o.Caller.String(), plain}, {o.Parker.String(), plain}, {o.Host, plain}})
		for i, c := range o.Calls {
			if i > 0 { // the first is the line above
				rows = append(rows, []cell{{" ", plain}, {"behind it", faint}, {age(s.At, c.Since), plain},
					{c.Caller.String(), plain}, {c.Parker.String(), plain}, {c.Host, plain}})
			}
		}
	}
	t.table(t.out, rows)
	return nil
}

func (t *tool) calls(ctx context.Context, _ []string) error {
	s, show, err := t.ask(ctx, "calls")
	if !show {
		return err
	}
	if len(s.Calls) == 0 {
		fmt.Fprintln(t.out, "No call on this appliance.")
	} else {
		t.liveCalls(s)
	}
	if len(s.Ended) > 0 {
		fmt.Fprintln(t.out, "\nThe last calls:")
		t.endedCalls(s)
	}
	return nil
}

func (t *tool) liveCalls(s panel.Status) {
	rows := [][]cell{head("CALL", "STATE", "DIRECTION", "WITH", "FOR", "ORBIT", "CODEC", "SRTP", "OUT", "IN", "LOST", "LATE", "JITTER", "R", "MOS", "THERE", "TRIP")}
	for _, c := range s.Calls {
		m := c.Media
		lost := cell{fmt.Sprint(m.Lost), plain}
		if m.Lost*50 > m.Received { // above 2 % one hears it
			lost.shade = red
		}
		rows = append(rows, []cell{{c.ID, bold}, {words(c.State), plain}, {c.Direction, plain}, {c.Remote.String(), plain}, {age(s.At, c.Since), plain},
			{c.Orbit, plain}, {m.Codec, plain}, {encrypted(m), plain}, {fmt.Sprint(m.Sent), plain}, {fmt.Sprint(m.Received), plain}, lost,
			{fmt.Sprint(m.Late), plain}, {fmt.Sprintf("%.1f ms", m.JitterMS), plain}, rating(c.Quality.In), score(c.Quality.In), score(c.Quality.Out), trip(c.Quality)})
	}
	t.table(t.out, rows)
}

// endedCalls shows how the last calls sounded: here in a line, there in another if that is known.
func (t *tool) endedCalls(s panel.Status) {
	rows := [][]cell{head("ENDED", "DIRECTION", "WITH", "LASTED", "CODEC", "END", "TRIP", "HEARD", "LOST", "LATE", "JITTER", "R", "MOS")}
	heard := func(where string, q panel.Sound) []cell {
		return []cell{{where, plain}, percent(q, q.LossPercent), percent(q, q.DiscardPercent), jitter(q), rating(q), score(q)}
	}
	for _, c := range s.Ended {
		call := []cell{{age(s.At, c.Ended) + " ago", plain}, {c.Direction, plain}, {c.Remote.String(), plain}, {age(c.Ended, c.Since), plain}, {c.Media.Codec, plain}, {c.Cause, plain}, trip(c.Quality)}
		rows = append(rows, append(call, heard("here", c.Quality.In)...))
		if c.Quality.Out.Known {
			rows = append(rows, append(blank(len(call)), heard("there", c.Quality.Out)...))
		}
	}
	t.table(t.out, rows)
}

// encrypted says whether nobody on the way can listen; --json names the suite.
func encrypted(m panel.Media) string {
	if m.Encryption == "" {
		return "no"
	}
	return "yes"
}

func percent(s panel.Sound, v float64) cell {
	if !s.Known {
		return cell{}
	}
	c := cell{fmt.Sprintf("%.1f %%", v), plain}
	if v > 2 { // one hears it
		c.shade = red
	}
	return c
}

// score is the mean opinion score of one direction; below 3.6 many are not content (ITU-T G.107 annex B).
func score(s panel.Sound) cell {
	switch {
	case !s.Known:
		return cell{}
	case s.MOS < 3.6:
		return cell{fmt.Sprintf("%.1f", s.MOS), red}
	case s.MOS < 4:
		return cell{fmt.Sprintf("%.1f", s.MOS), yellow}
	}
	return cell{fmt.Sprintf("%.1f", s.MOS), green}
}

// rating is the R of ITU-T G.107 behind the score.
func rating(s panel.Sound) cell {
	c := score(s)
	if s.Known {
		c.text = fmt.Sprintf("%.0f", s.R)
	}
	return c
}

func jitter(s panel.Sound) cell {
	if !s.Known {
		return cell{}
	}
	return cell{fmt.Sprintf("%.1f ms", s.JitterMS), plain}
}

func trip(q panel.Quality) cell {
	if q.RoundTripMS == 0 {
		return cell{}
	}
	return cell{fmt.Sprintf("%.0f ms", q.RoundTripMS), plain}
}

func (t *tool) lamps(ctx context.Context, _ []string) error {
	c := t.appliance()
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if t.json {
		text, err := json.Marshal(s.Lamps)
		if err != nil {
			return err
		}
		return t.indented(text)
	}
	if len(s.Lamps) == 0 {
		fmt.Fprintln(t.out, "This appliance has no lamps.")
		return nil
	}
	rows := [][]cell{head("LAMP", "COLOUR", "MEANING", "CADENCE")}
	for _, l := range s.Lamps {
		shade := map[panel.Colour]string{panel.Green: green, panel.Red: red, panel.Amber: yellow}[l.Colour]
		dot := "● "
		if l.Colour == panel.Off || l.Colour == "" {
			dot = "○ "
		}
		rows = append(rows, []cell{{l.ID, bold}, {dot + string(l.Colour), shade}, {words(l.Pattern), plain}, {cadence(l), plain}})
	}
	t.table(t.out, rows)
	return nil
}

// cadence says "400 ms on, 100 off" or "steady".
func cadence(l panel.Lamp) string {
	if l.Colour == panel.Off || l.Colour == "" {
		return ""
	}
	if len(l.Cadence) == 0 {
		return "steady"
	}
	parts := make([]string, len(l.Cadence))
	for i, d := range l.Cadence {
		parts[i] = fmt.Sprintf("%d %s", d.Milliseconds(), []string{"on", "off"}[i%2])
	}
	return strings.Join(parts, ", ") + " (ms)"
}

// words makes a name of the API readable.
func words(name string) string { return strings.ReplaceAll(name, "-", " ") }

// grade shades text by the state or severity that it tells.
func grade(state, text string) cell {
	switch state {
	case panel.StateParkedHere, panel.PeerAlive, panel.AccountRegistered:
		return cell{text, green}
	case panel.StateParkedElsewhere, panel.StateRecalling, panel.StateEnding, panel.StateQueued, panel.PeerDead, panel.SeverityError, "failed":
		return cell{text, red}
	case panel.StateUnknown, panel.SeverityWarning:
		return cell{text, yellow}
	}
	return cell{text, plain}
}
