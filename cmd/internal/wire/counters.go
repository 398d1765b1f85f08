package wire

import (
	"time"

	"parklamp/media"
	"parklamp/media/audio"
	"parklamp/parkd/panel"
)

// mediaTotals adds up the sessions that have ended.
type mediaTotals struct{ media.Stats }

func (t *mediaTotals) add(s media.Stats) {
	t.Sent += s.Sent
	t.SendErrors += s.SendErrors
	t.Relayed += s.Relayed
	t.Received += s.Received
	t.Lost += s.Lost
	t.Duplicate += s.Duplicate
	t.Reordered += s.Reordered
	t.Restarts += s.Restarts
	t.Bad += s.Bad
	t.Malformed += s.Malformed
	t.Looped += s.Looped
	t.Unauthentic += s.Unauthentic
	t.Replayed += s.Replayed
	t.Unwanted += s.Unwanted
	t.Strangers += s.Strangers
	t.Early += s.Early
	t.Overruns += s.Overruns
	t.Oversized += s.Oversized
	t.DigitsDropped += s.DigitsDropped
	t.Latched += s.Latched
	t.Late += s.Late
	t.Discarded += s.Discarded
	t.Played += s.Played
	t.Concealment += s.Concealment
	t.ReportsSent += s.ReportsSent
	t.ReportsTaken += s.ReportsTaken
	t.ReportsRefused += s.ReportsRefused
}

// count fills in the counters that the loop owns, and those that anybody may read.
func (a *Appliance) count(s *panel.Status) {
	total := a.ended
	for _, l := range a.legs {
		if l.media != nil {
			total.add(l.media.Stats())
		}
	}
	c := map[string]uint64{
		"appliance.ignored_inputs": a.ignored, "calls.refused_source": a.flood.Refused(), "calls.open_now": uint64(len(a.legs)),
		"media.bad": total.Bad, "media.concealed_ms": milliseconds(total.Concealment), "media.digits_dropped": total.DigitsDropped,
		"media.duplicate": total.Duplicate, "media.early": total.Early, "media.latched": total.Latched, "media.late": total.Late, "media.discarded": total.Discarded, "media.oversized": total.Oversized,
		"media.lost": total.Lost, "media.overruns": total.Overruns, "media.played_ms": milliseconds(total.Played),
		"media.received": total.Received, "media.relayed": total.Relayed, "media.reordered": total.Reordered,
		"media.restarts": total.Restarts, "media.send_errors": total.SendErrors, "media.sent": total.Sent,
		"media.malformed": total.Malformed, "media.looped": total.Looped, "media.replayed": total.Replayed, "media.unauthentic": total.Unauthentic, "media.strangers": total.Strangers, "media.unwanted": total.Unwanted,
		"media.reports_sent": total.ReportsSent, "media.reports_taken": total.ReportsTaken, "media.reports_refused": total.ReportsRefused,
		"quality.published": a.sounds.published.Load(), "quality.not_published": a.sounds.failed.Load(),
		"media.sessions_now": uint64(a.engine.Sessions()), "media.ticks_skipped": a.engine.Skipped(),
	}
	e := a.agent.Stats()
	c["event.notify_failed"], c["event.notify_received"], c["event.notify_sent"] = e.Failed, e.Received, e.Sent
	c["event.refused"], c["event.subscriptions_now"], c["event.watchers_now"] = e.Refused, uint64(max(0, e.Subscriptions)), uint64(max(0, e.Watchers))
	n := a.endpoint.Stats()
	c["sip.in"], c["sip.out"], c["sip.refused"], c["sip.listener_restarts"] = n.In, n.Out, n.Refused, n.Restarts
	c["sip.awaiting_acks_now"], c["sip.connections_now"] = uint64(n.AwaitingAcks), uint64(n.Connections)
	c["sip.client_transactions_now"], c["sip.server_transactions_now"] = uint64(n.ClientTxs), uint64(n.ServerTxs)
	for reason, dropped := range n.Dropped {
		c["sip.dropped_"+reason] = dropped
	}
	if a.scanner != nil {
		k := a.scanner.Stats()
		c["keypad.ghosts"], c["keypad.read_errors"], c["keypad.scans"], c["keypad.stuck"], c["keypad.unseen"] = k.Ghosts, k.ReadErrors, k.Scans, a.desk.stuck, k.Unseen
	}
	if a.desk != nil {
		var card audio.CardStats // of a simulated one: nothing to tell
		if d, ok := a.desk.handset.device.(*audio.Card); ok {
			card = d.Stats()
		}
		c["sound.xruns"], c["sound.gaps"], c["sound.opened"] = card.Xruns, card.Gaps, card.Opened
	}
	s.Counters = c
}

func milliseconds(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }
