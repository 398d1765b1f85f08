//go:build image

package guesthost

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/cmd/internal/mover"
	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/speech"
	"parklamp/media/mediatest"
	"parklamp/media/wav"
)

// callLasts is more than any caller of a test waits, on a busy machine.
const callLasts = time.Hour

// caller is somebody outside: SIPp's signalling, a Talker's audio, in this machine and with its own address.
type caller struct {
	*peer.SIPp
	*peer.Talker
	s      *site
	number string
}

// somebody is a caller who has an address and a voice, and has not called yet.
func (s *site) somebody() (c *caller, at netip.Addr) {
	s.Helper()
	last := 20 + int(s.last.Add(1))
	at = addr(last)
	if err := s.sw.Address(at); err != nil {
		s.Fatal(err)
	}
	talker, err := peer.NewTalker(at, speech.Caller())
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = talker.Run(ctx) // always nil
	}()
	s.Cleanup(func() { cancel(); <-done })
	return &caller{Talker: talker, s: s, number: fmt.Sprint(5550000 + last)}, at
}

// call lets somebody call user at a phone; header is one more header of the INVITE.
func (s *site) call(p *phone, user, header string) *caller {
	s.Helper()
	c, at := s.somebody()
	if header == "" {
		header = "Subject: a call"
	}
	var err error
	c.SIPp, err = peer.StartSIPp(peer.SIPpOptions{Scenario: "person", Name: "caller-" + c.number, Dir: s.dir, Local: netip.AddrPortFrom(at, 5060), Media: c.Addr(), Lasts: callLasts,
		Remote: netip.AddrPortFrom(p.at, 5060), Keys: map[string]string{"header": header, "refer_to": "sip:nobody@" + at.String(), "event": "dialog"},
		Values: [][]string{{c.number, fmt.Sprint(c.Addr().Port()), user}}})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(c.Stop)
	return c
}

// parks lets somebody park himself on an orbit, as another maker's phone transfers a call there.
func (s *site) parks(p *phone, orbit string) *caller {
	s.Helper()
	return s.call(p, orbit, "Referred-By: <sip:foreman@"+p.at.String()+">")
}

// moving is a caller whose phone goes to another appliance when it is asked to.
type moving struct {
	*caller
	*mover.Phone
}

// moves lets such a caller call user at a phone.
func (s *site) moves(p *phone, user string) moving {
	s.Helper()
	c, at := s.somebody()
	m, err := mover.New(mover.Options{Number: c.number, Local: netip.AddrPortFrom(at, 5060), Media: c.Addr()})
	s.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.Context()))
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	s.Cleanup(func() { cancel(); <-done })
	_, err = m.Call(gosip.Uri{Scheme: "sip", User: user, Host: p.at.String(), Port: 5060})
	s.must(err)
	return moving{c, m}
}

// asked counts the questions whether the caller is still there.
func (c *caller) asked() (n int) {
	c.s.Helper()
	all, err := c.Trace()
	c.s.must(err)
	for _, m := range all {
		if !m.Sent && strings.HasPrefix(m.StartLine(), "INVITE ") {
			n++
		}
	}
	return n
}

// saw waits until SIPp has seen a message that fits.
func (c *caller) saw(what string, fits func(peer.Message) bool) peer.Message {
	c.s.Helper()
	ctx, cancel := context.WithTimeout(c.s.Context(), limit)
	defer cancel()
	for {
		all, err := c.Trace()
		if err != nil {
			c.s.Fatal(err)
		}
		for _, m := range all {
			if fits(m) {
				return m
			}
		}
		select {
		case <-ctx.Done():
			c.s.Fatalf("caller %s never saw %s; it saw %v", c.number, what, all)
		case <-time.After(50 * time.Millisecond): // another program's file tells nobody that it grew
		}
	}
}

// connected waits for the answer to the call.
func (c *caller) connected() {
	c.s.Helper()
	m := c.saw("a final answer", func(m peer.Message) bool {
		return !m.Sent && m.Status() >= 200 && m.Header("CSeq") == "1 INVITE"
	})
	if m.Status() != 200 {
		c.s.Fatalf("caller %s got %q", c.number, m.StartLine())
	}
}

// hangsUp lets the caller end the call.
func (c *caller) hangsUp() {
	c.s.Helper()
	c.s.must(c.Poke("INFO", 1))
	c.ended()
}

// ended waits until the call has ended.
func (c *caller) ended() {
	c.s.Helper()
	ctx, cancel := context.WithTimeout(c.s.Context(), limit)
	defer cancel()
	c.s.must(c.Wait(ctx))
}

// ear is somebody who hears: what came since the last time, at 8 kHz.
type ear struct {
	who    string
	heard  func() ([]int16, error)
	damage func() string // what the phone knows of it
}

func (c *caller) ear() ear {
	from := time.Now()
	return ear{"caller " + c.number, func() ([]int16, error) {
		since := from
		from = time.Now()
		return c.Audio(since), nil
	}, func() string { return "" }}
}

func (p *phone) ear() ear {
	return ear{"the person at " + p.Name, func() ([]int16, error) { return p.Heard(p.s.Context()) }, p.damage}
}

// damage is what the phone has counted since its start of sound that did not come or was not in time.
func (p *phone) damage() string {
	st, err := p.api.Status(p.s.Context())
	if err != nil {
		return err.Error()
	}
	c := st.Counters
	return fmt.Sprintf("; card ran empty %d times, %d gaps, %d packets lost, %d late, %d ms of %d made up", c["sound.xruns"], c["sound.gaps"],
		c["media.lost"], c["media.late"], c["media.concealed_ms"], c["media.played_ms"])
}

// piece is how much sound is compared at a time: an emulator on a busy machine has gaps between which there must be some.
const piece = 1500 * time.Millisecond

// hears waits until somebody hears what somebody says, by content.
func (s *site) hears(e ear, what string, words []int16) {
	s.Helper()
	began, best := time.Now(), 0.0
	if _, err := e.heard(); err != nil { // what was before does not count
		s.Fatalf("%s: %v", e.who, err)
	}
	for time.Since(began) < limit {
		time.Sleep(piece) // sound takes its time
		pcm, err := e.heard()
		if err != nil {
			s.Fatalf("%s: %v", e.who, err)
		}
		score, _ := mediatest.Match(pcm, words)
		if best = max(best, score); best >= mediatest.Same {
			s.Logf("%s hears %s (likeness %.2f) after %.1f s%s", e.who, what, best, time.Since(began).Seconds(), e.damage())
			return
		}
		s.keep(fmt.Sprintf("%s hears %s %.2f.wav", e.who, what, score), pcm)
	}
	s.Fatalf("%s does not hear %s: best likeness %.2f, want %.2f%s", e.who, what, best, mediatest.Same, e.damage())
}

// keep leaves a sound that was not what was expected in the test's folder.
func (s *site) keep(name string, pcm []int16) {
	s.Helper()
	if err := wav.WriteFile(filepath.Join(s.dir, strings.ReplaceAll(name, " ", "-")), pcm, wav.Rate); err != nil {
		s.Error(err)
	}
}
