package hands

import (
	"errors"
	"runtime"
	"sync"
	"time"

	"parklamp/media/audio/alsa"
)

const (
	loop       = "Loopback"       // the kernel's simulated card; the phone has device 0
	far        = 1                // the person's device
	cardRate   = 16000            // must be the phone's: both ends of the loop have one format
	speechRate = 8000             // of what is said and heard
	remembered = 120 * speechRate // the least that is kept of what was heard, in samples
	ahead      = 60 * time.Millisecond
	pause      = 5 * time.Millisecond
	mostRoom   = cardRate / 2 // samples on their way through the room
)

// person speaks into and listens at the far side of the sound card's loop.
type person struct {
	once sync.Once
	err  error // of sitting down; valid after once

	mu     sync.Mutex
	says   []int16 // again and again; empty: silence
	at     int
	heard  []int16
	echoes bool    // the room leads the loudspeaker's sound to the microphone, in place of words
	room   []int16 // the sound on its way, at the card's rate
}

// sit takes the two streams; the first call starts the person, the others return what came of it.
func (p *person) sit() error {
	p.once.Do(func() {
		want := alsa.Params{Rate: cardRate, Channels: 1, Period: cardRate / 100, Buffer: cardRate / 5}
		var mouth, ear *alsa.PCM
		if mouth, p.err = alsa.Open(loop, far, alsa.Playback, want); p.err != nil {
			return
		}
		if ear, p.err = alsa.Open(loop, far, alsa.Capture, want); p.err != nil {
			_ = mouth.Close()
			return
		}
		go p.speak(mouth)
		go p.listen(ear)
	})
	return p.err
}

// again recovers a stream: the loop stops a side when the other one changes. It takes its time: above everything else in the
// guest, whoever tries without a pause leaves the other side none to change in.
func again(s *alsa.PCM, err error) error {
	time.Sleep(pause)
	if errors.Is(err, alsa.ErrXrun) || errors.Is(err, alsa.ErrNotRunning) || errors.Is(err, alsa.ErrSuspended) {
		return s.Recover(err)
	}
	return err
}

// speak keeps some of what is said in the card, until the card fails.
func (p *person) speak(s *alsa.PCM) {
	runtime.LockOSThread() // never unlocked
	defer s.Close()
	x := make([]int16, s.Params().Period)
	queue := int(ahead * cardRate / time.Second)
	for started := false; ; {
		delay, err := s.Delay()
		if err == nil && delay < queue {
			p.words(x)
			if _, err = s.Write(x); err == nil && !started && delay+len(x) >= queue {
				err, started = s.Start(), true
			}
		} else if err == nil {
			time.Sleep(pause)
		}
		if err != nil {
			if again(s, err) != nil {
				return
			}
			started = false
		}
	}
}

// words fills x with what comes next, at the card's rate.
func (p *person) words(x []int16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(x)
	if p.echoes {
		if len(p.room) >= len(x) { // else a pause, after which more is on its way
			p.room = p.room[:copy(p.room, p.room[copy(x, p.room):])]
		}
		return
	}
	if len(p.says) == 0 {
		return
	}
	for i := 0; i+1 < len(x); i += 2 {
		a, b := p.says[p.at%len(p.says)], p.says[(p.at+1)%len(p.says)]
		x[i], x[i+1] = a, int16((int(a)+int(b))/2)
		p.at++
	}
}

// listen keeps what the card plays, until it fails.
func (p *person) listen(s *alsa.PCM) {
	runtime.LockOSThread() // never unlocked
	defer s.Close()
	x := make([]int16, s.Params().Period)
	err := s.Start()
	for {
		n := 0
		if err == nil {
			if _, err = s.Wait(50 * time.Millisecond); err == nil {
				n, err = s.Read(x)
			}
		}
		if err != nil {
			if err = again(s, err); err != nil {
				return
			}
			err = s.Start()
			continue
		}
		p.mu.Lock()
		if p.echoes && len(p.room) < mostRoom {
			p.room = append(p.room, x[:n]...)
		}
		for i := 0; i+1 < n; i += 2 {
			p.heard = append(p.heard, int16((int(x[i])+int(x[i+1]))/2))
		}
		if len(p.heard) > 2*remembered { // rarely: it copies
			p.heard = append(p.heard[:0], p.heard[remembered:]...)
		}
		p.mu.Unlock()
	}
}

func (p *person) say(words []int16, echoes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.says, p.at, p.echoes, p.room = words, 0, echoes, nil
}

// take returns what was heard since the last take.
func (p *person) take() []int16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.heard
	p.heard = nil
	return x
}
