package media

import (
	"strings"
	"testing"
	"time"
)

func TestConfigNamesWhatIsWrong(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatalf("the default: %v", err)
	}
	for want, change := range map[string]func(c *Config){
		"port_min = 80":     func(c *Config) { c.PortMin = 80 },
		"port_max = 20001":  func(c *Config) { c.PortMax = c.PortMin + 1 },
		"max_sessions = 0":  func(c *Config) { c.MaxSessions = 0 },
		"dscp = 64":         func(c *Config) { c.DSCP = 64 },
		"jitter_min = -1ns": func(c *Config) { c.JitterMin = -1 },
		"jitter_max = 2s":   func(c *Config) { c.JitterMax = 2 * time.Second },
		"nice = 1":          func(c *Config) { c.Nice = 1 },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want+": allowed is ") {
			t.Errorf("%v; want %q and what is allowed", err, want)
		}
	}
}

func TestConfigOfCodecs(t *testing.T) {
	for want, codecs := range map[string][]string{
		`codecs[1] = "opus": allowed are G722, PCMU and PCMA`: {"PCMU", "opus"},
		`codecs[2] = "pcma": it is there twice`:               {"PCMA", "G722", "pcma"},
		`codecs = ["G722"]: PCMU or PCMA must be among`:       {"G722"},
		`codecs = []: PCMU or PCMA must be among`:             nil,
	} {
		c := Default()
		c.Codecs = codecs
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	c := Default()
	if c.Codecs = []string{"pcma", "G722"}; c.Validate() != nil {
		t.Error("names are taken in either case")
	}
}
