package audio

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"parklamp/media/audio/alsa"
)

// errFlaps is a stream that fails whenever it is started: the card is given up and opened anew after a pause.
var errFlaps = errors.New("sound card does not run for longer than some milliseconds")

// relapses counts how often a stream had to be recovered lately.
type relapses struct {
	since time.Time
	n     int
}

func (r *relapses) tooMany(now time.Time) bool {
	if now.Sub(r.since) > time.Second {
		*r = relapses{since: now}
	}
	r.n++
	return r.n > mostRelapses
}

// again recovers a stream that ran over or empty, or was suspended. Any other error is returned.
func (c *Card) again(s stream, cause error, before *relapses) error {
	if !errors.Is(cause, alsa.ErrXrun) && !errors.Is(cause, alsa.ErrSuspended) && !errors.Is(cause, alsa.ErrNotRunning) {
		return cause
	}
	c.xruns.Add(1)
	if before.tooMany(time.Now()) {
		return fmt.Errorf("%w: %w", errFlaps, cause)
	}
	return s.Recover(cause)
}

// player keeps the queue of the card as short as it allows: a few periods, one more after each xrun.
type player struct {
	c       *Card
	s       stream
	p       alsa.Params
	path    Path
	queued  int // periods that the queue is filled up to
	running bool
	moved   time.Time // when it last took anything
	calm    time.Time // when the queue was last changed
	failed  relapses
}

// playing feeds the card until ctx ends or the card fails.
func (c *Card) playing(ctx context.Context, s stream, path Path) error {
	f := &player{c: c, s: s, p: s.Params(), path: path, queued: leastQueued, moved: time.Now(), calm: time.Now()}
	err := s.Prepare()
	if err == nil {
		err = f.wakeAt()
	}
	for err == nil && ctx.Err() == nil {
		if err = f.round(); err != nil {
			err = f.recover(err)
		}
	}
	if err == nil {
		err = s.Drop()
	}
	return err
}

// wakeAt makes the card wake us when a period of the queue has been played.
func (f *player) wakeAt() error { return f.s.SetWake(f.p.Buffer - (f.queued-1)*f.p.Period) }

// round waits and fills the queue.
func (f *player) round() error {
	now := time.Now()
	if f.running {
		ready, err := f.s.Wait(stall / 3)
		if err != nil {
			return err
		}
		if now = time.Now(); !ready {
			if now.Sub(f.moved) > stall {
				return alsa.ErrXrun // the card does not move any more: start it anew
			}
			return nil
		}
	}
	for range f.queued { // a driver that says nothing is queued, whatever is written, must not keep us here
		delay, err := f.s.Delay()
		if err != nil {
			return err
		}
		// Half a period of tolerance: positions are rounded, and hardware moves on in bursts.
		if delay > (f.queued-1)*f.p.Period+f.p.Period/2 {
			break
		}
		usual := (f.queued - 1) * f.p.Period
		if err := f.write(time.Duration(usual-delay) * time.Second / time.Duration(f.p.Rate)); err != nil {
			return err
		}
		f.moved = now
	}
	if !f.running {
		f.running = true
		return f.s.Start()
	}
	if f.queued > leastQueued && now.Sub(f.calm) > calm {
		f.queued, f.calm = f.queued-1, now
		return f.wakeAt()
	}
	return nil
}

// write makes one period; late is by how much shorter the queue is than it should be by then.
func (f *player) write(late time.Duration) error {
	c, n := f.c, f.p.Period
	ear, bell := c.ear[:n], c.bell[:n]
	c.Sound(f.p.Rate, ear, bell, late)
	out := c.frames[:n*f.p.Channels]
	spread(out, f.p.Channels, ear, c.cfg.path(f.path).Output, bell, c.cfg.Speaker.Output)
	for len(out) > 0 {
		k, err := f.s.Write(out)
		if err != nil {
			return err
		}
		if k == 0 {
			return nil // full: it is late in playing, and this period is one too many
		}
		out = out[k*f.p.Channels:]
	}
	return nil
}

// recover starts anew, with a longer queue.
func (f *player) recover(cause error) error {
	if err := f.c.again(f.s, cause, &f.failed); err != nil {
		return err
	}
	f.running, f.moved, f.calm = false, time.Now(), time.Now()
	f.queued = min(f.queued+1, mostQueued, f.p.Buffer/f.p.Period)
	return f.wakeAt()
}

// spread puts earpiece and ringer on their channels. A card with more than two gets silence on the others.
func spread(out []int16, channels int, ear []int16, earOn string, bell []int16, bellOn string) {
	on := func(where string, channel int) bool {
		return channels == 1 || where == "both" && channel < 2 || where == "left" && channel == 0 || where == "right" && channel == 1
	}
	for ch := range channels {
		e, b := on(earOn, ch), on(bellOn, ch)
		for i := range ear {
			v := int32(0)
			if e {
				v += int32(ear[i])
			}
			if b {
				v += int32(bell[i])
			}
			out[i*channels+ch] = clip(v)
		}
	}
}

// recording takes what the card heard until ctx ends or the card fails.
func (c *Card) recording(ctx context.Context, s stream, path Path) error {
	p := s.Params()
	buf := make([]int16, p.Period*p.Channels)
	channel := 0
	if c.cfg.path(path).Input == "right" && p.Channels > 1 {
		channel = 1
	}
	err := s.Prepare()
	if err == nil {
		err = s.SetWake(p.Period)
	}
	if err == nil {
		err = s.Start()
	}
	moved := time.Now()
	var failed relapses
	for err == nil && ctx.Err() == nil {
		var ready bool
		if ready, err = s.Wait(stall / 3); err == nil && !ready && time.Since(moved) > stall {
			err = alsa.ErrXrun
		}
		n := 0
		if err == nil && ready {
			n, err = s.Read(buf)
		}
		if err != nil {
			if err = c.again(s, err, &failed); err == nil {
				moved = time.Now()
				err = s.Start()
			}
			continue
		}
		if n > 0 {
			moved = time.Now()
			for i := range n {
				c.mic[i] = buf[i*p.Channels+channel]
			}
			c.Hear(p.Rate, c.mic[:n])
		}
	}
	if err == nil {
		err = s.Drop()
	}
	return err
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
