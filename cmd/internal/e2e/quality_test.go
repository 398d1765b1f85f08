package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/speech"
	"parklamp/parkd/panel"
)

// plausible says whether figures are those of a call on this machine, on the scales of ITU-T G.107. How good it is says no more
// than how busy the machine is.
func plausible(s panel.Sound) bool {
	return s.LossPercent < 20 && s.R >= 1 && s.R <= 100 && s.MOS >= 1 && s.MOS <= 5
}

// reported says whether both directions of a call are known, and the round trip.
func reported(q panel.Quality) bool { return q.In.Known && q.Out.Known && q.RoundTripMS > 0 }

// TestReportsWithBaresip: baresip and an appliance tell each other how they hear, on two ports and on one.
func TestReportsWithBaresip(t *testing.T) {
	t.Parallel()
	whole := newPlace(t, "")
	for i, mux := range []bool{false, true} {
		t.Run(fmt.Sprintf("mux %v", mux), func(t *testing.T) {
			t.Parallel()
			p := whole.in(t)
			a := p.Appliances[i]
			b := p.registeredSoftphone("caller", speech.Caller(), peer.BaresipOptions{RTCPMux: mux})
			b.do("dial", uri(a.Number, a))
			p.answer(a)
			b.sees("CALL_ESTABLISHED")
			// 12 s: reports of ours that answer reports of baresip have gone out as well.
			live := p.await(a, "reports of baresip", func(st panel.Status) bool {
				return len(st.Calls) == 1 && reported(st.Calls[0].Quality) && st.Calls[0].Media.Received > 600
			})
			if q := live.Calls[0].Quality; !plausible(q.In) || !plausible(q.Out) {
				t.Errorf("on loopback %+v", q)
			}
			b.do("hangup", "")
			b.sees("CALL_CLOSED")
			p.hook(a, false)
			p.idle(a)
			st := p.status(a)
			if len(st.Ended) == 0 || !reported(st.Ended[0].Quality) || st.Ended[0].Cause != "remote" || st.Ended[0].Remote.Number != "caller" {
				t.Errorf("the last calls: %+v", st.Ended)
			}
			p.logged(a, "far_end_heard.mos=")

			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			s, err := b.Ended(ctx)
			if err != nil {
				t.Fatal(err)
			}
			// What baresip knows of its own stream it has from our reports.
			theirs, _, _ := strings.Cut(s["JI"], ",")
			jitter, err1 := strconv.ParseFloat(theirs, 64)
			trip, err2 := strconv.ParseFloat(s["DL"], 64)
			if s["PL"] == "" || err1 != nil || err2 != nil || jitter+trip <= 0 {
				t.Errorf("baresip says %v", s)
			}
			t.Logf("appliance %+v; baresip %v", st.Ended[0].Quality, s)
			if muxed := strings.Contains(string(b.Output()), "RTP/RTCP multiplexing enabled"); muxed != mux {
				t.Errorf("baresip has it %v", muxed)
			}
		})
	}
}

// TestExtendedReportsWithLinphone: linphone and an appliance send each other VoIP metrics (RFC 3611), as both ask for
// in their SDP.
func TestExtendedReportsWithLinphone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	l := p.linphone("caller")
	if err := l.Command("call " + uri("201", p.dock1())); err != nil {
		t.Fatal(err)
	}
	p.answer(p.dock1())
	live := p.await(p.dock1(), "extended reports of linphone", func(st panel.Status) bool {
		return len(st.Calls) == 1 && st.Calls[0].Quality.Extended && st.Calls[0].Quality.RoundTripMS > 0
	})
	q := live.Calls[0].Quality
	if !plausible(q.Out) {
		t.Errorf("linphone reports %+v", q)
	}
	t.Logf("%+v", q)
	l.do("terminate", "ended")
}

// TestCollectorGetsTheSoundOfACall: SIPp is the collector of RFC 6035, and gets a report on a call when that has ended.
func TestCollectorGetsTheSoundOfACall(t *testing.T) {
	t.Parallel()
	at := newNetwork().sip(1)
	collector, err := peer.StartSIPp(peer.SIPpOptions{Scenario: "collector", Dir: t.TempDir(), Local: at, TCP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(collector.Stop)
	p := newPlace(t, fmt.Sprintf("[quality]\ncollector = \"sip:collector@%s;transport=tcp\"\n", at))
	b := p.softphone("caller", speech.Caller())
	b.do("dial", uri("201", p.dock1()))
	p.answer(p.dock1())
	p.await(p.dock1(), "reports of baresip", func(st panel.Status) bool { return len(st.Calls) == 1 && reported(st.Calls[0].Quality) })
	b.do("hangup", "")

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := collector.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	trace, err := collector.Trace()
	if err != nil || len(trace) == 0 {
		t.Fatalf("nothing came: %v", err)
	}
	body := trace[0].Body()
	for _, want := range []string{
		"LocalID: sip:201@", "RemoteID: sip:caller@", "LocalAddr: IP=" + p.addr(1).String() + " PORT=", "LocalMetrics:\n", "SessionDesc:PT=0 PD=PCMU SR=8000 ",
		"JitterBuffer:JBA=3 ", "PacketLoss:NLR=", "BurstGapLoss:BLD=", "Delay:", "QualityEst:RCQ=", " MOSCQ=", "RemoteMetrics:\n", "DialogID: ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the report lacks %q:\n%s", want, body)
		}
	}
	t.Log(body)
}
