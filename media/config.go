package media

import (
	"fmt"
	"time"

	"parklamp/media/codec"
	"parklamp/media/jitter"
)

// Config is the media section of an appliance's configuration.
type Config struct {
	PortMin            uint16        `toml:"port_min" doc:"lowest UDP port for RTP; sessions use an even port and the next odd one"`
	PortMax            uint16        `toml:"port_max" doc:"highest UDP port for RTP"`
	MaxSessions        int           `toml:"max_sessions" doc:"most sessions open at once, 1 to 10000"`
	DSCP               int           `toml:"dscp" doc:"DSCP of audio packets, 0 to 63; 46 is Expedited Forwarding, in place of which the switch may name another by LLDP-MED"`
	JitterMin          time.Duration `toml:"jitter_min" doc:"least delay that the jitter buffer aims at, 0s to 200ms"`
	JitterMax          time.Duration `toml:"jitter_max" doc:"greatest delay that the jitter buffer aims at, 40ms to 1s"`
	Codecs             []string      `toml:"codecs" doc:"audio codecs in the order in which calls offer them: G722, PCMU, PCMA. A call that comes in gets the first of them if it offers that, else what it likes best itself; a call that is joined with another one gets the codec of that one if it can, so that nothing has to be transcoded"`
	SilenceSuppression bool          `toml:"silence_suppression" doc:"send comfort noise (RFC 3389) in place of the handset's silence where the far end takes it. It saves packets on a thin line; off, the far end hears the room as it is, the beginning of every word whole, and firewalls see a stream that never stops. Music is always sent"`
	Nice               int           `toml:"nice" doc:"nice value of the whole program where the system permits it: -20 (runs before all others) to 0 (asks for nothing)"`
}

// Default returns 1,000 ports, Expedited Forwarding (RFC 4594 §4.1), an unrestricted jitter buffer, and wideband where the
// far end has it: it costs the network what G.711 costs, parked callers share its encoding of the music as they share
// G.711's, and appliances fetch from each other in it undecoded. Only a relay to a phone that has none is dearer: G.722 is
// decoded and encoded there.
func Default() Config {
	j := jitter.Default()
	return Config{
		PortMin: 20000, PortMax: 20999, MaxSessions: 500, DSCP: 46,
		JitterMin: j.Min, JitterMax: j.Max, Codecs: []string{"G722", "PCMU", "PCMA"}, Nice: -10,
	}
}

// Validate returns an error that names the first key whose value is out of range.
func (c Config) Validate() error {
	switch {
	case c.PortMin < 1024:
		return fmt.Errorf("port_min = %d: allowed is 1024 to 65533", c.PortMin)
	case int(c.PortMax) < int(c.PortMin)+3:
		return fmt.Errorf("port_max = %d: allowed is port_min + 3 (%d) to 65535", c.PortMax, int(c.PortMin)+3)
	case c.MaxSessions < 1 || c.MaxSessions > 10000:
		return fmt.Errorf("max_sessions = %d: allowed is 1 to 10000", c.MaxSessions)
	case c.DSCP < 0 || c.DSCP > 63:
		return fmt.Errorf("dscp = %d: allowed is 0 to 63", c.DSCP)
	case c.JitterMin < 0 || c.JitterMin > 200*time.Millisecond:
		return fmt.Errorf("jitter_min = %s: allowed is 0s to 200ms", c.JitterMin)
	case c.JitterMax < 40*time.Millisecond || c.JitterMax > time.Second || c.JitterMax < c.JitterMin:
		return fmt.Errorf("jitter_max = %s: allowed is 40ms to 1s, not below jitter_min", c.JitterMax)
	case c.Nice < -20 || c.Nice > 0:
		return fmt.Errorf("nice = %d: allowed is -20 to 0", c.Nice)
	}
	return validateCodecs(c.Codecs)
}

// validateCodecs wants each codec once, and one of those that every phone has: an emergency call must not fail for it.
func validateCodecs(names []string) error {
	seen := map[codec.ID]bool{}
	for i, name := range names {
		id := codec.ByName(name)
		switch {
		case id == codec.None:
			return fmt.Errorf("codecs[%d] = %q: allowed are G722, PCMU and PCMA", i, name)
		case seen[id]:
			return fmt.Errorf("codecs[%d] = %q: it is there twice", i, name)
		}
		seen[id] = true
	}
	if !seen[codec.PCMU] && !seen[codec.PCMA] {
		return fmt.Errorf("codecs = %q: PCMU or PCMA must be among them, for every phone has those", names)
	}
	return nil
}
