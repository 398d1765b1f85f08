package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/parkd/panel"
)

// The person: how long a key is down, and how long a call lasts that was fetched. One that ends at once counts as
// not fetched, and its caller goes back to his orbit.
const (
	pressed = 90 * time.Millisecond
	spoken  = 700 * time.Millisecond
)

// desk is what the keys stage plays with: three phones, somebody who calls the first of them, and a lamp of his own at
// the second.
type desk struct {
	*stage
	phones []*site.Appliance
	eyes   []*eyes
	ua     *ua
	ear    *ear
	watch  *watch // one watcher of 701 at the second phone
}

// pressTimes is one park by key.
type pressTimes struct {
	event  time.Duration // from the switch to the key event in the log; to the millisecond; only with a log
	music  time.Duration // to the first music packet at the caller
	notify time.Duration // to the NOTIFY of the second phone that the orbit is taken
	lamp   time.Duration // to the second phone's status with the lamp lit
}

// fetchTimes is one fetch by orbit key, from the release of the key: it acts when it comes up, since a long press means
// something else.
type fetchTimes struct {
	caller time.Duration // to the first packet at the caller that is not music
	audio  time.Duration // to the later of that and the caller's tone in the handset
	dark   time.Duration // to the NOTIFY of the second phone that the orbit is free
}

