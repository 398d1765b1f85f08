package main

import (
	"errors"
	"fmt"
	"sync"

	"parklamp/parkd/panel"
)

// race lets 100 callers want 10 orbits at the same moment, from three appliances, and then 100 phones want the 10
// callers. What counts is how soon the losers know.
func race(s *stage) error {
	all, err := s.phones(settings{})
	if err != nil {
		return err
	}
	var eyes []*eyes
	for _, a := range all.Appliances {
		eyes = append(eyes, s.watch(a))
	}
	uas, err := s.uas(10, 4)
	if err != nil {
		return err
	}
	deaf, err := s.hall(30)
	if err != nil {
		return err
	}
	const contenders, orbits = 100, 10
	var lostParks, wonParks, lostFetches, wonFetches sample
	dropped := 0 // callers hung up while they were fetched
	parkers, fetchers := tally{want: orbits}, tally{want: orbits}
	for n := range s.choose(6, 3) {
		for i, e := range eyes {
			if err := e.settled(s.ctx, "ten free orbits", func(st panel.Status) bool { return taken(st) == 0 }); err != nil {
				return fmt.Errorf("phone %d: %w", i+1, err)
			}
		}
		contest := func(referred bool) ([]*leg, error) {
			legs := make([]*leg, contenders)
			gate := make(chan struct{})
			var ready sync.WaitGroup
			ready.Add(contenders)
			go func() {
				ready.Wait()
				close(gate)
			}()
			return legs, s.together(contenders, contenders, 0, func(i int) error {
				u := uas[i%len(uas)]
				legs[i] = u.newLeg(s.sip(1+i%3), callOptions{me: fmt.Sprint("c", i), callee: fmt.Sprint(701 + i%orbits), audio: deaf.sock.addr})
				by := ""
				if referred {
					by = u.contact("desk")
				}
				ready.Done()
				<-gate
				return legs[i].dial(s.ctx, by)
			})
		}
		parked, err := contest(true)
		if err != nil {
			return fmt.Errorf("parks: %w", err)
		}
		callers := parkers.count(parked, &wonParks, &lostParks, n > 0)
		for i, e := range eyes {
			if err := e.settled(s.ctx, "ten taken orbits", func(st panel.Status) bool { return taken(st) == orbits }); err != nil {
				return fmt.Errorf("phone %d: %w", i+1, err)
			}
		}
		got, err := contest(false)
		if err != nil {
			return fmt.Errorf("fetches: %w", err)
		}
		winners := fetchers.count(got, &wonFetches, &lostFetches, n > 0)
		lost, err := s.hangUp(callers, winners)
		if err != nil {
			return fmt.Errorf("hang up: %w", err)
		}
		dropped += lost
	}
	r := &s.report
	r.times("100 parks at once into 10 orbits, three appliances: the losers know after", &lostParks, "")
	r.times("100 parks at once into 10 orbits: the winners know after", &wonParks, "")
	r.add("100 parks at once into 10 orbits: winners in each round (10 are right)", "calls", fmt.Sprint(len(parkers.rounds)), parkers.String(), "")
	r.times("100 fetches at once of 10 calls, three appliances: the losers know after", &lostFetches, "")
	r.times("100 fetches at once of 10 calls: the winners know after", &wonFetches, "")
	r.add("100 fetches at once of 10 calls: winners in each round (10 are right)", "calls", fmt.Sprint(len(fetchers.rounds)), fetchers.String(), "")
	r.add("Callers dropped by these races (0 is right)", "calls", fmt.Sprint(orbits*len(fetchers.rounds)), fmt.Sprint(dropped), "")
	return nil
}

// hangUp ends the calls of a round from the callers' side, and returns how many callers had been hung up before.
func (s *stage) hangUp(callers, winners []*leg) (dropped int, err error) {
	for _, l := range callers {
		if len(l.over) > 0 {
			dropped++
			l.drop()
			continue
		}
		err = errors.Join(err, l.bye(s.ctx))
	}
	if dropped > 0 || len(winners) > len(callers) { // some winners are joined to nobody, or to each other
		for _, l := range winners {
			if len(l.over) == 0 {
				err = errors.Join(err, l.bye(s.ctx))
			}
		}
	}
	for _, l := range winners {
		l.drop()
	}
	return dropped, err
}

// tally counts winners of races.
type tally struct {
	want   int
	rounds []int
}

// count notes a round and returns the winners. A round that is a warm-up counts for correctness alone.
func (t *tally) count(legs []*leg, won, lost *sample, timed bool) (winners []*leg) {
	won.run()
	lost.run()
	for _, l := range legs {
		d := l.final.since(l.sent)
		switch {
		case l.code == 200:
			winners = append(winners, l)
			if timed {
				won.add(d)
			}
		case timed:
			lost.add(d)
		}
	}
	t.rounds = append(t.rounds, len(winners))
	return winners
}

func (t *tally) String() string { return fmt.Sprint(t.rounds) }
