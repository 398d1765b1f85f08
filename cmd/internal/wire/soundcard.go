package wire

import (
	"errors"

	"parklamp/cmd/internal/health"
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
