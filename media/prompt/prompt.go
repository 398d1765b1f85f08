// Package prompt is the voice of the appliance: English phrases put together from recorded words, each with the
// same phrase as text, so that ear, panel, log and transcript are told in the same words.
//
// The words are spoken by espeak-ng from words.txt (program generate), stored as 8 kHz µ-law and built in. A
// Phrase is a value; its Source is a media source that ends. The package reads no file, starts no goroutine and
// never decides what to say.
package prompt

//go:generate go run ./generate .

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"

	"parklamp/media"
	"parklamp/media/codec"
)

//go:embed prompts.ulaw
var sound []byte

//go:embed prompts.txt
var index string

// Pauses, in samples: before the first word (so that a path that has just opened swallows nothing), between two
// words, between two digits, and for a comma.
const (
	lead       = 60 * media.SampleRate / 1000
	wordPause  = 40 * media.SampleRate / 1000
	digitPause = 70 * media.SampleRate / 1000
	comma      = 260 * media.SampleRate / 1000
)

// words maps each recording's text to its sound.
var words = sync.OnceValue(func() map[string][]byte {
	m := make(map[string][]byte)
	for line := range strings.Lines(index) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(f) != 3 {
			panic("prompt: broken index line " + strconv.Quote(line))
		}
		start, err1 := strconv.Atoi(f[0])
		n, err2 := strconv.Atoi(f[1])
		if err1 != nil || err2 != nil || start < 0 || n < 0 || start+n > len(sound) {
			panic("prompt: broken index line " + strconv.Quote(line))
		}
		m[f[2]] = sound[start : start+n]
	}
	return m
})

// unit is a recorded word, or a pause.
type unit struct {
	text  string
	pause int  // after it, in samples
	comma bool // a comma follows in the text
}

// Phrase is something to say. The zero Phrase says nothing.
type Phrase struct {
	units []unit
}

// say puts a phrase together from words of words.txt. A string of digits, * and # is spelled; a comma at the end of a
// word makes a pause. What has no recording, as a strange character of an orbit, is written and not spoken.
func say(parts ...string) Phrase {
	var p Phrase
	for _, part := range parts {
		text, pause := strings.CutSuffix(part, ",")
		if text != "" && strings.Trim(text, "0123456789*#") == "" {
			for _, c := range text {
				p.units = append(p.units, unit{text: spelled(c), pause: digitPause})
			}
		} else {
			p.units = append(p.units, unit{text: text, pause: wordPause})
		}
		if last := len(p.units) - 1; pause && last >= 0 {
			p.units[last].pause, p.units[last].comma = comma, true
		}
	}
	return p
}

func spelled(c rune) string {
	switch c {
	case '*':
		return "star"
	case '#':
		return "pound"
	}
	return number(int(c - '0'))
}

var ones = [...]string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
	"eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"}

var tens = [...]string{2: "twenty", 3: "thirty", 4: "forty", 5: "fifty"}

// number is n from 0 to 59 in words; what is larger is 59.
func number(n int) string {
	n = max(0, min(59, n))
	if n < len(ones) {
		return ones[n]
	}
	if n%10 == 0 {
		return tens[n/10]
	}
	return tens[n/10] + " " + ones[n%10]
}

// Text is the phrase as it is spoken, in words: "call parked on seven zero one".
func (p Phrase) Text() string {
	var b strings.Builder
	for i, u := range p.units {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(u.text)
		if u.comma && i < len(p.units)-1 {
			b.WriteByte(',')
		}
	}
	return b.String()
}

// Source returns the phrase as sound, from its beginning.
func (p Phrase) Source() *Source {
	s := &Source{pause: lead, parts: make([]part, 0, len(p.units))}
	for _, u := range p.units {
		if w := words()[u.text]; len(w) > 0 {
			s.parts = append(s.parts, part{sound: w, pause: u.pause})
		}
	}
	return s
}

// part is a word's sound and the silence after it.
type part struct {
	sound []byte
	pause int
}

// Source is a phrase being spoken. One goroutine uses it.
type Source struct {
	parts []part // still to come
	pause int    // samples of silence before the next part
	at    int    // in the first part
}

var _ media.Source = (*Source)(nil)

// Next decodes the next frame, the last one filled up with silence; it reports false after the end.
func (s *Source) Next(f *media.Frame) bool {
	if len(s.parts) == 0 && s.pause == 0 {
		return false
	}
	clear(f[:])
	for i := 0; i < len(f); {
		if n := min(s.pause, len(f)-i); n > 0 {
			i += n
			s.pause -= n
			continue
		}
		if len(s.parts) == 0 {
			break
		}
		p := &s.parts[0]
		n := codec.Decode(codec.PCMU, f[i:], p.sound[s.at:])
		i += n
		if s.at += n; s.at == len(p.sound) {
			s.pause, s.at = p.pause, 0
			s.parts = s.parts[1:]
		}
	}
	return true
}
