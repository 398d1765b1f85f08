package sip_test

import (
	"strings"
	"testing"
	"time"

	"parklamp/sip"
)

func TestConfigErrorsNameKeyAndRange(t *testing.T) {
	if err := sip.Default().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*sip.Config)
		want   []string
	}{
		{"no transport", func(c *sip.Config) { c.Listen = []string{"10.0.0.1:5060"} }, []string{"listen[0]", "10.0.0.1:5060", "udp:ADDRESS:PORT"}},
		{"a name", func(c *sip.Config) { c.Listen = []string{"udp:phone.example.org:5060"} }, []string{"listen[0]", "192.0.2.1:5060"}},
		{"wildcard", func(c *sip.Config) { c.Listen = []string{"udp:10.0.0.1:5060", "udp:0.0.0.0:5060"} }, []string{"listen[1]", "wildcard"}},
		{"twice", func(c *sip.Config) { c.Listen = []string{"udp:10.0.0.1:5060", "udp:10.0.0.1:5060"} }, []string{"listen[1]", "twice"}},
		{"tls", func(c *sip.Config) { c.Listen = []string{"tls:10.0.0.1:5061"} }, []string{"listen[0]", "tls_cert"}},
		{"agent", func(c *sip.Config) { c.UserAgent = "a\r\nb" }, []string{"user_agent"}},
		{"message", func(c *sip.Config) { c.MaxMessageBytes = 100 }, []string{"max_message_bytes", "100", "1500 to 65535"}},
		{"transactions", func(c *sip.Config) { c.MaxTransactions = 0 }, []string{"max_transactions", "16 to"}},
		{"dscp", func(c *sip.Config) { c.DSCP = 64 }, []string{"dscp", "64", "0 to 63"}},
		{"idle", func(c *sip.Config) { c.IdleTimeout = time.Second }, []string{"idle_timeout", "1s", "10s to 24h"}},
		{"dial", func(c *sip.Config) { c.DialTimeout = time.Hour }, []string{"dial_timeout", "1h0m0s", "100ms to 1m"}},
	} {
		cfg := sip.Default()
		c.change(&cfg)
		err := cfg.Validate()
		for _, part := range c.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is missing in %v", c.name, part, err)
			}
		}
	}
	if _, err := sip.New(sip.Default(), nil); err == nil {
		t.Error("an endpoint that listens nowhere")
	}
}
