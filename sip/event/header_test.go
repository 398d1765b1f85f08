package event

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseEvent(t *testing.T) {
	for in, want := range map[string]string{
		"dialog":                             "dialog",
		" Presence.winfo ; ID = a1 ; x ":     "presence.winfo;id=a1",
		"dialog;sla;ma":                      "dialog",
		"dialog;include-session-description": "dialog",
		"":                                   "refused",
		";id=3":                              "refused",
		"di alog":                            "refused",
		"dialog;id=":                         "refused",
		"dialog;id":                          "refused",
		"a\"b":                               "refused",
	} {
		got := "refused"
		if e, ok := parseEvent(in); ok {
			got = e.String()
		}
		expect(t, fmt.Sprintf("%q", in), got, want)
	}
}

func TestParseState(t *testing.T) {
	for in, want := range map[string]string{
		"active":                 "active",
		"Active ; Expires = 600": "active expires 10m0s",
		"terminated;reason=Probation;retry-after=5;x": "terminated probation retry 5s",
		`terminated;reason="a;b";retry-after=0`:       "terminated a;b retry 0s",
		"active;expires=99999999999999":               "active expires 1193046h28m15s",
		"active;expires=":                             "refused",
		"active;expires=-1":                           "refused",
		"active;retry-after=1.5":                      "refused",
		"":                                            "refused",
		"a b":                                         "refused",
	} {
		h, ok := parseState(in)
		got := h.state
		if h.reason != "" {
			got += " " + h.reason
		}
		if h.hasExpires {
			got += " expires " + h.expires.String()
		}
		if h.hasRetry {
			got += " retry " + h.retryAfter.String()
		}
		if !ok {
			got = "refused"
		}
		expect(t, fmt.Sprintf("%q", in), got, want)
	}
}

func TestSeconds(t *testing.T) {
	for in, want := range map[time.Duration]string{0: "0", -5: "0", 1: "1", time.Second: "1", 1500 * time.Millisecond: "2"} {
		expect(t, in.String(), seconds(in), want)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("dialog;id=4;sla")
	f.Add(`terminated;reason="x;y";retry-after=5;expires=6`)
	f.Fuzz(func(t *testing.T, s string) {
		if e, ok := parseEvent(s); ok {
			back, ok := parseEvent(e.String())
			if !ok || back != e {
				t.Errorf("event %+v came back as %+v", e, back)
			}
			if strings.ContainsAny(e.String(), "\r\n\" <>") {
				t.Errorf("event %q", e)
			}
		}
		if h, ok := parseState(s); ok && (h.expires < 0 || h.retryAfter < 0 || h.expires > math.MaxUint32*time.Second) {
			t.Errorf("state %+v", h)
		}
	})
}

func TestDeadlines(t *testing.T) {
	var q deadlines
	start := time.Unix(0, 0)
	var fired []int
	var ds [5]*deadline
	for i := range ds {
		ds[i] = &deadline{fire: func(time.Time) { fired = append(fired, i) }}
	}
	q.arm(ds[3], start.Add(3))
	q.arm(ds[1], start.Add(9))
	q.arm(ds[2], start.Add(2))
	q.arm(ds[4], start.Add(4))
	q.arm(ds[1], start.Add(1)) // moved
	q.disarm(ds[2])
	q.disarm(ds[0]) // was not armed
	ds[3].fire = func(now time.Time) {
		fired = append(fired, 3)
		q.arm(ds[3], now)            // again
		q.arm(ds[4], start.Add(100)) // due in this run, moved before it fires
	}
	q.run(start)
	expect(t, "fired early", fired, []int(nil))
	if at, ok := q.next(); !ok || !at.Equal(start.Add(1)) {
		t.Errorf("next = %v, %v", at, ok)
	}
	q.run(start.Add(50))
	expect(t, "fired", fired, []int{1, 3})
	ds[3].fire = func(time.Time) { fired = append(fired, 33) }
	q.run(start.Add(50))
	expect(t, "fired again", fired, []int{1, 3, 33})
	q.run(start.Add(100))
	expect(t, "fired at last", fired, []int{1, 3, 33, 4})
	if _, ok := q.next(); ok {
		t.Error("something is left")
	}
}

func TestMailboxLimits(t *testing.T) {
	m := mailbox{wake: make(chan struct{}, 1), limit: 2}
	ran := 0
	work := func(time.Time) { ran++ }
	expect(t, "offers", fmt.Sprint(m.offer(work), m.offer(work), m.offer(work), m.put(work)), "true true false true")
	for i := range maxTopics + 5 {
		m.mark(topic{"dialog", fmt.Sprint(i % (maxTopics + 1))})
	}
	list, changed := m.take()
	expect(t, "work", len(list), 3)
	// The overflow is one change of everything, then what came after it.
	expect(t, "first change", changed[0], topic{})
	if len(changed) > 10 {
		t.Errorf("%d changes are remembered", len(changed))
	}
	expect(t, "room again", m.offer(work), true)
	m.close()
	expect(t, "after the end", fmt.Sprint(m.offer(work), m.put(work)), "false false")
}

func TestConfigValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"max_subscriptions = 0: allowed are 1 to 1000000": func(c *Config) { c.MaxSubscriptions = 0 },
		"max_pending = 15: allowed are 16 to 1000000":     func(c *Config) { c.MaxPending = 15 },
		"coalesce = -1ns: allowed are 0s to 10s":          func(c *Config) { c.Coalesce = -1 },
		"max_backoff = 1s: allowed are 2s to 24h0m0s":     func(c *Config) { c.MinBackoff, c.MaxBackoff = 2*time.Second, time.Second },
	} {
		c := Default()
		change(&c)
		expect(t, "error", c.Validate(), want)
	}
}
