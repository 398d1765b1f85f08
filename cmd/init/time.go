package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"parklamp/cmd/internal/clock"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/provision"
)

const (
	clockName = "clock"
	clockFile = dataFolder + "/" + clockName
	imageTime = etcFolder + "/time" // of the sources
	// noTime is how long the appliance may be without the true time before it says so.
	noTime = 5 * time.Minute
)

// farFuture is beyond what any of these programs can see.
var farFuture = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// yearsOfService is for how long after its sources a system takes what it is told for the time.
const yearsOfService = 20

// latestTime is what no time can be beyond, whoever tells it. One lie of a time server is written to the card and outlives the
// server: in 2099 an appliance would take all others for strangers at each start, as their certificates have ended. The end of its
// own is no bound: a certificate of a few months that was not renewed would cost the time too.
func latestTime(image string) time.Time {
	built := clock.Kept(farFuture, image)
	if built.IsZero() {
		return farFuture
	}
	return built.AddDate(yearsOfService, 0, 0)
}

// floorClock sets a clock that is behind what the card has last seen: a board without a clock of its own begins in 1970. One that
// is beyond what can be goes back to that.
func (s *system) floorClock() {
	latest := latestTime(imageTime)
	past := lastSeen(imageTime, clockFile, filepath.Join(dataFolder, provision.JournalFolder), latest)
	from := "rtc"
	if now := time.Now(); past.After(now) || !past.IsZero() && now.After(latest) {
		from = "guessed"
		if err := clock.Set(past); err != nil {
			s.log.Error("clock", "err", err)
		}
		s.log.Info("the clock begins where it was last seen", "at", past.UTC().Format(time.RFC3339))
	}
	s.mu.Lock()
	s.floor = from
	s.mu.Unlock()
}

// lastSeen is the latest time that the card knows. The time of the system's sources counts only where it knows none: an update
// may be younger than the guesses of a board that never heard the time, and a clock that leaps at its restart would make callers
// who were parked a minute ago look as if they had been left for days.
//
// phoned could give its journal any time: it counts for what can have passed since the time was last kept. From latest on nothing
// counts.
func lastSeen(image, kept, journal string, latest time.Time) time.Time {
	t, limit := clock.Kept(latest, kept), latest
	if !t.IsZero() {
		limit = t.Add(2 * clock.SaveEvery)
	}
	if j := clock.Written(limit, journal); j.After(t) {
		t = j
	}
	if t.IsZero() {
		t = clock.Kept(farFuture, image)
	}
	return t
}

// startClock asks time servers from now on.
func (s *system) startClock(g *group) {
	built := clock.Kept(farFuture, imageTime)
	k := clock.New(clock.Options{File: clockFile, Log: s.log, NotBefore: built, NotAfter: latestTime(imageTime), Changed: s.newServers, Servers: func() []string {
		if len(s.cfg.TimeServers) > 0 {
			return s.cfg.TimeServers
		}
		var out []string
		for _, a := range s.network.State().NTP {
			out = append(out, a.String())
		}
		if len(out) == 0 {
			return clock.Pool
		}
		return out
	}})
	s.mu.Lock()
	s.clock = k
	s.mu.Unlock()
	g.start(k.Run)
	g.start(func(ctx context.Context) { s.watchClock(ctx, k) })
}

// watchClock says when nobody tells the time.
func (s *system) watchClock(ctx context.Context, k *clock.Keeper) {
	look := time.NewTicker(30 * time.Second)
	defer look.Stop()
	for {
		s.onNetwork(s.network.State()) // a lack becomes a fault with time alone
		st := k.State()
		switch {
		case st.Synchronised && time.Since(st.At) < 24*time.Hour:
			s.clear(initapi.CodeClock)
		case time.Since(s.started) > noTime:
			s.raise(health.Condition{Code: initapi.CodeClock, Text: "the time may be wrong: " + firstOf(st.Fault),
				Hint: "name a time server by DHCP option 42 or by time_servers in network.toml"})
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// firstOf is the first line of an error's text.
func firstOf(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// clockStatus is what is known of the time. The caller holds no lock.
func (s *system) clockStatus() initapi.Clock {
	s.mu.Lock()
	k, c := s.clock, initapi.Clock{State: s.floor}
	s.mu.Unlock()
	if k == nil {
		return c
	}
	if st := k.State(); st.Synchronised {
		c = initapi.Clock{State: "synchronised", Server: strings.Join(st.Servers, " "), Offset: st.Offset, At: st.At}
	}
	return c
}

// onNetwork follows the network: who has an address asks for the time at once.
func (s *system) onNetwork(n initapi.Network) {
	s.news.send() // the switch's policy is of the network
	select {
	case s.newURLs <- struct{}{}:
	default: // it will look anyway
	}
	if n.Shunned != 0 {
		s.raise(health.Condition{Code: "vlan", Text: fmt.Sprintf("nobody answers DHCP in VLAN %d, where the phone shall be: it is in the untagged network", n.Shunned),
			Hint: "mend the DHCP server of that VLAN and put the cable in anew, or set vlan or address in network.toml"})
	} else {
		s.clear("vlan")
	}
	if n.Address.IsValid() {
		s.clear(initapi.CodeNetwork)
		select {
		case s.newServers <- struct{}{}:
		default: // it will look anyway
		}
		return
	}
	text, hint := "no address: nobody answers DHCP", "check the DHCP server and the VLAN, or set address in network.toml"
	if n.Port == "" {
		text, hint = "no Ethernet port", "check the board and its drivers"
	} else if !n.Carrier {
		text, hint = "no cable, or the switch is off", "check the cable and the switch"
	}
	if time.Since(s.started) > addressWait {
		s.raise(health.Condition{Code: initapi.CodeNetwork, Severity: health.Error, Text: text, Hint: hint})
	}
}

// addressWait is how long a phone may be without an address after its start before it says so.
const addressWait = 15 * time.Second
