package wiring

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"parklamp/board"
)

// Sound says how a sound card that the board may have is wired.
type Sound struct {
	Title string   `json:"title"`
	Lines []string `json:"lines"` // where handset, headset and loudspeaker hang, and what to know
}

// Sounds are the sound cards that a board may have. What is plugged in comes first: it works with every image.
func Sounds(m board.Model) []Sound {
	cards := slices.Clone(m.Sounds)
	plugged := func(s board.Sound) int { return map[bool]int{false: 1}[s.Bus == "usb"] }
	slices.SortStableFunc(cards, func(a, b board.Sound) int { return plugged(a) - plugged(b) })
	var all []Sound
	for _, c := range cards {
		s := Sound{Title: cmp.Or(c.Title, "sound card that the kernel calls "+c.Card)}
		for _, path := range []string{"handset", "headset", "speaker"} {
			if wired := c.Paths[path].Wired; wired != "" {
				s.Lines = append(s.Lines, path+": "+wired)
			}
		}
		for _, path := range c.Without {
			s.Lines = append(s.Lines, without(m, path))
		}
		s.Lines = append(s.Lines, c.Notes...)
		all = append(all, s)
	}
	return all
}

// without says what a board does not need with a sound card that lacks a path. Key and lamp of a path have its name.
func without(m board.Model, path string) string {
	text := map[string]string{"headset": "No headset", "speaker": "No hands-free"}[path] + " with this card"
	var what, how []string
	if k, there := m.Key(board.Key(path)); there {
		what, how = append(what, "the key "+k.Label), append(how, "[keys] "+path+" = false")
	}
	if l, there := m.Lamp(board.Lamp(path)); there {
		what, how = append(what, "the lamp "+l.Label), append(how, "[lamps] "+path+" = false")
	}
	if len(what) > 0 {
		text += fmt.Sprintf(": %s need not be fitted (in a definition of one's own: %s)", strings.Join(what, " and "), strings.Join(how, ", "))
	}
	return text + "."
}

// sound says what hangs on the sound card.
func (s *sheet) sound(y float64) float64 {
	type line struct {
		text string
		bold bool
	}
	var lines []line
	for i, card := range Sounds(s.m) {
		title := card.Title
		if i > 0 {
			title = "or " + title
		}
		lines = append(lines, line{title, true})
		for _, text := range card.Lines {
			for _, l := range wrapped(text, 190) {
				lines = append(lines, line{l, false})
			}
		}
	}
	if len(lines) == 0 {
		return y
	}
	height := 58 + 22*float64(len(lines))
	s.box(margin, y, 2*headerW+gap, height, "Sound", "")
	for i, l := range lines {
		s.text(margin+20, y+60+22*float64(i), style{size: 13, bold: l.bold}, l.text)
	}
	return y + height + gap
}
