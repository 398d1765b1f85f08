package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/mediatest"
	"parklamp/media/moh"
	"parklamp/parkd/panel"
)

const (
	// stepLimit is how long one step of a story may take on a machine that is busy.
	stepLimit = 10 * time.Second
	// listenFor is how much is heard before it is compared.
	listenFor = 3 * time.Second
)

// stage is where a story plays.
type stage struct {
	*transcript
	site   *site.Site
	caller *caller
}

func (s *stage) phone(name string) *site.Appliance {
	for _, a := range s.site.Appliances {
		if a.Name == name {
			return a
		}
	}
	panic("demo: no phone " + name)
}

// parkFetch is the main job: a caller is answered at dock-1, parked there, and fetched at dock-2.
func parkFetch(ctx context.Context, s *stage) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait()
	}()
	for _, a := range s.site.Appliances {
		wg.Go(func() {
			if err := s.follow(ctx, a); err != nil && ctx.Err() == nil {
				s.say("%-8s no more news: %v", a.Name, err)
			}
		})
	}
	dock1, dock2, office := s.phone("dock-1"), s.phone("dock-2"), s.phone("office")
	for _, step := range []struct {
		title string
		do    func() error
	}{
		{"The peers find each other.", func() error { return s.peersAlive(ctx) }},
		{"The outside caller rings dock-1; the worker lifts the handset.", func() error { return s.answer(ctx, dock1) }},
		{"The worker presses Park. The caller hears music; orbit 701 lights everywhere.", func() error { return s.park(ctx, dock1) }},
		{"Somebody at dock-2 lifts the handset and presses the lit key.", func() error { return s.fetch(ctx, dock2) }},
		{"dock-2 hangs up. Everything is clear again.", func() error { return s.clear(ctx, dock2, dock1, office) }},
	} {
		s.head(step.title)
		if err := step.do(); err != nil {
			s.say("FAILED   %v", err)
			return err
		}
	}
	cancel()
	wg.Wait()
	s.head("The SIP messages of the three appliances (OPTIONS that keep them in touch left out):")
	return s.messages(s.site.Appliances)
}

