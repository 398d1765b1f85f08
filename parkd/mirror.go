package parkd

import (
	"slices"
	"time"
)

// LateWord is how long the word of an appliance about a call may take to get everywhere after the call has left its host or
// its far end has: for that long nobody takes a caller of whom nothing is known for gone.
const LateWord = 10 * time.Second

// maxMirrored is how many calls one document tells of at most (package pidf: MaxTuples).
const maxMirrored = 1000

// mirror is what is known of the calls of one peer: those that its last document tells of, and those that have left it and
// may be at another appliance whose word has not come yet. The documents of different appliances come in any order, and an
// orbit is not free before the one that tells of the call's new place, or of its end, is there.
//
// A document says where a call went (Settled with Host, Epoch and Generation): it is held until the document of that host is
// there, or ForgetDead has passed. Where nobody says so, or that host lives anew without it, it is held for LateWord, and longer
// while somebody may have it who cannot say so: who was calling its far end (Trying), or is out of reach; and while this appliance
// itself is still to call its far end (Machine.expire).
type mirror struct {
	Name       string
	Alive      bool
	Epoch      uint64
	Generation uint64
	Slots      []SlotState
	Settled    []Settled
	held       []held
	doubted    []SlotState // found to have gone while the peer was dead; its own word counts when it is back
	since      time.Time   // of the last document, or of its death if that was later: see adrift
	down       time.Time   // when it was found dead last
	forgotten  bool        // it stayed away for ForgetDead
	born       time.Time   // when the first document of its present life came
}

// held is a call that has left the peer.
type held struct {
	slot  SlotState // State is Moving
	to    Settled   // who has it; zero: nobody has said so
	lost  time.Time // when its host was out of sight, or had lost it
	until time.Time
	cold  bool // who had it lives anew without it: nobody says where it is
	// orphan says that its host lives anew without it, as it does when its disk did not take the call before a crash: the caller
	// is there, and nobody talks to him.
	orphan bool
}

// mirrors are those of all peers.
type mirrors []*mirror

// departed is a call that the mirror of a peer has no longer; How is 0 while another one tells of it, or of its end.
type departed struct {
	Slot SlotState
	How  End
}

// take takes a newer document of the peer. Calls that a new life does not know, and nobody else can have, are lost;
// of those that have ended in it, it says so (Gone).
func (p *mirror) take(now time.Time, forget time.Duration, in Announce) (left []departed) {
	again, old, lost := p.Epoch != 0 && in.Epoch > p.Epoch, p.Slots, p.lost(now)
	p.Epoch, p.Generation, p.Slots, p.doubted, p.since = in.Epoch, in.Generation, in.Slots, nil, now
	p.forgotten = false
	p.Settled = in.Settled[:min(len(in.Settled), maxSettled)]
	if again {
		p.born = now
	}
	p.held = slices.DeleteFunc(p.held, func(h held) bool { return p.lists(h.slot.CallID) })
	for _, s := range old {
		if p.lists(s.CallID) {
			continue
		}
		at := slices.IndexFunc(p.Settled, func(f Settled) bool { return f.CallID == s.CallID && f.How == Rescued && f.Moves > s.Moves })
		switch {
		case at >= 0:
			p.hold(s, p.Settled[at], lost, now.Add(forget))
		case again && p.says(s, Gone): // it was back with him, and has told how that ended
		case again && s.Dialog.rescuable(): // it was away, and somebody else may have taken over, or does so now
			p.hold(s, Settled{}, lost, now.Add(LateWord))
			p.held[len(p.held)-1].orphan = s.State != Moving
		case again:
			left = append(left, departed{s, EndLost})
		}
	}
	return left
}

// setAlive says whether the peer lives.
func (p *mirror) setAlive(now time.Time, alive bool) {
	if p.Alive && !alive || p.down.IsZero() && !alive { // one that was never heard in this life may have a call, too
		p.since, p.down = now, now
	}
	if alive {
		p.Slots = append(p.Slots[:len(p.Slots):len(p.Slots)], p.doubted...)
		p.doubted = nil
	}
	p.Alive = alive
}

// lost is when what becomes of the peer's calls was out of sight first: since it was found dead, or else now.
func (p *mirror) lost(now time.Time) time.Time {
	if p.Alive || p.down.IsZero() {
		return now
	}
	return p.down
}

// forgetAll gives up what is known of a peer that stayed away.
func (p *mirror) forgetAll() (slots []SlotState) {
	for _, h := range p.held {
		slots = append(slots, h.slot)
	}
	slots = append(slots, p.Slots...)
	*p = mirror{Name: p.Name, Alive: p.Alive, down: p.down, forgotten: true}
	return slots
}

