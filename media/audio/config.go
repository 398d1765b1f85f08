package audio

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config says which sound card the phone has and what its paths are.
type Config struct {
	Speech        string        `toml:"speech" doc:"WAV file that the simulated microphone hears again and again while the handset is lifted (4 to 192 kHz, 1 to 8 channels, which are mixed; PCM of 8 to 32 bits, float, mu-law or A-law); empty for silence."`
	Card          string        `toml:"card" doc:"Id or name of the sound card, as in /proc/asound/cards. Then this section counts; empty: the card, rate and paths of the board's definition count, and of this section only period and speech. 'none', or a board without a card: a simulated one."`
	Device        int           `toml:"device" doc:"Number of the card's PCM device, 0 to 31."`
	CaptureCard   string        `toml:"capture_card" doc:"Card of the microphone where it is another one; empty for the same."`
	CaptureDevice int           `toml:"capture_device" doc:"PCM device of the microphone, 0 to 31."`
	Rate          int           `toml:"rate" doc:"Samples per second of the card: 8000, 16000 or 48000. Calls are converted to it."`
	Period        time.Duration `toml:"period" doc:"Time between two interrupts of the card, 2ms to 10ms; the card takes the next that it can."`
	Handset       PathConfig    `toml:"handset" doc:"The handset."`
	Headset       PathConfig    `toml:"headset" doc:"The headset's socket."`
	Speaker       PathConfig    `toml:"speaker" doc:"The loudspeaker: hands-free, and the ringer."`
}

// PathConfig is what one path is on the card.
type PathConfig struct {
	Output   string            `toml:"output" doc:"Channel that it is heard on: left, right or both."`
	Input    string            `toml:"input" doc:"Channel of its microphone: left or right."`
	Controls map[string]string `toml:"controls" doc:"Mixer control = value, set when the path is opened: on, off, a number, \"80%\", the name of a choice; \"NAME,INDEX\" where several have one name."`
	MicGain  float64           `toml:"mic_gain" doc:"Gain of the microphone in dB, -30 to 30."`
	Gain     float64           `toml:"gain" doc:"Gain of the earpiece or loudspeaker in dB at normal volume, -30 to 12."`
	Sidetone float64           `toml:"sidetone" doc:"How loud the person hears herself, -40 to -6 dB; 0 for not at all. It is late by the card's buffers: a codec that can do it by itself (controls) does it better."`
	Echo     string            `toml:"echo" doc:"Echo control: none, or duplex (who speaks is let through, the other way is attenuated)."`
}

// The words of PathConfig.
var (
	outputs = []string{"both", "left", "right"}
	inputs  = []string{"left", "right"}
	echoes  = []string{"none", "duplex"}
)

// Default returns a silent room: no sound card.
func Default() Config {
	plain := PathConfig{Output: "both", Input: "left", Controls: map[string]string{}, Echo: "none"}
	speaker := plain
	speaker.Controls, speaker.Echo = map[string]string{}, "duplex"
	headset := plain
	headset.Controls = map[string]string{}
	return Config{Rate: 16000, Period: 5 * time.Millisecond, Handset: plain, Headset: headset, Speaker: speaker}
}

// Validate returns an error that names the first key whose value is out of range. Whether the card is there and can do it
// is found out by running it.
func (c Config) Validate() error {
	switch {
	case c.Device < 0 || c.Device > 31:
		return fmt.Errorf("device = %d: allowed is 0 to 31", c.Device)
	case c.CaptureDevice < 0 || c.CaptureDevice > 31:
		return fmt.Errorf("capture_device = %d: allowed is 0 to 31", c.CaptureDevice)
	case c.CaptureCard != "" && c.Card == "":
		return fmt.Errorf("capture_card = %q: allowed with card only", c.CaptureCard)
	case !slices.Contains([]int{8000, 16000, 48000}, c.Rate):
		return fmt.Errorf("rate = %d: allowed is 8000, 16000 or 48000", c.Rate)
	case c.Period < 2*time.Millisecond || c.Period > 10*time.Millisecond:
		return fmt.Errorf("period = %s: allowed is 2ms to 10ms", c.Period)
	}
	for _, p := range []Path{PathHandset, PathHeadset, PathSpeaker} {
		if err := c.path(p).validate(); err != nil {
			return fmt.Errorf("%s.%w", p, err)
		}
	}
	return nil
}

func (c *Config) path(p Path) *PathConfig {
	switch p {
	case PathHeadset:
		return &c.Headset
	case PathSpeaker, PathClosed: // a ring or a tone with every path closed comes from the loudspeaker
		return &c.Speaker
	}
	return &c.Handset
}

func (p *PathConfig) validate() error {
	for _, w := range []struct {
		key, value string
		allowed    []string
	}{{"output", p.Output, outputs}, {"input", p.Input, inputs}, {"echo", p.Echo, echoes}} {
		if !slices.Contains(w.allowed, w.value) {
			return fmt.Errorf("%s = %q: allowed is %s", w.key, w.value, strings.Join(w.allowed, ", "))
		}
	}
	switch {
	case !(p.MicGain >= -30 && p.MicGain <= 30): // written so that NaN is refused
		return fmt.Errorf("mic_gain = %g: allowed is -30 to 30", p.MicGain)
	case !(p.Gain >= -30 && p.Gain <= 12):
		return fmt.Errorf("gain = %g: allowed is -30 to 12", p.Gain)
	case p.Sidetone != 0 && !(p.Sidetone >= -40 && p.Sidetone <= -6):
		return fmt.Errorf("sidetone = %g: allowed is -40 to -6, or 0 for none", p.Sidetone)
	case p.Echo == "duplex" && p.Sidetone != 0:
		return fmt.Errorf("sidetone = %g: not with echo = \"duplex\", it would howl", p.Sidetone)
	}
	for name, value := range p.Controls {
		if name == "" || value == "" {
			return fmt.Errorf("controls.%s = %q: allowed is a control's name and a value", name, value)
		}
	}
	return nil
}
