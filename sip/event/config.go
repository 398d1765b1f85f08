package event

import (
	"fmt"
	"time"
)

// Config bounds what the agent keeps for others and says how it tries again.
type Config struct {
	MaxSubscriptions          int `toml:"max_subscriptions" doc:"subscriptions of others kept at one time; more are answered 503"`
	MaxSubscriptionsPerSource int `toml:"max_subscriptions_per_source" doc:"the same from one IP address"`
	MaxPublications           int `toml:"max_publications" doc:"publications of others kept at one time; more are answered 503"`
	MaxPending                int `toml:"max_pending" doc:"requests waiting to be handled; more are answered 503"`

	MaxBurst int `toml:"max_burst" doc:"notifications on their way at one time; more wait for an answer (or 100 ms), so that the answers fit into the socket's buffer"`

	Coalesce    time.Duration `toml:"coalesce" doc:"shortest time between two notifications of one subscription; changes between are sent as one"`
	NotifyWait  time.Duration `toml:"notify_wait" doc:"time for the first NOTIFY after a SUBSCRIBE (timer N of RFC 6665)"`
	MinBackoff  time.Duration `toml:"min_backoff" doc:"wait before a failed subscription is tried again; doubles each time"`
	MaxBackoff  time.Duration `toml:"max_backoff" doc:"longest wait between two tries"`
	ComeBack    time.Duration `toml:"come_back" doc:"when subscribers are told to come back if the appliance is being stopped"`
	ShutdownFor time.Duration `toml:"shutdown_for" doc:"time for the last notifications when the appliance is being stopped"`
}

// Default returns the configuration of an appliance among 50.
func Default() Config {
	return Config{
		MaxSubscriptions:          5000,
		MaxSubscriptionsPerSource: 1000,
		MaxPublications:           5000,
		MaxPending:                4096,
		MaxBurst:                  64,
		Coalesce:                  20 * time.Millisecond,
		NotifyWait:                32 * time.Second, // RFC 6665 §4.1.2.4: 64*T1
		MinBackoff:                500 * time.Millisecond,
		MaxBackoff:                30 * time.Second,
		ComeBack:                  2 * time.Second,
		ShutdownFor:               time.Second,
	}
}

// Validate reports the first value outside its range.
func (c Config) Validate() error {
	for _, n := range []struct {
		key           string
		v, low, upper int
	}{
		{"max_subscriptions", c.MaxSubscriptions, 1, 1_000_000},
		{"max_subscriptions_per_source", c.MaxSubscriptionsPerSource, 1, 1_000_000},
		{"max_publications", c.MaxPublications, 1, 1_000_000},
		{"max_pending", c.MaxPending, 16, 1_000_000},
		{"max_burst", c.MaxBurst, 1, 1_000_000},
	} {
		if n.v < n.low || n.v > n.upper {
			return fmt.Errorf("%s = %d: allowed are %d to %d", n.key, n.v, n.low, n.upper)
		}
	}
	for _, d := range []struct {
		key           string
		v, low, upper time.Duration
	}{
		{"coalesce", c.Coalesce, 0, 10 * time.Second},
		{"notify_wait", c.NotifyWait, time.Second, 5 * time.Minute},
		{"min_backoff", c.MinBackoff, 10 * time.Millisecond, time.Minute},
		{"max_backoff", c.MaxBackoff, c.MinBackoff, 24 * time.Hour},
		{"come_back", c.ComeBack, time.Second, time.Hour},
		{"shutdown_for", c.ShutdownFor, 0, 10 * time.Second},
	} {
		if d.v < d.low || d.v > d.upper {
			return fmt.Errorf("%s = %v: allowed are %v to %v", d.key, d.v, d.low, d.upper)
		}
	}
	return nil
}
