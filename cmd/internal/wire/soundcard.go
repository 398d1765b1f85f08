package wire

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"parklamp/board"
	"parklamp/cmd/internal/health"
	"parklamp/media/audio"
	"parklamp/media/audio/alsa"
)

// soundCode is the health condition of the sound card.
const soundCode = "audio.card"

// soundCard is told of a fault of the sound card, or with nil of its end, by the card's goroutine.
func (a *Appliance) soundCard(err error) {
	if err == nil {
		a.health.Clear(soundCode)
		return
	}
	text := err.Error()
	hint := "check the section audio of the configuration against the card"
	switch {
	case errors.Is(err, alsa.ErrNoCard) && a.may > 1:
		text = noneOf(a.board.Model().Sounds, err)
		hint = "plug one of them in, or name another one in audio.card; they are looked for every few seconds"
	case errors.Is(err, alsa.ErrGone), errors.Is(err, alsa.ErrNoCard):
		hint = "plug the sound card in, or name another one in audio.card; it is looked for every few seconds"
	case errors.Is(err, alsa.ErrNoControl):
		hint = "correct the names under controls of the path; amixer lists those of the card"
	}
	a.health.Raise(a.now(), soundCode, health.Error, text, hint)
}

// noneOf says that none of the cards is there which the board may have, and which others are; what is plugged in comes first.
func noneOf(sounds []board.Sound, err error) string {
	var names []string
	for _, s := range sounds {
		name := s.Card
		if title, _, _ := strings.Cut(s.Title, ":"); title != "" {
			name = title + " (" + s.Card + ")"
		}
		if s.Bus == "usb" {
			names = slices.Insert(names, 0, name)
		} else {
			names = append(names, name)
		}
	}
	text := "no sound card: neither " + strings.Join(names, " nor ") + " is there"
	if card := (*alsa.Error)(nil); errors.As(err, &card) && card.Allowed != "" {
		text += "; there is " + card.Allowed
	}
	return text
}

// noCard is the audio.card of a phone that has a simulated handset although its board has a sound card.
const noCard = "none"

// boardSounds are the sound cards that the phone may have, the best first. With audio.card the section [audio] counts and the
// board's definition does not; without, it is the other way round, and of [audio] only period and speech count.
func boardSounds(cfg audio.Config, sounds []board.Sound) ([]audio.Config, error) {
	if cfg.Card == noCard {
		cfg.Card = ""
		return []audio.Config{cfg}, nil
	}
	if cfg.Card != "" || len(sounds) == 0 {
		return []audio.Config{cfg}, nil
	}
	may := make([]audio.Config, len(sounds))
	for i, s := range sounds {
		var err error
		if may[i], err = boardSound(cfg, s); err != nil {
			return nil, err
		}
	}
	return may, nil
}

// boardSound is one of them by the board's definition.
func boardSound(cfg audio.Config, s board.Sound) (audio.Config, error) {
	out := audio.Default()
	out.Speech, out.Period = cfg.Speech, cfg.Period
	out.Card, out.Device, out.CaptureCard, out.CaptureDevice = s.Card, s.Device, s.CaptureCard, s.CaptureDevice
	if s.Rate > 0 {
		out.Rate = s.Rate
	}
	for name, to := range map[string]*audio.PathConfig{"handset": &out.Handset, "headset": &out.Headset, "speaker": &out.Speaker} {
		p, ok := s.Paths[name]
		if !ok {
			continue
		}
		for _, word := range []struct {
			to   *string
			from string
		}{{&to.Output, p.Output}, {&to.Input, p.Input}, {&to.Echo, p.Echo}} {
			if word.from != "" {
				*word.to = word.from
			}
		}
		for _, level := range []struct{ to, from *float64 }{{&to.MicGain, p.MicGain}, {&to.Gain, p.Gain}, {&to.Sidetone, p.Sidetone}} {
			if level.from != nil {
				*level.to = *level.from
			}
		}
		if p.Controls != nil {
			to.Controls = p.Controls
		}
	}
	if err := out.Validate(); err != nil {
		return cfg, fmt.Errorf("board: sound.%s.%w", s.Name, err)
	}
	return out, nil
}
