package panel

import "slices"

// Counter is what one number of Status.Counters means. Names are stable: programs read them.
type Counter struct {
	Name  string
	About string // in words, with its unit
}

// Counters lists every name that Status.Counters can have, by the part that counts. Those that end in _now are of the
// moment, all others count since the start. A gateway has none of the keypad's and the sound card's.
var Counters = []Counter{
	{"appliance.ignored_inputs", "events that meant nothing in the state that the phone or the orbits were in"},
	{"calls.open_now", "calls at this moment"},
	{"calls.refused_source", "INVITEs refused because their address sent or has too many"},
	{"event.notify_failed", "NOTIFY requests refused or not answered"},
	{"event.notify_received", "NOTIFY requests taken"},
	{"event.notify_sent", "NOTIFY requests sent"},
	{"event.refused", "requests about subscriptions answered with an error"},
	{"event.subscriptions_now", "subscriptions of ours that are active"},
	{"event.watchers_now", "subscriptions that others have here"},
	{"keypad.ghosts", "presses of several keys that could not be told apart"},
	{"keypad.read_errors", "scans thrown away because a line could not be read"},
	{"keypad.scans", "looks at the whole key matrix"},
	{"keypad.stuck", "times that a key was held so long that it must be stuck"},
	{"keypad.unseen", "presses that were over before the machine, which stood still, could look which key it was"},
	{"media.bad", "datagrams on media ports that were refused: media.malformed, looped, unauthentic and replayed together"},
	{"media.concealed_ms", "sound that was made up for packets that did not come, in ms"},
	{"media.digits_dropped", "digits that came faster than they could be taken"},
	{"media.discarded", "packets that came and were not played: too late, or too many at once"},
	{"media.duplicate", "packets that came twice"},
	{"media.early", "packets that came before the session was agreed"},
	{"media.latched", "times that our packets followed a far end to another address"},
	{"media.late", "packets too late to be played; part of media.discarded"},
	{"media.looped", "our own packets, sent back to us; part of media.bad"},
	{"media.lost", "packets that did not come"},
	{"media.malformed", "datagrams that were not RTP; part of media.bad; on an encrypted call they are media.unauthentic"},
	{"media.overruns", "packets that came faster than they could be taken"},
	{"media.oversized", "packets of more than 60 ms, which are neither heard nor passed on"},
	{"media.played_ms", "sound played, in ms"},
	{"media.received", "packets received from far ends"},
	{"media.relayed", "packets passed on between two legs; part of media.sent"},
	{"media.reordered", "packets that were overtaken"},
	{"media.replayed", "encrypted packets that came before, or are too old to tell; part of media.bad"},
	{"media.reports_refused", "RTCP datagrams that were ill-formed, from a stranger, or too many"},
	{"media.reports_sent", "RTCP reports sent"},
	{"media.reports_taken", "RTCP reports of far ends"},
	{"media.restarts", "changes of a far end's stream"},
	{"media.send_errors", "packets that the kernel did not take"},
	{"media.sent", "packets sent"},
	{"media.sessions_now", "media sessions at this moment"},
	{"media.strangers", "packets from somebody else than the far end"},
	{"media.ticks_skipped", "20 ms ticks left out because the machine stood still"},
	{"media.unauthentic", "packets of an encrypted call that were not made with its key; part of media.bad"},
	{"media.unwanted", "packets of a type that was not agreed"},
	{"quality.not_published", "reports on the sound of a call that quality.collector did not get"},
	{"quality.published", "reports on the sound of a call that quality.collector took"},
	{"sip.awaiting_acks_now", "2xx responses that wait for their ACK"},
	{"sip.client_transactions_now", "requests of ours that are open"},
	{"sip.connections_now", "TCP and TLS connections"},
	{"sip.dropped_connections", "connections beyond sip.max_connections"},
	{"sip.dropped_garbage", "datagrams that were not SIP"},
	{"sip.dropped_overload", "requests dropped because too many waited"},
	{"sip.dropped_rate", "datagrams beyond sip.max_datagrams_per_source_per_second"},
	{"sip.dropped_stray", "responses to nothing"},
	{"sip.in", "SIP messages received"},
	{"sip.listener_restarts", "listeners that died and were opened again"},
	{"sip.out", "SIP messages sent"},
	{"sip.refused", "requests answered 4xx or 5xx before anybody looked at them"},
	{"sip.server_transactions_now", "requests of others that are open"},
	{"sound.gaps", "pieces of sound that were missing between card and call, either way"},
	{"sound.opened", "times that the sound card was found"},
	{"sound.xruns", "times that the sound card ran empty or over: the machine was late"},
}

// CounterAbout is the meaning of a counter, "" if the name is not known.
func CounterAbout(name string) string {
	if i := slices.IndexFunc(Counters, func(c Counter) bool { return c.Name == name }); i >= 0 {
		return Counters[i].About
	}
	return ""
}
