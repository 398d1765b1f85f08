package call

import (
	"testing"
	"testing/synctest"
	"time"
)

// RFC 3891 §3, rule by rule. b has a dialog with a; the third party, c, wants its place.
func TestReplacesRules(t *testing.T) {
	replace := func(c, b *side, id DialogID, early bool) *Call {
		return c.call(b, "701", func(o *Invite) { o.Replaces, o.EarlyOnly = &id, early })
	}
	t.Run("confirmed dialog", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			c := newSide(t, n, "10.0.0.3")
			ab, ba := established(t, a, b)
			cb := replace(c, b, ba.Dialog().ID(), false)
			bc := b.incoming()
			if bc.Info().Replaces != ba {
				t.Fatalf("info %+v", bc.Info())
			}
			bc.Answer(b.local())
			ba.Hangup("replaced")
			c.expect(cb, "answered "+toB)
			a.expect(ab, "ended remote 0")
			b.expect(ba, "ended local 0")
			// Terminated: 603. The loser of a race is told.
			late := replace(c, b, ba.Dialog().ID(), false)
			c.expect(late, "ended rejected 603")
		})
	})
	t.Run("answered without taking over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			c := newSide(t, n, "10.0.0.3")
			ab, ba := established(t, a, b)
			replace(c, b, ba.Dialog().ID(), false)
			b.incoming().Answer(b.local())
			a.expect(ab)
			b.expect(ba)
		})
	})
	t.Run("no such dialog", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			c := newSide(t, n, "10.0.0.3")
			_, ba := established(t, a, b)
			good := ba.Dialog().ID()
			for name, id := range map[string]DialogID{
				"call-id":  {"other", good.LocalTag, good.RemoteTag},
				"to-tag":   {good.CallID, "other", good.RemoteTag},
				"from-tag": {good.CallID, good.LocalTag, "other"},
				"reversed": good.Reverse(),
				"no tag":   {good.CallID, good.LocalTag, "0"},
			} {
				cb := replace(c, b, id, false)
				c.expect(cb, "ended rejected 481")
				if t.Failed() {
					t.Fatal(name)
				}
			}
		})
	})
	t.Run("early-only and confirmed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			c := newSide(t, n, "10.0.0.3")
			_, ba := established(t, a, b)
			c.expect(replace(c, b, ba.Dialog().ID(), true), "ended rejected 486")
		})
	})
	t.Run("early dialog that the far end began", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			c := newSide(t, n, "10.0.0.3")
			a.call(b, "701")
			ba := b.incoming()
			ba.Ring()
			synctest.Wait()
			c.expect(replace(c, b, ba.Dialog().ID(), false), "ended rejected 481")
		})
	})
	t.Run("early dialog that we began", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			c := newSide(t, n, "10.0.0.3")
			ba := b.call(a, "300")
			ab := a.incoming()
			ab.Ring()
			b.expect(ba, "ringing 180")
			cb := replace(c, b, ba.Dialog().ID(), true)
			b.incoming().Answer(b.local())
			ba.Hangup("replaced")
			c.expect(cb, "answered "+toB)
			b.expect(ba, "ended cancelled 0")
			a.expect(ab, "ended cancelled 487")
		})
	})
	t.Run("forgotten", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := pair(t)
			c := newSide(t, n, "10.0.0.3")
			_, ba := established(t, a, b)
			id := ba.Dialog().ID()
			ba.Hangup("")
			time.Sleep(6 * time.Minute)
			c.expect(replace(c, b, id, false), "ended rejected 481")
		})
	})
}

func TestParseReplaces(t *testing.T) {
	for _, c := range []struct {
		in   string
		want DialogID
		only bool
		bad  bool
	}{
		// RFC 3891 §6.1, examples.
		{in: "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff", want: DialogID{"98732@sip.example.com", "ff87ff", "r33th4x0r"}},
		{in: "12adf2f34456gs5;to-tag=12345;from-tag=54321", want: DialogID{"12adf2f34456gs5", "12345", "54321"}},
		{in: "87134@171.161.34.23;to-tag=24796;from-tag=0", want: DialogID{"87134@171.161.34.23", "24796", "0"}},
		{in: "x ; To-Tag = 1 ; FROM-TAG=2;early-only;other=3", want: DialogID{"x", "1", "2"}, only: true},
		{in: "", bad: true},
		{in: "x", bad: true},
		{in: "x;to-tag=1", bad: true},
		{in: "x;to-tag=1;to-tag=1;from-tag=2", bad: true},
		{in: "x;to-tag=1;from-tag=", bad: true},
		{in: "x y;to-tag=1;from-tag=2", bad: true},
		{in: ";to-tag=1;from-tag=2", bad: true},
		{in: "x\r\nVia: y;to-tag=1;from-tag=2", bad: true},
	} {
		r, err := parseReplaces(c.in)
		if (err != nil) != c.bad || err == nil && (r.id != c.want || r.earlyOnly != c.only) {
			t.Errorf("%q: %+v, %v", c.in, r, err)
		}
	}
}