func (s *stage) peersAlive(ctx context.Context) error {
	for _, a := range s.site.Appliances {
		_, err := a.Await(ctx, stepLimit, a.Name+" to know its peers", func(st panel.Status) bool {
			alive := 0
			for _, p := range st.Peers {
				if p.State == panel.PeerAlive {
					alive++
				}
			}
			return alive == len(s.site.Appliances)-1
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) answer(ctx context.Context, a *site.Appliance) error {
	if err := s.caller.ring(a.Name, a.Number, netip.AddrPortFrom(a.Addr, 5060)); err != nil {
		return err
	}
	if _, err := a.Await(ctx, stepLimit, a.Name+" to ring", func(st panel.Status) bool { return st.Phone.Ring == "normal" }); err != nil {
		return err
	}
	if err := a.Hook(ctx, true); err != nil {
		return err
	}
	if err := s.awaitCaller(ctx, "talking"); err != nil {
		return err
	}
	return s.bothWays(ctx, a)
}

func (s *stage) park(ctx context.Context, a *site.Appliance) error {
	// Each phone is watched from before the press, so that the time counts from the finger to the lamp's new state.
	lit := make(chan string, len(s.site.Appliances)) // one for each phone
	errs := make(chan error, len(s.site.Appliances))
	var pressed time.Time
	watching := make(chan struct{}, len(s.site.Appliances))
	for _, phone := range s.site.Appliances {
		go func() {
			first := true
			_, err := phone.Await(ctx, stepLimit, "lamp 701 at "+phone.Name, func(st panel.Status) bool {
				if first {
					first = false
					watching <- struct{}{}
				}
				l, _ := lamp(st, "orbit-701")
				return l.Colour == panel.Green || l.Colour == panel.Red
			})
			if err == nil {
				lit <- fmt.Sprintf("%s %.1f ms", phone.Name, float64(time.Since(pressed).Microseconds())/1000)
			}
			errs <- err
		}()
	}
	for range s.site.Appliances {
		select {
		case <-watching:
		case <-time.After(stepLimit):
			return errors.New("the phones do not tell their lamps")
		}
	}
	pressed = time.Now()
	s.say("%-8s key park", a.Name)
	if err := a.Press(ctx, "park", panel.Tap); err != nil {
		return err
	}
	for range s.site.Appliances {
		if err := <-errs; err != nil {
			return err
		}
	}
	close(lit)
	measured := "MEASURED key Park to lamp:"
	for l := range lit {
		measured += " " + l + ","
	}
	s.say("%s", measured[:len(measured)-1])
	if err := pause(ctx, listenFor); err != nil {
		return err
	}
	heard := s.caller.hears(pressed)
	score, lag := mediatest.Match(heard, moh.BuiltIn().Samples()[:8000])
	if score < mediatest.Same {
		return fmt.Errorf("the caller does not hear the music (likeness %.2f)", score)
	}
	s.say("HEARD    the caller hears the music on hold (likeness %.2f), from %d ms after the press on", score, lag/8)
	return nil
}

func (s *stage) fetch(ctx context.Context, a *site.Appliance) error {
	if err := a.Hook(ctx, true); err != nil {
		return err
	}
	if _, err := a.Await(ctx, stepLimit, "dial tone at "+a.Name, func(st panel.Status) bool { return st.Phone.HookUp }); err != nil {
		return err
	}
	pressed := time.Now()
	s.say("%-8s key orbit-701", a.Name)
	if err := a.Press(ctx, "orbit-701", panel.Tap); err != nil {
		return err
	}
	if _, err := a.Await(ctx, stepLimit, a.Name+" to have the caller", func(st panel.Status) bool { return st.Phone.State == "talking" }); err != nil {
		return err
	}
	s.say("MEASURED key of the orbit to the caller in the ear: %d ms", time.Since(pressed).Milliseconds())
	if err := s.bothWays(ctx, a); err != nil {
		return err
	}
	return s.dark(ctx)
}

func (s *stage) clear(ctx context.Context, a *site.Appliance, others ...*site.Appliance) error {
	if err := a.Hook(ctx, false); err != nil {
		return err
	}
	if err := s.awaitCaller(ctx, "on hook"); err != nil {
		return err
	}
	for _, phone := range append(others, a) {
		if phone.Name == "dock-1" {
			if err := phone.Hook(ctx, false); err != nil {
				return err
			}
		}
		_, err := phone.Await(ctx, stepLimit, phone.Name+" to have no call", func(st panel.Status) bool {
			return len(st.Calls) == 0 && st.Phone.State == "idle"
		})
		if err != nil {
			return err
		}
	}
	return s.dark(ctx)
}

// dark waits until no orbit is lit anywhere.
func (s *stage) dark(ctx context.Context) error {
	for _, phone := range s.site.Appliances {
		_, err := phone.Await(ctx, stepLimit, "dark orbits at "+phone.Name, func(st panel.Status) bool {
			l, ok := lamp(st, "orbit-701")
			return ok && l.Colour == panel.Off
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bothWays compares what each side hears with what the other says.
func (s *stage) bothWays(ctx context.Context, a *site.Appliance) error {
	from := time.Now()
	var ear []int16
	limited, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	err := a.Listen(limited, func(frame []int16) bool {
		ear = append(ear, frame...)
		return len(ear) < int(listenFor/time.Second)*8000
	})
	if err != nil {
		return fmt.Errorf("listen at %s: %w", a.Name, err)
	}
	atHandset, _ := mediatest.Match(speech.Caller(), ear[len(ear)/3:])
	heard := s.caller.hears(from)
	atCaller, _ := mediatest.Match(speech.Worker(), heard[len(heard)/3:])
	if atHandset < mediatest.Same || atCaller < mediatest.Same {
		return fmt.Errorf("no conversation: the handset of %s hears the caller with likeness %.2f, the caller hears the worker with %.2f; at least %.2f is needed",
			a.Name, atHandset, atCaller, mediatest.Same)
	}
	s.say("HEARD    %s hears the caller (likeness %.2f), the caller hears %s (likeness %.2f)", a.Name, atHandset, a.Name, atCaller)
	return nil
}

func (s *stage) awaitCaller(ctx context.Context, state string) error {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	return s.caller.await(ctx, state)
}

func lamp(st panel.Status, id string) (panel.Lamp, bool) {
	for _, l := range st.Lamps {
		if l.ID == id {
			return l, true
		}
	}
	return panel.Lamp{}, false
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
