package main

// The figures of those who do this today: Asterisk 22.10 (parking), rtpengine 12.5 in user space (relay) and Kamailio
// 5.6 (presence). They were measured for this project beforehand, on another 2-core machine that was nearly full of
// other work, by kernel stamps of a capture on loopback. Asterisk ran in a real-time class (SCHED_RR 10, as Debian
// starts it) unless a figure says "normal class". Three numbers with slashes are least/median/greatest of the medians
// of 4 runs of 20 cycles. ms and % of a core.
const theirSource = "Figures of Asterisk 22.10, rtpengine 12.5 and Kamailio 5.6 were measured earlier on another, loaded 2-core machine, " +
	"Asterisk and rtpengine in a real-time class unless marked; they give the scale, not a race on one track. What is marked as measured " +
	"here ran in turns with Parklamp."

// Latency by number of watchers.
var (
	theirReferMusic  = map[int]string{1: "Asterisk 21.4/21.5/21.5", 50: "Asterisk 21.4/21.7/21.8", 500: "Asterisk 21.7/22.0/22.2"}
	theirReferFirst  = map[int]string{1: "Asterisk 1.3/1.4/1.4", 50: "Asterisk 1.4/1.7/1.8", 500: "Asterisk 1.8/2.0/2.1"}
	theirReferLast   = map[int]string{1: "Asterisk 1.3/1.4/1.4", 50: "Asterisk 5.4/6.2/6.4", 500: "Asterisk 42/43/44"}
	theirFetchAnswer = map[int]string{1: "Asterisk 1.3/1.4/1.5", 50: "Asterisk 1.3/1.5/1.7", 500: "Asterisk 1.5/1.5/1.6"}
	theirFetchAudio  = map[int]string{1: "Asterisk 20/23/27", 50: "Asterisk 26/28/33", 500: "Asterisk 31/34/50"}
	theirFetchIdle   = map[int]string{1: "Asterisk 13/14/15", 50: "Asterisk 18/21/23", 500: "Asterisk 57/58/62"}
	theirWatchedRSS  = map[int]string{1: "Asterisk 71", 50: "Asterisk 78-84", 500: "Asterisk 257-280"}
)

const theirSilentFetch = "Asterisk 508"

// Parked with mu-law music, by number of calls.
var (
	theirParkedCPU = map[int]string{50: "Asterisk 15.5/15.6/17.4", 200: "Asterisk 50/59/60 (normal class 49/52/53)", 500: "Asterisk 119/130/140"}
	theirParkedRSS = map[int]string{50: "Asterisk 68 (171)", 200: "Asterisk 92 (163)", 500: "Asterisk 139 (162)"}
	theirThreads   = map[int]string{50: "Asterisk 89", 200: "Asterisk 239", 500: "Asterisk 539"}
	theirIntervals = map[int]string{50: "Asterisk 20.3 / 21.3", 200: "Asterisk 20.6 / 21.9 (normal class 23 / 40)", 500: "Asterisk 20.9 / 21.8"}
	theirOff       = map[int]string{50: "Asterisk 0 of 88,000", 200: "Asterisk 0-62 of 29,000 (normal class 0.75-5.2 %)", 500: "Asterisk 0 of 116,000"}
)

const (
	theirParkedSendingCPU = "Asterisk 76/83/90"
	theirIdleRSS          = "Asterisk 61"
	theirRateCPU          = "Asterisk 122-144"
	theirRSSAfter         = "Asterisk 293-351, not given back"
)

// Relay, by number of calls.
var (
	theirRelayCPU = map[int]string{50: "Asterisk 24, with DTMF features 40; rtpengine 20", 200: "Asterisk 80, with DTMF features 128; rtpengine 71"}
	theirRelay    = map[int]string{50: "Asterisk 40/127/371, rtpengine 42/107/189", 200: "Asterisk 33/120/416, rtpengine 34/79/109"}
	// The tails of the normal class were not noted, only that they are long.
	theirRelayNormal = map[int]string{50: "both p50 145-200 in the normal class", 200: "both p50 up to 900 in the normal class"}
	theirRelayRSS    = "Asterisk 320, rtpengine 67-130"
)

// theirPublish is the way by which a lamp elsewhere learns of a park through the incumbent's presence server.
const theirPublish = "Kamailio PUBLISH to NOTIFY p50 5.8-8.6 (50 watchers)"
