package call

import (
	"fmt"
	"time"

	"parklamp/sip/sdp"
)

// Config bounds the calls of a UA.
type Config struct {
	MaxCalls        int           `toml:"max_calls" doc:"calls at the same time, both directions; more are answered 503 (1 to 10000)"`
	SessionExpires  time.Duration `toml:"session_expires" doc:"session timer: a far end that has vanished is noticed within this time (90s to 24h)"`
	MinSE           time.Duration `toml:"min_se" doc:"shortest session timer that a far end may ask for (90s to session_expires)"`
	RingTimeout     time.Duration `toml:"ring_timeout" doc:"an unanswered call ends after this time (5s to 170s)"`
	TransferTimeout time.Duration `toml:"transfer_timeout" doc:"a transfer that reports nothing final for so long has failed (5s to 10m)"`
	MaxTransfers    int           `toml:"max_transfers" doc:"REFERs under way in one call; more are answered 486 (1 to 16)"`
	SRTP            string        `toml:"srtp" doc:"encryption of media where an account does not say: required, preferred (where signalling is TLS and the far end takes it) or off; keys travel by TLS only, so that required refuses every call without it"`
	TrustIdentity   bool          `toml:"trust_identity" doc:"believe P-Asserted-Identity and Remote-Party-ID of a far end (RFC 3325: only inside a trust domain)"`
}

// Default gives the settings of a desk phone in an office.
func Default() Config {
	return Config{
		MaxCalls: 200,
		// RFC 4028 §4 recommends 1800 s. Departs from it: a parked caller who vanishes must not hold
		// an orbit for half an hour.
		SessionExpires:  10 * time.Minute,
		MinSE:           90 * time.Second,
		RingTimeout:     2 * time.Minute,
		TransferTimeout: time.Minute,
		MaxTransfers:    4,
		SRTP:            sdp.Preferred.String(),
		TrustIdentity:   true,
	}
}

// Validate says which key is out of its range.
func (c Config) Validate() error {
	if _, err := sdp.ParseSecurity(c.SRTP); err != nil {
		return fmt.Errorf("srtp = %w", err)
	}
	for _, n := range []struct {
		key            string
		got, low, high int
	}{
		{"max_calls", c.MaxCalls, 1, 10000},
		{"max_transfers", c.MaxTransfers, 1, 16},
	} {
		if n.got < n.low || n.got > n.high {
			return fmt.Errorf("%s = %d: allowed are %d to %d", n.key, n.got, n.low, n.high)
		}
	}
	for _, d := range []struct {
		key            string
		got, low, high time.Duration
	}{
		// RFC 4028 §4, §5: 90 s is the absolute minimum.
		{"session_expires", c.SessionExpires, 90 * time.Second, 24 * time.Hour},
		{"min_se", c.MinSE, 90 * time.Second, c.SessionExpires},
		// The endpoint drops a server transaction after three minutes.
		{"ring_timeout", c.RingTimeout, 5 * time.Second, 170 * time.Second},
		{"transfer_timeout", c.TransferTimeout, 5 * time.Second, 10 * time.Minute},
	} {
		if d.got < d.low || d.got > d.high {
			return fmt.Errorf("%s = %v: allowed are %v to %v", d.key, d.got, d.low, d.high)
		}
	}
	return nil
}
