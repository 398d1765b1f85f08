package event

import (
	"strings"
	"testing"
	"time"
)

func TestIntervalTooBrief(t *testing.T) {
	inWorld(t, func(w *world) {
		var r record
		w.agent.Subscribe(what(), r.add)
		first := w.peer.request("SUBSCRIBE")
		w.peer.answer(first, 423, "Min-Expires: 1800")
		second := w.peer.request("SUBSCRIBE")
		expect(t, "Expires", header(second, "Expires"), "1800")
		expect(t, "CSeq", second.CSeq().SeqNo, first.CSeq().SeqNo+1)
		w.peer.answer(second, 423, "Min-Expires: 1800") // it does not mean it
		expect(t, "updates", r.flush(), "lost 423 Reason")
	})
}

func TestBackoffGrowsAndEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.agent.Subscribe(what(), nil)
		w.peer.answer(w.peer.request("SUBSCRIBE"), 500)
		for i := range 10 {
			began := time.Now()
			req := w.peer.request("SUBSCRIBE")
			d, want := time.Since(began), min(500*time.Millisecond<<i, 30*time.Second)
			if d < want*3/4 || d > want*5/4 {
				t.Errorf("try %d after %v, want about %v", i+2, d, want)
			}
			w.peer.answer(req, 500)
		}
	})
}

// RFC 6665 §4.1.2.2: a refresh that fails leaves the subscription until it expires.
func TestRefreshFails(t *testing.T) {
	inWorld(t, func(w *world) {
		_, r, n := w.watching()
		n.peer.answer(n.request("SUBSCRIBE"), 500)
		n.sub = n.request("SUBSCRIBE")
		expect(t, "updates", r.flush(), "")
		n.grant("Expires: 100")
		n.tell("active", "two")
		for {
			req := n.request("SUBSCRIBE")
			if !req.To().Params.Has("tag") {
				break
			}
			n.peer.answer(req, 500)
		}
		expect(t, "updates", r.flush(), "active two, lost subscription expired")
	})
}

func TestRefreshUnanswered(t *testing.T) {
	inWorld(t, func(w *world) {
		_, r, n := w.watching()
		n.request("SUBSCRIBE")
		time.Sleep(33 * time.Second)
		if got := r.flush(); !strings.HasPrefix(got, "lost sip: no answer") {
			t.Errorf("updates = %s", got)
		}
		next := n.accept("n2")
		next.tell("active", "back")
		expect(t, "updates", r.flush(), "active back")
	})
}

// Timer N: a 200 without a NOTIFY is nothing.
func TestNoStateComes(t *testing.T) {
	inWorld(t, func(w *world) {
		var r record
		w.agent.Subscribe(what(), r.add)
		w.peer.accept("n1")
		time.Sleep(33 * time.Second)
		expect(t, "updates", r.flush(), "lost no state came")
		w.peer.accept("n2").tell("active", "one")
		expect(t, "updates", r.flush(), "active one")
	})
}

func TestRefreshNow(t *testing.T) {
	inWorld(t, func(w *world) {
		s, r, n := w.watching()
		s.Refresh()
		n.refreshed()
		n.tell("active", "two")
		s.Refresh()
		n.sub = n.request("SUBSCRIBE")
		n.answer(n.sub, 481) // the notifier has restarted
		next := n.accept("n2")
		next.tell("active", "three")
		expect(t, "updates", r.flush(), "active two, lost subscription does not exist at the notifier, active three")
		next.tell("terminated;reason=giveup;retry-after=3600", "")
		s.Refresh() // does not wait
		n.accept("n3").tell("active", "four")
		expect(t, "updates", r.flush(), "lost giveup, active four")
	})
}
