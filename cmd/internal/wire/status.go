package wire

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"parklamp/board"
	"parklamp/board/sim"
	"parklamp/cmd/internal/exam"
	"parklamp/cmd/internal/health"
	"parklamp/leds"
	"parklamp/media"
	"parklamp/parkd"
	"parklamp/parkd/panel"
	"parklamp/sip/phone"
	"parklamp/sip/sdp"
)

// news tells watchers of the status that it has changed.
type news struct {
	mu       sync.Mutex
	next     int            // guarded by mu
	watchers map[int]func() // guarded by mu
}

func (n *news) subscribe(changed func()) (cancel func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next++
	id := n.next
	n.watchers[id] = changed
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.watchers, id)
	}
}

func (n *news) tell() {
	n.mu.Lock()
	all := make([]func(), 0, len(n.watchers))
	for _, f := range n.watchers {
		all = append(all, f)
	}
	n.mu.Unlock()
	for _, f := range all {
		f()
	}
}

var _ panel.Backend = (*Appliance)(nil)

// Status implements panel.Backend.
func (a *Appliance) Status() panel.Status {
	s := panel.Status{At: a.now(), Appliance: panel.Appliance{Name: a.cfg.Appliance.Name, Version: a.version, Started: a.started}}
	for _, l := range a.endpoint.Listening() {
		s.Appliance.Addresses = append(s.Appliance.Addresses, l.String())
	}
	a.loop.ask(func() { a.fill(&s) })
	for _, r := range a.registrar.Statuses() {
		s.Accounts = append(s.Accounts, panel.Account{AOR: r.AOR, Registrar: a.registrarOf(r.AOR), State: r.State.String(), Reason: r.Reason, Since: r.Since, Expires: r.Expires})
	}
	for _, c := range a.health.All() {
		severity := panel.SeverityWarning
		if c.Severity == health.Error {
			severity = panel.SeverityError
		}
		s.Health = append(s.Health, panel.Condition{Code: c.Code, Severity: severity, Since: c.Since, Text: c.Text, Hint: c.Hint})
	}
	return s
}

// registrarOf is the registrar that the configuration names for an account; "" is the domain of its AOR.
func (a *Appliance) registrarOf(aor string) string {
	for _, account := range a.cfg.Registration.Accounts {
		if account.AOR == aor {
			return account.Registrar
		}
	}
	return ""
}

// fill adds what the loop owns.
func (a *Appliance) fill(s *panel.Status) {
	for _, v := range a.lot.machine.Orbits() {
		s.Orbits = append(s.Orbits, orbitStatus(v))
	}
	for _, l := range a.legs {
		s.Calls = append(s.Calls, a.callStatus(l))
	}
	slices.SortFunc(s.Calls, func(x, y panel.Call) int { return x.Since.Compare(y.Since) })
	s.Ended = slices.Clone(a.sounds.ended)
	for _, p := range a.peers {
		s.Peers = append(s.Peers, p)
	}
	slices.SortFunc(s.Peers, func(x, y panel.Peer) int { return strings.Compare(x.Name, y.Name) })
	a.count(s)
	if a.desk != nil {
		a.desk.fill(s)
	}
}

func partyStatus(p parkd.Party) panel.Party {
	return panel.Party{Name: p.Name, Number: p.Number, URI: p.URI}
}

func orbitStatus(v parkd.OrbitView) panel.Orbit {
	o := panel.Orbit{Number: v.Orbit, State: v.State.String(), Caller: partyStatus(v.Caller), Parker: partyStatus(v.Parker), Host: v.Host,
		Since: v.Since, Deadline: v.Deadline}
	for _, c := range v.Calls {
		o.Calls = append(o.Calls, panel.ParkedCall{ID: c.CallID, State: c.State.String(), Caller: partyStatus(c.Caller),
			Parker: partyStatus(c.Parker), Host: c.Host, Since: c.Since, Deadline: c.Deadline, Priority: c.Priority})
	}
	return o
}

func (a *Appliance) callStatus(l *leg) panel.Call {
	info := l.call.Info()
	c := panel.Call{ID: string(l.id), Direction: "out", Remote: partyStatus(l.caller), Since: info.Started, State: panel.CallRinging, Kept: a.lot.kept(l)}
	if l.incoming {
		c.Direction = "in"
	}
	switch {
	case l.parked:
		c.State = panel.CallParked
		if slot, ok := a.lot.callOf(l.id); ok {
			c.Orbit, c.Movable = slot.Orbit, a.lot.machine.Movable(slot)
		}
	case l.onHold:
		c.State = panel.CallHeld
	case l.answered:
		c.State = panel.CallTalking
	}
	if l.media != nil {
		c.Media = mediaStatus(l.media.Stats(), l.agreed)
		c.Quality = qualityStatus(l.media.Quality())
	}
	return c
}