// keys measures the phone as the worker uses it: Park on dock-1, fetch by orbit key there or on dock-2.
func keys(s *stage) error {
	var music, lampOn, notified, dark sample
	var caller, audio [2]sample // fetched at the host, at another appliance
	err := s.inside(s.ctx, s.name, func(s *stage) error {
		d, err := newDesk(s, "warn")
		if err != nil {
			return err
		}
		for range s.choose(3, 1) {
			for _, f := range []*sample{&music, &lampOn, &notified, &dark, &caller[0], &caller[1], &audio[0], &audio[1]} {
				f.run()
			}
			for i := range s.choose(20, 4) + 1 {
				p, f, err := d.cycle(i % 2)
				if err != nil {
					return err
				}
				if i == 0 {
					continue // warm-up
				}
				music.add(p.music)
				lampOn.add(p.lamp)
				notified.add(p.notify)
				dark.add(f.dark)
				caller[i%2].add(f.caller)
				audio[i%2].add(f.audio)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var event sample
	err = s.inside(s.ctx, s.name, func(s *stage) error {
		d, err := newDesk(s, "debug")
		if err != nil {
			return err
		}
		for range s.choose(10, 2) {
			p, _, err := d.cycle(0)
			if err != nil {
				return err
			}
			event.add(p.event)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r := &s.report
	r.times("Key Park (switch closes) to first music packet", &music, "Asterisk has no key; REFER to music 21.4/21.5/21.5")
	r.times("Key Park (switch closes) to debounced key event, from the log, to 1 ms", &event, "")
	r.times("Key Park to lamp state of another appliance, by its own NOTIFY", &notified, theirPublish)
	r.times("Key Park to lamp state of another appliance, by its live status", &lampOn, "")
	r.times("Orbit key on the host (comes up) to first frame at the caller", &caller[0], "")
	r.times("Orbit key on the host (comes up) to audio both ways", &audio[0], "")
	r.times("Orbit key on another appliance (comes up) to first frame at the caller", &caller[1], "")
	r.times("Orbit key on another appliance (comes up) to audio both ways", &audio[1], "")
	r.times("Orbit key (comes up) to lamp dark on another appliance, by its NOTIFY", &dark, "")
	r.note("Keys: a time counts from before the API call that moves the simulated switch; bounce and debouncing are in it " +
		"(30 ms without contact until a key counts as up). Audio in the handset is heard through the panel's Listen, frame by frame.")
	return nil
}

func newDesk(s *stage, level string) (*desk, error) {
	all, err := s.phones(settings{logLevel: level})
	if err != nil {
		return nil, err
	}
	d := &desk{stage: s, phones: all.Appliances}
	if d.ua, err = s.ua(10); err != nil {
		return nil, err
	}
	if d.ear, err = s.ear(30); err != nil {
		return nil, err
	}
	if d.watch, err = subscribe(s.ctx, []*ua{d.ua}, s.sip(2), "701", 1); err != nil {
		return nil, err
	}
	for _, a := range d.phones {
		d.eyes = append(d.eyes, s.watch(a))
	}
	return d, nil
}

// cycle: a call to dock-1 is answered, parked by key and fetched by key at phone number at.
func (d *desk) cycle(at int) (p pressTimes, f fetchTimes, err error) {
	for _, e := range d.eyes {
		if err := e.settled(d.ctx, "an idle phone", idle); err != nil {
			return p, f, err
		}
	}
	l, says, err := d.ring()
	if err != nil {
		return p, f, fmt.Errorf("call dock-1: %w", err)
	}
	defer l.drop()
	defer d.speaker.stop(says)
	if p, err = d.park(); err != nil {
		return p, f, fmt.Errorf("key Park: %w", err)
	}
	if f, err = d.fetch(at); err != nil {
		return p, f, fmt.Errorf("orbit key at %s: %w", d.phones[at].Name, err)
	}
	if err := pause(d.ctx, spoken); err != nil {
		return p, f, err
	}
	if err := d.phones[at].Hook(d.ctx, false); err != nil {
		return p, f, err
	}
	return p, f, l.ended(d.ctx)
}

// ring calls dock-1 and has it answered.
func (d *desk) ring() (*leg, *mouth, error) {
	says := make(chan *mouth, 1)
	l := d.ua.newLeg(d.sip(1), callOptions{me: "5551234", callee: "201", audio: d.ear.sock.addr, onMedia: func(to netip.AddrPort) {
		m := newMouth(d.ear.sock, to)
		d.speaker.start(m)
		says <- m
	}})
	ended := make(chan error, 1)
	go func() { ended <- l.dial(d.ctx, "") }()
	if err := d.eyes[0].settled(d.ctx, "a call that rings", func(st panel.Status) bool { return st.Phone.Ring != "" }); err != nil {
		return nil, nil, err
	}
	if err := d.phones[0].Hook(d.ctx, true); err != nil {
		return nil, nil, err
	}
	if err := <-ended; err != nil {
		return nil, nil, err
	}
	if err := l.accepted(); err != nil {
		return nil, nil, err
	}
	_, err := d.ear.await(d.ctx, l.final, func(p packet) bool { return p.kind == other })
	return l, <-says, err
}

func (d *desk) park() (p pressTimes, err error) {
	if err := d.unevenly(300 * time.Millisecond); err != nil {
		return p, err
	}
	at := now()
	if err := d.tap(0, "park"); err != nil {
		return p, err
	}
	m, err := d.music(d.ear, at)
	if err != nil {
		return p, err
	}
	p.music = m.at.since(at)
	lit, err := d.eyes[1].first(d.ctx, at, "the lamp of 701 lit", lamp("701", true))
	if err != nil {
		return p, err
	}
	p.lamp = lit.since(at)
	if p.notify, err = d.told(at, true); err != nil {
		return p, err
	}
	if event, ok := keyEvent(d.phones[0].Log, at); ok {
		p.event = event.since(at)
	}
	// The handset goes down while the orbit is spoken. A fetch follows after the time in which it would be an undo.
	if err := d.phones[0].Hook(d.ctx, false); err != nil {
		return p, err
	}
	err = d.eyes[0].settled(d.ctx, "the handset down", func(st panel.Status) bool { return !st.Phone.HookUp })
	return p, err
}

func (d *desk) told(after stamp, busy bool) (time.Duration, error) {
	var last stamp
	err := poll(d.ctx, errNotTold, func() (all bool) {
		_, last, all = d.watch.reached(after, busy)
		return all
	})
	return last.since(after), err
}

// tap presses a key and returns when it is let go.
func (d *desk) tap(phone int, key string) error {
	if err := d.phones[phone].Press(d.ctx, key, panel.Down); err != nil {
		return err
	}
	if err := pause(d.ctx, pressed); err != nil {
		return err
	}
	return d.phones[phone].Press(d.ctx, key, panel.Up)
}

// fetch lifts the handset of a phone and presses the lit key.
func (d *desk) fetch(phone int) (f fetchTimes, err error) {
	a := d.phones[phone]
	if err := a.Hook(d.ctx, true); err != nil {
		return f, err
	}
	if err := d.eyes[phone].settled(d.ctx, "the handset up", func(st panel.Status) bool { return st.Phone.HookUp }); err != nil {
		return f, err
	}
	listening := d.listen(a)
	defer listening.stop()
	if err := d.unevenly(150 * time.Millisecond); err != nil {
		return f, err
	}
	if err := a.Press(d.ctx, "orbit-701", panel.Down); err != nil {
		return f, err
	}
	if err := pause(d.ctx, pressed); err != nil {
		return f, err
	}
	at := now()
	if err := a.Press(d.ctx, "orbit-701", panel.Up); err != nil {
		return f, err
	}
	first, err := d.ear.await(d.ctx, at, func(p packet) bool { return p.kind == other })
	if err != nil {
		return f, fmt.Errorf("at the caller: %w", err)
	}
	f.caller = first.at.since(at)
	var heard stamp
	if err := poll(d.ctx, errNotHeard, func() (ok bool) {
		heard, ok = listening.after(at)
		return ok
	}); err != nil {
		return f, fmt.Errorf("in the handset: %w", err)
	}
	f.audio = max(f.caller, heard.since(at))
	f.dark, err = d.told(at, false)
	return f, err
}

// listening notes when the tone of a mouth is heard in a handset.
type listening struct {
	stop func()

	mu    sync.Mutex
	tones []stamp // guarded by mu; at most 50 a second
}

func (d *desk) listen(a *site.Appliance) *listening {
	ctx, cancel := context.WithCancel(d.ctx)
	l := &listening{}
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = a.Listen(ctx, func(pcm []int16) bool { // an error ends the tones, which is seen
			at := now()
			if hasTone(pcm) {
				l.mu.Lock()
				l.tones = append(l.tones, at)
				l.mu.Unlock()
			}
			return true
		})
	})
	l.stop = func() {
		cancel()
		wg.Wait()
	}
	return l
}

// after returns when the first frame with the tone was heard after a moment.
func (l *listening) after(at stamp) (stamp, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tones {
		if t >= at {
			return t, true
		}
	}
	return 0, false
}

// keyEvent finds the debounced event of key Park in the log of a phone that logs at level debug.
func keyEvent(log string, after stamp) (stamp, bool) {
	text, err := os.ReadFile(log)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if at, ok := parseKeyEvent(line); ok && at >= after-stamp(time.Millisecond) {
			return at, true
		}
	}
	return 0, false
}

func parseKeyEvent(line string) (stamp, bool) {
	if !strings.Contains(line, `msg=phone input="key park"`) {
		return 0, false
	}
	text, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
	at, err := time.Parse(time.RFC3339Nano, text)
	return stampOf(at), err == nil
}