// stray are the calls whose host is dead, or leaves, or does not have them any more.
func (p *mirror) stray() (slots []SlotState) {
	for _, s := range p.Slots {
		if !p.Alive && s.State != Moving {
			slots = append(slots, s)
		}
	}
	for _, h := range p.held {
		if h.orphan && h.to.Host == "" {
			slots = append(slots, h.slot)
		}
	}
	return slots
}

// copies are the calls that keep their orbits; of those that have left, and of those of a dead host, nobody knows for sure.
func (p *mirror) copies() []SlotState {
	all := make([]SlotState, 0, len(p.Slots)+len(p.held))
	for _, s := range p.Slots {
		s.Unknown = !p.Alive
		all = append(all, s)
	}
	for _, h := range p.held {
		all = append(all, h.slot)
	}
	return all
}

func (p *mirror) lists(callID string) bool {
	return slices.ContainsFunc(p.Slots, func(s SlotState) bool { return s.CallID == callID })
}

func (p *mirror) hold(s SlotState, to Settled, lost, until time.Time) {
	s.State, s.Unknown = Moving, true
	p.held = append(p.held, held{slot: s, to: to, lost: lost, until: until})
}

// tells are all that a peer's document says of calls that have changed their hosts.
func (p *mirror) tells() []Settled {
	facts := slices.Clone(p.Settled)
	for i := range facts {
		if facts[i].Host == "" {
			facts[i].Host = p.Name
		}
	}
	for _, s := range p.Slots {
		if s.Moves > 0 {
			facts = append(facts, Settled{CallID: s.CallID, Moves: s.Moves, How: Rescued, Host: p.Name})
		}
	}
	return facts
}

// settle strikes out the older copies of calls that have changed their hosts, after any news. self and own are this
// appliance, and what it tells.
func (ms mirrors) settle(now time.Time, self string, own Announce, forget time.Duration) (left []departed) {
	me := &mirror{Name: self, Epoch: own.Epoch, Generation: own.Generation, Slots: own.Slots, Settled: own.Settled}
	all := append(ms[:len(ms):len(ms)], me) // what an earlier life of this appliance had is not known to be here
	for _, by := range all {
		for _, f := range by.tells() {
			known := f.Host == by.Name || all.told(f)
			for _, p := range ms {
				if p != by {
					left = append(left, p.settle(now, f, known, forget)...)
				}
			}
		}
	}
	for _, p := range ms {
		p.held = slices.DeleteFunc(p.held, func(h held) bool {
			known := h.to.Host != "" && all.told(h.to)
			if known {
				left = append(left, departed{h.slot, 0})
			}
			return known
		})
		for i := range p.held {
			if h := &p.held[i]; !h.cold && all.livesAnew(h.to) {
				h.cold, h.until = true, now.Add(LateWord)
			}
		}
	}
	return left
}

// last goes on from a fact: where the document of that host says that the call has gone from there, and so on.
func (ms mirrors) last(f Settled) Settled {
	for range ms {
		i := slices.IndexFunc(ms, func(p *mirror) bool { return p.Name == f.Host })
		if i < 0 {
			break
		}
		on, ok := ms[i].handedOn(f)
		if !ok {
			break
		}
		f = on
	}
	return f
}

// handedOn is where the peer says that a call has gone which it had by a fact.
func (p *mirror) handedOn(f Settled) (on Settled, ok bool) {
	if p.Epoch < f.Epoch || p.Epoch == f.Epoch && p.Generation < f.Generation || p.lists(f.CallID) {
		return on, false
	}
	i := slices.IndexFunc(p.Settled, func(g Settled) bool {
		return g.CallID == f.CallID && g.How == Rescued && g.Moves > f.Moves && g.Host != ""
	})
	if i < 0 {
		return on, false
	}
	return p.Settled[i], true
}

// told says whether the document that a fact goes by, or by which the call has gone on from there, is here, or a newer one that
// knows of the call.
func (ms mirrors) told(f Settled) bool {
	f = ms.last(f)
	return slices.ContainsFunc(ms, func(p *mirror) bool {
		return p.Name == f.Host && (p.Epoch == f.Epoch && p.Generation >= f.Generation || p.Epoch > f.Epoch && p.lists(f.CallID))
	})
}

// livesAnew says whether who had a call by a fact has begun a new life, and does not have it: it may have ended there, or it may
// have gone on to somebody else.
func (ms mirrors) livesAnew(f Settled) bool {
	f = ms.last(f)
	return slices.ContainsFunc(ms, func(p *mirror) bool { return p.Name == f.Host && p.Epoch > f.Epoch && !p.lists(f.CallID) })
}

