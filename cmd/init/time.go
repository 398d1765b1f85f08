package main

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
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

// timekeeper sets the clock: first to what the card has seen last, then to what the network's time servers say.
type timekeeper struct {
	*ground
	network *network

	mu     sync.Mutex
	keeper *clock.Keeper // guarded by mu; nil before start
	floor  string        // guarded by mu: where the first time came from
}

// guess sets a clock that is behind what the card has last seen: a board without a clock of its own begins in 1970. One that
// is beyond what can be goes back to that.
func (t *timekeeper) guess() {
	latest := latestTime(imageTime)
	past := lastSeen(imageTime, clockFile, filepath.Join(dataFolder, provision.JournalFolder), latest)
	from := "rtc"
	if now := time.Now(); past.After(now) || !past.IsZero() && now.After(latest) {
		from = "guessed"
		if err := clock.Set(past); err != nil {
			t.log.Error("clock", "err", err)
		}
		t.log.Info("the clock begins where it was last seen", "at", past.UTC().Format(time.RFC3339))
	}
	t.mu.Lock()
	t.floor = from
	t.mu.Unlock()
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

// start asks time servers from now on.
func (t *timekeeper) start(g *group) {
	built := clock.Kept(farFuture, imageTime)
	k := clock.New(clock.Options{File: clockFile, Log: t.log, NotBefore: built, NotAfter: latestTime(imageTime), Changed: t.network.newServers, Servers: func() []string {
		if len(t.network.cfg.TimeServers) > 0 {
			return t.network.cfg.TimeServers
		}
		var out []string
		for _, a := range t.network.state().NTP {
			out = append(out, a.String())
		}
		if len(out) == 0 {
			return clock.Pool
		}
		return out
	}})
	t.mu.Lock()
	t.keeper = k
	t.mu.Unlock()
	g.start(k.Run)
	g.start(func(ctx context.Context) { t.watch(ctx, k) })
}

// watch says when nobody tells the time.
func (t *timekeeper) watch(ctx context.Context, k *clock.Keeper) {
	look := time.NewTicker(30 * time.Second)
	defer look.Stop()
	for {
		t.network.changed(t.network.state()) // a lack becomes a fault with time alone
		st := k.State()
		switch {
		case st.Synchronised && time.Since(st.At) < 24*time.Hour:
			t.clear(initapi.CodeClock)
		case time.Since(t.started) > noTime:
			t.raise(health.Condition{Code: initapi.CodeClock, Text: "the time may be wrong: " + firstOf(st.Fault),
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

// status is what is known of the time.
func (t *timekeeper) status() initapi.Clock {
	t.mu.Lock()
	k, c := t.keeper, initapi.Clock{State: t.floor}
	t.mu.Unlock()
	if k == nil {
		return c
	}
	if st := k.State(); st.Synchronised {
		c = initapi.Clock{State: "synchronised", Server: strings.Join(st.Servers, " "), Offset: st.Offset, At: st.At}
	}
	return c
}
