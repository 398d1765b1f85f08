package audio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"parklamp/media"
	"parklamp/media/audio/alsa"
	"parklamp/media/audio/duplex"
)

// Times and sizes of a Card.
const (
	cardMargin  = 2 * time.Millisecond // the least that a piece waits for the other clock
	minBackoff  = 500 * time.Millisecond
	maxBackoff  = 5 * time.Second
	linger      = time.Second     // streams run on after the last sound: the next one often follows
	lookAfter   = 2 * time.Second // an idle card is looked at
	stall       = 300 * time.Millisecond
	bufferTime  = 80 * time.Millisecond // of the card; the queue for playback is far shorter
	leastQueued = 2                     // periods in the queue for playback
	mostQueued  = 6
	calm        = time.Minute // without an xrun: the queue becomes a period shorter again

	mostRelapses = 20 // in a second: more are those of a card that does not work, a machine that stands still has a few
)

// stream is a PCM stream of a card. *alsa.PCM is one; tests have one whose clock they know.
type stream interface {
	Params() alsa.Params
	SetWake(frames int) error
	Start() error
	Drop() error
	Prepare() error
	Recover(cause error) error
	Alive() error
	Delay() (int, error)
	Wait(timeout time.Duration) (bool, error)
	Read(buf []int16) (int, error)
	Write(buf []int16) (int, error)
	Close() error
}

var _ stream = (*alsa.PCM)(nil)

// mixer is the controls of a card.
type mixer interface {
	Set(label, value string) error
	Close() error
}

// hardware opens what a Card runs on.
type hardware interface {
	Open(card string, device int, dir alsa.Direction, want alsa.Params) (stream, error)
	Mixer(card string) (mixer, error)
}

// kernelCards are the cards of this machine.
type kernelCards struct{}

func (kernelCards) Open(card string, device int, dir alsa.Direction, want alsa.Params) (stream, error) {
	return alsa.Open(card, device, dir, want)
}
func (kernelCards) Mixer(card string) (mixer, error) { return alsa.OpenMixer(card) }

// Card is a sound card of the kernel as a Device, the first that is there of those it may be. It finds the card by its name, serves it while there is anything to hear
// or to say, recovers from xruns, and when the card is pulled waits for its return. Without it, tones and prompts run on
// unheard, so that nobody waits for their end.
type Card struct {
	*Handset

	// immutable
	may    []Config // the best first, one at least
	log    *slog.Logger
	report func(error)
	cards  hardware

	xruns   atomic.Uint64
	returns atomic.Uint64 // times that the card was opened
	using   atomic.Pointer[Config]

	// owned by Run
	cfg            Config // one of may
	mic, ear, bell [maxSamples]int16
	frames         [4 * maxSamples]int16
}

var _ Device = (*Card)(nil)

// NewCard returns a device for the card of one of may, the best first, of which there must be one at least. report is told of each lasting fault (no card, a wrong parameter, a control that
// is not there) and of its end (nil); Run's goroutine calls it, and it must not block.
func NewCard(may []Config, log *slog.Logger, report func(error)) *Card {
	return newCard(may, log, report, kernelCards{})
}

func newCard(may []Config, log *slog.Logger, report func(error), cards hardware) *Card {
	c := &Card{Handset: newHandset(cardMargin, false), may: may, cfg: may[0], log: log, report: report, cards: cards}
	c.using.Store(&may[0])
	return c
}

// Using returns the configuration of the card that was there at the last look; of the best of those that it may be if none was.
func (c *Card) Using() Config { return *c.using.Load() }

// CardStats are counters since the start.
type CardStats struct {
	Xruns                   uint64  // times that a stream ran over or empty
	Opened                  uint64  // times that the card was found
	Gaps                    uint64  // pieces that were missing between card and call, either way
	CapturePPM, PlaybackPPM float64 // by how much the card's clocks are found to differ from the media clock
}

// Stats returns the counters.
func (c *Card) Stats() CardStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CardStats{
		Xruns: c.xruns.Load(), Opened: c.returns.Load(), Gaps: c.fromCall.gaps + c.fromMic.gaps,
		CapturePPM: c.fromMic.device, PlaybackPPM: c.fromCall.device,
	}
}

// opened is the card while it is there.
type opened struct {
	play, record stream
	mix          mixer
}

func (o *opened) close() {
	o.play.Close()
	o.record.Close()
	o.mix.Close()
}

// Run serves the card until ctx ends.
func (c *Card) Run(ctx context.Context) error {
	backoff := minBackoff
	var told error
	tell := func(err error) {
		if told == nil && err == nil || told != nil && err != nil && told.Error() == err.Error() {
			return
		}
		told = err
		c.report(err)
	}
	for ctx.Err() == nil {
		o, err := c.open()
		if err == nil {
			backoff = minBackoff
			c.returns.Add(1)
			err = c.serve(ctx, o, tell)
			o.close()
			if ctx.Err() != nil {
				break
			}
			c.log.Info("sound card lost", "err", err)
		}
		tell(err)
		c.without(ctx, backoff)
		backoff = min(2*backoff, maxBackoff)
	}
	return nil
}