// settle is what one fact, told by another appliance, does to a peer's copy of a call. known says that it is known where the
// call is now.
func (p *mirror) settle(now time.Time, f Settled, known bool, forget time.Duration) (left []departed) {
	older := func(s SlotState) bool { return s.CallID == f.CallID && s.Moves < f.Moves }
	how := End(0)
	switch {
	case f.How == Gone && (!p.Alive || slices.ContainsFunc(p.held, func(h held) bool { return h.orphan && older(h.slot) })):
		how = EndLost
	case f.How != Rescued:
		return nil
	}
	if i := slices.IndexFunc(p.Slots, older); i >= 0 {
		s := p.Slots[i]
		p.Slots = slices.Delete(slices.Clone(p.Slots), i, i+1)
		if how != 0 {
			p.doubted = append(p.doubted, s)
		}
		p.hold(s, Settled{}, p.lost(now), now.Add(forget))
	}
	i := slices.IndexFunc(p.held, func(h held) bool { return older(h.slot) })
	switch {
	case i < 0 || how != 0 && p.held[i].to.Host != "": // who has him is known, and that he does not answer there does not count
	case how == 0 && !known:
		if p.held[i].to.Moves < f.Moves {
			p.held[i].to, p.held[i].until, p.held[i].cold = f, now.Add(forget), false
		}
	default:
		left = []departed{{p.held[i].slot, how}}
		p.held = slices.Delete(p.held, i, i+1)
	}
	return left
}

// says whether the peer tells that of a call.
func (p *mirror) says(s SlotState, how Outcome) bool {
	return slices.ContainsFunc(p.Settled, func(f Settled) bool { return f.CallID == s.CallID && f.How == how && f.Moves > s.Moves })
}

// rescued says whether somebody tells who has taken a call over, unless that one lives anew without it since LateWord.
func (ms mirrors) rescued(now time.Time, s SlotState) bool {
	return slices.ContainsFunc(ms, func(p *mirror) bool {
		return slices.ContainsFunc(p.Settled, func(f Settled) bool {
			return f.CallID == s.CallID && f.How == Rescued && f.Moves > s.Moves && !(ms.livesAnew(f) && slices.ContainsFunc(ms, func(o *mirror) bool {
				return o.Name == ms.last(f).Host && now.Sub(o.born) >= LateWord
			}))
		})
	})
}

// tried says whether another appliance is calling the far end of a call, or was when it was heard last.
func (ms mirrors) tried(s SlotState) bool {
	return slices.ContainsFunc(ms, func(p *mirror) bool { return p.says(s, Trying) })
}

// mayHave says whether another appliance than its host may have a call of which nobody tells: one that was calling its far end
// when it was heard last, or one that is out of reach since about the time when the call was lost with its host, or later.
// rescueAfter is Config's.
func (ms mirrors) mayHave(s SlotState, lost time.Time, rescueAfter time.Duration) bool {
	from := lost.Add(-rescueSpan(rescueAfter, len(ms)+1))
	return ms.tried(s) || slices.ContainsFunc(ms, func(p *mirror) bool {
		return p.Name != s.Host && !p.Alive && !p.forgotten && p.down.After(from)
	})
}

// expire gives up the calls of which no word has come. rescueAfter is Config's.
func (ms mirrors) expire(now time.Time, rescueAfter time.Duration) (left []departed) {
	for _, p := range ms {
		var keep []held
		for _, h := range p.held {
			if now.Before(h.until) || (h.to.Host == "" || h.cold) && ms.mayHave(h.slot, h.lost, rescueAfter) {
				keep = append(keep, h)
				continue
			}
			how := EndLost
			if h.cold { // nobody says that he was lost there
				how = 0
			}
			left = append(left, departed{h.slot, how})
		}
		p.held = keep
		if over := p.adrift(); over.IsZero() || now.Before(over) {
			continue
		}
		var there []SlotState
		for _, s := range p.Slots {
			if s.State != Moving || ms.mayHave(s, p.lost(now), rescueAfter) {
				there = append(there, s)
				continue
			}
			p.doubted = append(p.doubted, s)
			left = append(left, departed{s, EndAbandoned})
		}
		p.Slots = there
	}
	return left
}

// adrift is when callers who had left a host before it died are given up; zero: there are none.
func (p *mirror) adrift() time.Time {
	if p.Alive || !slices.ContainsFunc(p.Slots, func(s SlotState) bool { return s.State == Moving }) {
		return time.Time{}
	}
	return p.since.Add(LateWord)
}

// due is when expire has something to do; zero: never, as far as is known.
func (ms mirrors) due(now time.Time) (at time.Time) {
	earlier := func(t time.Time) {
		if t = later(t, now.Add(time.Second)); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	for _, p := range ms {
		for _, h := range p.held {
			earlier(h.until)
		}
		if t := p.adrift(); !t.IsZero() {
			earlier(t)
		}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
