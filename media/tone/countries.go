package tone

// Levels of one sine, in dBFS. 0 dBm0 is 6 dB below full scale, near enough; two sines add 3 dB.
const (
	supervisory = -19.0 // E.180 §5: about -10 dBm0 for the tone as a whole
	quiet       = -25.0 // call waiting is heard over speech
	loud        = -14.0 // the ringer
)

// table has a country's tones; kinds without an entry are in common.
type table [kinds]*signal

func forever(parts ...part) *signal { return &signal{levelDBFS: supervisory, loop: parts} }

func waiting(parts ...part) *signal { return &signal{levelDBFS: quiet, loop: parts} }

// warble is the sound of the ringer: two tones in quick turns, ms long in all.
func warble(ms int, high, low float64) []part {
	var parts []part
	for ; ms > 0; ms -= 80 {
		parts = append(parts, on(40, high), on(40, low))
	}
	return parts
}

func ringer(groups ...[]part) *signal {
	s := &signal{levelDBFS: loud}
	for _, g := range groups {
		s.loop = append(s.loop, g...)
	}
	return s
}

// common are the tones that are ours and the same everywhere.
var common = table{
	// Two rising notes and two falling ones: known apart without knowing what they mean.
	Confirm: {levelDBFS: supervisory, intro: []part{on(100, 660), off(40), on(160, 880), off(100)}},
	Error:   {levelDBFS: supervisory, intro: []part{on(140, 440), off(60), on(260, 330), off(100)}},
	Ring:    ringer(warble(1040, 1000, 800), []part{off(3000)}),
	RingRecall: ringer(warble(240, 1400, 1050), []part{off(120)}, warble(240, 1400, 1050), []part{off(120)},
		warble(480, 1400, 1050), []part{off(1400)}),
	RingReminder: ringer(warble(240, 1000, 800), []part{off(5000)}),
	// The rhythm of the recalling ring, so that it is known in the ear, too.
	RecallWaiting: waiting(on(100, 1050), off(100), on(100, 1050), off(100), on(200, 1050), off(4000)),
	Reminder:      {levelDBFS: quiet, intro: []part{on(80, 660), off(80), on(80, 660), off(40)}},
}

