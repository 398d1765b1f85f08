package wire

import (
	"errors"
	"fmt"
	"slices"

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
	hint := "check the section audio of the configuration against the card"
	switch {
	case errors.Is(err, alsa.ErrGone), errors.Is(err, alsa.ErrNoCard):
		hint = "plug the sound card in, or name another one in audio.card; it is looked for every few seconds"
	case errors.Is(err, alsa.ErrNoControl):
		hint = "correct the names under controls of the path; amixer lists those of the card"
	}
	a.health.Raise(a.now(), soundCode, health.Error, err.Error(), hint)
}

// noCard is the audio.card of a phone that has a simulated handset although its board has a sound card.
const noCard = "none"

// boardSound is the sound of the phone. With audio.card the section [audio] counts and the board's definition does not; without,
// it is the other way round, and of [audio] only period and speech count. Of the cards that the board may have it is the
// first that is there, else the first: it is looked for.
func boardSound(cfg audio.Config, sounds []board.Sound, there []alsa.Card) (audio.Config, error) {
	if cfg.Card == noCard {
		cfg.Card = ""
		return cfg, nil
	}
	if cfg.Card != "" || len(sounds) == 0 {
		return cfg, nil
	}
	s := sounds[max(0, slices.IndexFunc(sounds, func(s board.Sound) bool {
		return slices.ContainsFunc(there, func(c alsa.Card) bool { return c.ID == s.Card || c.Name == s.Card })
	}))]
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