// open finds the first card that is there. What is told of none is told of the best.
func (c *Card) open() (*opened, error) {
	defer func() {
		cfg := c.cfg
		c.using.Store(&cfg)
	}()
	var none error
	for _, c.cfg = range c.may {
		o, err := c.agree()
		if !errors.Is(err, alsa.ErrNoCard) {
			return o, err
		}
		if none == nil {
			none = err
		}
	}
	c.cfg = c.may[0]
	return nil, none
}

// agree opens the card and agrees on its parameters.
func (c *Card) agree() (*opened, error) {
	period := int(c.cfg.Period * time.Duration(c.cfg.Rate) / time.Second)
	want := alsa.Params{Rate: c.cfg.Rate, Channels: 1, Period: period, Buffer: int(bufferTime * time.Duration(c.cfg.Rate) / time.Second)}
	outs := want
	for _, p := range []Path{PathHandset, PathHeadset, PathSpeaker} {
		if c.cfg.path(p).Output != "both" {
			outs.Channels = 2
		}
		if c.cfg.path(p).Input == "right" {
			want.Channels = 2
		}
	}
	mic, device := c.cfg.CaptureCard, c.cfg.CaptureDevice
	if mic == "" {
		mic = c.cfg.Card
	}
	o := &opened{}
	var err error
	if o.play, err = c.cards.Open(c.cfg.Card, c.cfg.Device, alsa.Playback, outs); err != nil {
		return nil, err
	}
	if o.record, err = c.cards.Open(mic, device, alsa.Capture, want); err != nil {
		o.play.Close()
		return nil, err
	}
	if o.mix, err = c.cards.Mixer(c.cfg.Card); err != nil {
		o.play.Close()
		o.record.Close()
		return nil, err
	}
	for _, s := range []stream{o.play, o.record} {
		if p := s.Params(); p.Period > maxSamples*p.Rate/48000 || p.Channels > 4 {
			o.close()
			return nil, fmt.Errorf("sound card %q offers periods of %d frames of %d channels: allowed is up to %s of 4", c.cfg.Card, p.Period, p.Channels, maxPiece)
		}
	}
	return o, nil
}

// serve runs the streams while there is anything to hear or to say; it returns when the card is gone or fails.
func (c *Card) serve(ctx context.Context, o *opened, tell func(error)) error {
	var fault error // of the path in use; the card works on
	look := time.NewTimer(lookAfter)
	defer look.Stop()
	for first := true; ; first = false {
		if first || !c.busy() {
			tell(fault)
		}
		if !c.busy() {
			look.Reset(lookAfter)
			select {
			case <-ctx.Done():
				return nil
			case <-c.wake:
			case <-look.C:
				for _, s := range []stream{o.play, o.record} {
					if err := s.Alive(); err != nil {
						return err
					}
				}
			}
			continue
		}
		path := c.path()
		fault = c.choose(o.mix, path)
		tell(fault)
		if err := c.session(ctx, o, path); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// choose makes a path the one that is heard: mixer controls, gains, sidetone, echo control. A control that is wrong is told
// and the others are set.
func (c *Card) choose(m mixer, path Path) error {
	p := c.cfg.path(path)
	var faults []error
	for _, name := range sortedKeys(p.Controls) {
		if err := m.Set(name, p.Controls[name]); err != nil {
			faults = append(faults, fmt.Errorf("%s.controls: %w", path, err))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.micGain, c.outGain, c.sidetone, c.echo = factor(p.MicGain), factor(p.Gain), 0, nil
	if p.Sidetone != 0 {
		c.sidetone = factor(p.Sidetone)
	}
	if p.Echo == "duplex" && path == PathSpeaker {
		c.echo = duplex.New(duplex.Default())
	}
	return errors.Join(faults...)
}

// session runs both directions of one path until another one is opened, everything is quiet, ctx ends, or a stream fails.
func (c *Card) session(ctx context.Context, o *opened, path Path) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	ended := make(chan error, 2) // one for each direction
	wg.Go(func() { ended <- c.playing(inner, o.play, path) })
	running := 1
	if path != PathClosed {
		wg.Go(func() { ended <- c.recording(inner, o.record, path) })
		running++
	}
	quiet := time.NewTimer(linger)
	defer quiet.Stop()
	var err error
	for running > 0 {
		select {
		case e := <-ended:
			running--
			err = errors.Join(err, e)
			cancel()
		case <-ctx.Done():
			cancel()
			err = errors.Join(err, drain(ended, &running))
		case <-c.wake:
			if c.path() != path {
				cancel()
			}
			quiet.Reset(linger)
		case <-quiet.C:
			if !c.busy() {
				cancel()
			}
			quiet.Reset(linger)
		}
	}
	wg.Wait()
	return err
}

func drain(ended chan error, running *int) (err error) {
	for ; *running > 0; *running-- {
		err = errors.Join(err, <-ended)
	}
	return err
}

// without lets time pass for tones and prompts while there is no card.
func (c *Card) without(ctx context.Context, d time.Duration) {
	tick := time.NewTicker(media.FrameDuration)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.busy() {
			n := c.cfg.Rate / 50
			c.Sound(c.cfg.Rate, c.ear[:n], c.bell[:n], 0)
		}
	}
}