// countries are the tones of ITU-T E.180 Supplement 2, in milliseconds and hertz.
var countries = map[string]*table{
	"itu": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1000, 425), off(4000)),
		Busy:        forever(on(500, 425), off(500)),
		Congestion:  forever(on(250, 425), off(250)),
		CallWaiting: waiting(on(200, 425), off(600), on(200, 425), off(5000)),
	},
	"at": {
		Dial:        forever(on(0, 420)),
		Ringback:    forever(on(1000, 420), off(5000)),
		Busy:        forever(on(400, 420), off(400)),
		Congestion:  forever(on(200, 420), off(200)),
		CallWaiting: waiting(on(40, 420), off(1950)),
	},
	"au": {
		Dial:        forever(on(0, 413, 438)),
		Ringback:    forever(on(400, 400, 450), off(200), on(400, 400, 450), off(2000)),
		Busy:        forever(on(375, 425), off(375)),
		Congestion:  forever(on(375, 420), off(375)),
		CallWaiting: waiting(on(200, 425), off(200), on(200, 425), off(4400)),
	},
	"be": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1000, 425), off(3000)),
		Busy:        forever(on(500, 425), off(500)),
		Congestion:  forever(on(167, 425), off(167)),
		CallWaiting: waiting(on(175, 1400), off(175), on(175, 1400), off(3500)),
	},
	"ch": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1000, 425), off(4000)),
		Busy:        forever(on(500, 425), off(500)),
		Congestion:  forever(on(200, 425), off(200)),
		CallWaiting: waiting(on(200, 425), off(200), on(200, 425), off(4000)),
	},
	"de": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1000, 425), off(4000)),
		Busy:        forever(on(480, 425), off(480)),
		Congestion:  forever(on(240, 425), off(240)),
		CallWaiting: waiting(on(200, 425), off(200), on(200, 425), off(5000)),
	},
	"es": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1500, 425), off(3000)),
		Busy:        forever(on(200, 425), off(200)),
		Congestion:  forever(on(200, 425), off(200), on(200, 425), off(200), on(200, 425), off(600)),
		CallWaiting: waiting(on(175, 425), off(175), on(175, 425), off(3500)),
	},
	"fi": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1000, 425), off(4000)),
		Busy:        forever(on(300, 425), off(300)),
		Congestion:  forever(on(200, 425), off(200)),
		CallWaiting: waiting(on(150, 425), off(150), on(150, 425), off(8000)),
	},
	"fr": {
		Dial:        forever(on(0, 440)),
		Ringback:    forever(on(1500, 440), off(3500)),
		Busy:        forever(on(500, 440), off(500)),
		Congestion:  forever(on(250, 440), off(250)),
		CallWaiting: waiting(on(300, 440), off(10000)),
	},
	"gb": {
		Dial:        forever(on(0, 350, 440)),
		Ringback:    forever(on(400, 400, 450), off(200), on(400, 400, 450), off(2000)),
		Busy:        forever(on(375, 400), off(375)),
		Congestion:  forever(on(400, 400), off(350), on(225, 400), off(525)),
		CallWaiting: waiting(on(100, 400), off(4000)),
	},
	"it": {
		Dial:        forever(on(200, 425), off(200), on(600, 425), off(1000)),
		Ringback:    forever(on(1000, 425), off(4000)),
		Busy:        forever(on(500, 425), off(500)),
		Congestion:  forever(on(200, 425), off(200)),
		CallWaiting: waiting(on(400, 425), off(100), on(250, 425), off(100), on(150, 425), off(14000)),
	},
	"jp": {
		Dial:        forever(on(0, 400)),
		Ringback:    forever(on(1000, 384, 416), off(2000)),
		Busy:        forever(on(500, 400), off(500)),
		Congestion:  forever(on(250, 400), off(250)),
		CallWaiting: waiting(on(500, 400), off(4000)),
	},
	"nl": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1000, 425), off(4000)),
		Busy:        forever(on(500, 425), off(500)),
		Congestion:  forever(on(250, 425), off(250)),
		CallWaiting: waiting(on(500, 425), off(9500)),
	},
	"no": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1000, 425), off(4000)),
		Busy:        forever(on(500, 425), off(500)),
		Congestion:  forever(on(200, 425), off(200)),
		CallWaiting: waiting(on(200, 425), off(600), on(200, 425), off(10000)),
	},
	"nz": {
		Dial:        forever(on(0, 400)),
		Ringback:    forever(on(400, 400, 450), off(200), on(400, 400, 450), off(2000)),
		Busy:        forever(on(500, 400), off(500)),
		Congestion:  forever(on(250, 400), off(250)),
		CallWaiting: waiting(on(200, 400), off(3000)),
	},
	"pl": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1000, 425), off(4000)),
		Busy:        forever(on(500, 425), off(500)),
		Congestion:  forever(on(250, 425), off(250)),
		CallWaiting: waiting(on(150, 425), off(150), on(150, 425), off(4000)),
	},
	"se": {
		Dial:        forever(on(0, 425)),
		Ringback:    forever(on(1000, 425), off(5000)),
		Busy:        forever(on(250, 425), off(250)),
		Congestion:  forever(on(250, 425), off(750)),
		CallWaiting: waiting(on(200, 425), off(500), on(200, 425), off(9000)),
	},
	"us": {
		Dial:        forever(on(0, 350, 440)),
		Ringback:    forever(on(2000, 440, 480), off(4000)),
		Busy:        forever(on(500, 480, 620), off(500)),
		Congestion:  forever(on(250, 480, 620), off(250)),
		CallWaiting: waiting(on(300, 440), off(10000)),
	},
}
