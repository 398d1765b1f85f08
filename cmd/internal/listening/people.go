package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parklamp/cmd/internal/speech"
	"parklamp/media/dtmf"
	"parklamp/media/wav"
)

const (
	turn    = 12 * time.Second // of each person in what is sent through the networks
	longest = 10 * time.Minute // of a recording
	phrase  = 5 * time.Second  // whoever says a word only does not speak as in a call
	breath  = rate / 2
)

// person is what somebody says, phrase by phrase.
type person struct {
	name    string
	phrases [][]int16
}

// people reads recordings: of each person a folder of WAV files.
func people(folder string) (all []person, err error) {
	folders, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, f := range folders {
		p := person{name: f.Name()}
		if err := p.read(filepath.Join(folder, f.Name())); err != nil {
			return nil, err
		}
		if len(p.phrases) > 0 {
			all = append(all, p)
		}
	}
	return all, err
}

func (p *person) read(folder string) error {
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".wav") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		pcm, err := wav.Read(f, longest)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		p.phrases = append(p.phrases, pcm)
		return nil
	})
}

// conversation is what they say one after the other, a turn each; of a program if there is nobody.
func conversation(all []person) []int16 {
	if len(all) == 0 {
		return append(speech.Caller(), speech.Worker()...)
	}
	var said []int16
	for _, p := range all {
		var his []int16
		for _, x := range p.phrases {
			if len(x) >= int(phrase.Seconds()*rate) {
				his = slices.Concat(his, x, make([]int16, breath))
			}
		}
		said = append(said, his[:min(len(his), int(turn.Seconds()*rate))]...)
	}
	return said
}

// talkOff prints how many digits are found where nobody has pressed a key.
func talkOff(all []person) {
	var found strings.Builder
	samples, who := 0, make([]string, 0, len(all))
	for _, p := range all {
		var d dtmf.Detector
		for _, x := range p.phrases {
			for at := 0; at+160 <= len(x); at += 160 {
				if digit, ok := d.Put(x[at : at+160]); ok {
					found.WriteByte(digit)
				}
			}
			samples += len(x)
		}
		who = append(who, p.name)
	}
	if len(all) == 0 {
		fmt.Println("\nThe speech is a program's, as there is none of people here: Debian's packages asterisk-core-sounds-en-wav, -it-wav and -ru-wav have some.")
		return
	}
	fmt.Printf("\nThe speech is that of %s. Digits found in %v of it, where there are none: %d %s\n", strings.Join(who, ", "),
		(time.Duration(samples) * time.Second / rate).Round(time.Second), found.Len(), found.String())
}