func mediaStatus(s media.Stats, agreed sdp.Media) panel.Media {
	return panel.Media{Codec: agreed.Codec.Name, Encryption: agreed.Suite, Remote: s.Remote.String(), Sent: s.Sent, Received: s.Received, Lost: s.Lost, Late: s.Late,
		JitterMS: float64(s.Jitter) / float64(time.Millisecond)}
}

// fill adds the phone, its keys and its lamps.
func (d *desk) fill(s *panel.Status) {
	v := d.machine.View()
	p := panel.Phone{HookUp: v.HookUp, State: v.State.String(), Tone: string(v.Tone), Ring: string(v.Ring), Muted: v.Muted,
		DND: v.DoNotDisturb, Volume: v.VoiceVolume, VolumeMax: phone.MaxVolume, Digits: v.Digits, Prompt: d.prompt, PromptAt: d.promptAt}
	for _, c := range v.Calls {
		switch {
		case v.With != "" && c.Call == v.With:
			p.Third = panel.Party{Name: c.Name, Number: c.From}
		case c.Call == v.Ear || c.Call == v.Active || v.Ear == "" && v.Active == "" && c.Call == v.RingCall:
			p.Party = panel.Party{Name: c.Name, Number: c.From}
		}
	}
	if d.a.examiner.Underway() {
		p.State, p.HookUp = "self-test", d.a.examiner.HookUp()
	}
	s.Phone = p
	m := d.a.board.Model()
	for _, k := range m.Keys {
		s.Keys = append(s.Keys, panel.Key{ID: string(k.Key), Label: k.Label, Group: k.Group})
	}
	states := d.a.lamps.States()
	shown, tested := d.a.lamps.Overridden()
	for _, l := range m.Lamps {
		if tested {
			s.Lamps = append(s.Lamps, panel.Lamp{ID: string(l.Lamp), Label: l.Label, Colour: panel.Colour(shown[l.Lamp].String()), Pattern: "test"})
			continue
		}
		s.Lamps = append(s.Lamps, lampStatus(l, states[l.Lamp]))
	}
}

// lampStatus shows a lamp as its pattern is: the colour of the first lit step, and the times of light and dark.
func lampStatus(m board.ModelLamp, state leds.State) panel.Lamp {
	l := panel.Lamp{ID: string(m.Lamp), Label: m.Label, Colour: panel.Off, Pattern: state.String()}
	for _, step := range leds.PatternOf(state) {
		if step.Colour != board.Off {
			l.Colour = panel.Colour(step.Colour.String())
		}
		if step.For > 0 {
			l.Cadence = append(l.Cadence, step.For)
		}
	}
	return l
}

// Subscribe implements panel.Backend.
func (a *Appliance) Subscribe(changed func()) (cancel func()) { return a.news.subscribe(changed) }

// hand is the board whose keys can be pressed by a program.
func (a *Appliance) hand() (*sim.Board, error) {
	if a.board == nil {
		return nil, panel.ErrNoPhone
	}
	b, ok := a.board.(*sim.Board)
	if !ok {
		return nil, fmt.Errorf("%w: the keys of this board are pressed by hand", panel.ErrNotNow)
	}
	return b, nil
}

// Press implements panel.Backend: it moves the switch of the simulated board.
func (a *Appliance) Press(key string, action panel.Action) error {
	b, err := a.hand()
	if err != nil {
		return err
	}
	if action == panel.Down {
		err = b.Press(board.Key(key))
	} else {
		err = b.Release(board.Key(key))
	}
	if err != nil {
		return fmt.Errorf("%w: %q", panel.ErrNoSuchKey, key)
	}
	return nil
}

// Looked implements panel.Backend.
func (a *Appliance) Looked(key string) bool {
	b, err := a.hand()
	return err != nil || b.Looked(board.Key(key))
}

// Hook implements panel.Backend.
func (a *Appliance) Hook(up bool) error {
	b, err := a.hand()
	if err != nil {
		return err
	}
	return b.SetHook(up)
}

// Dial implements panel.Backend: the digits go to the phone as the keypad would send them.
func (a *Appliance) Dial(digits string) error {
	if a.desk == nil {
		return panel.ErrNoPhone
	}
	err := errStops
	a.loop.ask(func() {
		if err = nil; a.examiner.Underway() {
			err = exam.ErrUnderway
			return
		}
		for _, c := range []byte(digits) {
			a.desk.step(phone.Digit{Digit: c})
		}
	})
	return err
}

// Listen implements panel.Backend.
func (a *Appliance) Listen(ctx context.Context) (<-chan []int16, error) {
	if a.desk == nil {
		return nil, panel.ErrNoPhone
	}
	if a.desk.handset.sim == nil {
		return nil, fmt.Errorf("%w: what the handset hears goes to its sound card", panel.ErrNotNow)
	}
	return a.desk.handset.sim.Listen(ctx)
}
