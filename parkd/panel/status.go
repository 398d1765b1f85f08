package panel

import (
	"encoding/json"
	"fmt"
	"time"
)

// Status is everything that can be known about an appliance from outside: the
// one source of the page, of parkctl and of tests. A Backend hands out copies
// that nobody changes afterwards. In JSON all lists are present, if empty as
// [], and times are RFC 3339; a time that is not known is left out.
type Status struct {
	// At is the appliance's clock when the copy was made. Lamp cadences and
	// ages are reckoned against it, not against the clock of the reader.
	At        time.Time   `json:"at"`
	Appliance Appliance   `json:"appliance"`
	Phone     Phone       `json:"phone"`
	Keys      []Key       `json:"keys"`
	Lamps     []Lamp      `json:"lamps"`
	Orbits    []Orbit     `json:"orbits"`
	Calls     []Call      `json:"calls"`
	Ended     []Call      `json:"ended"` // the last calls that have ended, newest first
	Peers     []Peer      `json:"peers"`
	Health    []Condition `json:"health"`
	Accounts  []Account   `json:"accounts"`
	// Counters are numbers by their names, see the variable Counters.
	Counters map[string]uint64 `json:"counters"`
}

// Appliance says which box this is.
type Appliance struct {
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	Started   time.Time `json:"started,omitzero"`
	Addresses []string  `json:"addresses"` // SIP listeners, "udp:192.0.2.1:5060"
}

// Phone is what the worker has in hand and ear. An appliance without phone
// hardware (a gateway) leaves State empty.
type Phone struct {
	HookUp bool   `json:"hook_up"` // the handset is lifted
	State  string `json:"state"`   // name of the state of sip/phone, "idle", "talking"
	Tone   string `json:"tone"`    // tone in the handset, "dial", "busy"; empty: none
	Ring   string `json:"ring"`    // ringer, "normal", "recall", "waiting"; empty: silent
	Muted  bool   `json:"muted"`
	DND    bool   `json:"dnd"` // do not disturb
	// Volume counts steps from 0 to VolumeMax; VolumeMax 0 means not known.
	Volume    int    `json:"volume"`
	VolumeMax int    `json:"volume_max"`
	Digits    string `json:"digits"` // dialled so far
	Party     Party  `json:"party"`  // whom the handset is connected to or rung by
	Third     Party  `json:"third"`  // in a conference the other far end
	// Prompt is the words last spoken to the worker, PromptAt when.
	Prompt   string    `json:"prompt"`
	PromptAt time.Time `json:"prompt_at,omitzero"`
}

// Key groups, those of the board's models. A key of another or no group is
// drawn with the function keys.
const (
	GroupKeypad   = "keypad"   // 0-9, *, #, A-D
	GroupFunction = "function" // park, hold, transfer, conference, redial, mute, dnd, volume-up, volume-down
	GroupOrbit    = "orbit"    // orbit-701
)

// Key is one key of the board.
type Key struct {
	ID    string `json:"id"`    // name on the board, "park", "5", "orbit-701"
	Label string `json:"label"` // what is printed on it
	Group string `json:"group"` // one of the Group constants
}

// Colour is what a two-colour lamp shows while it is lit.
type Colour string

// The colours of a lamp; amber is both elements together.
const (
	Off   Colour = "off"
	Green Colour = "green"
	Red   Colour = "red"
	Amber Colour = "amber"
)

// Lamp is one lamp of the board. The lamp of a key has the ID of the key.
type Lamp struct {
	ID     string `json:"id"`
	Label  string `json:"label"` // what is printed beside it
	Colour Colour `json:"colour"`
	// Pattern names the meaning: for orbit lamps the word of Orbit.State, but that a call which is being
	// fetched still shows as parked.
	Pattern string  `json:"pattern"`
	Cadence Cadence `json:"cadence_ms"`
}

// Cadence is alternating times lit and dark, beginning lit at every whole
// multiple of the period since the Unix epoch, so that all lamps of all
// appliances with one clock blink together. Empty means steady. Its JSON is
// an array of milliseconds.
type Cadence []time.Duration

// MarshalJSON writes whole milliseconds.
func (c Cadence) MarshalJSON() ([]byte, error) {
	ms := make([]int64, len(c))
	for i, d := range c {
		ms[i] = d.Milliseconds()
	}
	return json.Marshal(ms)
}

// UnmarshalJSON reads milliseconds.
func (c *Cadence) UnmarshalJSON(b []byte) error {
	var ms []int64
	if err := json.Unmarshal(b, &ms); err != nil {
		return fmt.Errorf("lamp cadence: %w", err)
	}
	*c = make(Cadence, len(ms))
	for i, m := range ms {
		(*c)[i] = time.Duration(m) * time.Millisecond
	}
	return nil
}

// Orbit states. Unknown is said of an orbit whose host does not answer: it is
// never shown as free.
const (
	StateFree            = "free"
	StateParkedHere      = "parked-here"
	StateParkedElsewhere = "parked-elsewhere"
	StateRecalling       = "recalling"
	StateEnding          = "ending"   // last tenth of the parking time
	StateQueued          = "queued"   // more than one call, or a priority call
	StateFetching        = "fetching" // somebody is taking the call
	StateUnknown         = "unknown"
)

// Orbit is one numbered place. The fields from Caller to Deadline are those of
// the call that a fetch would take, so that a reader who wants one line need not
// look further.
type Orbit struct {
	Number   string       `json:"number"`
	State    string       `json:"state"`
	Caller   Party        `json:"caller"`
	Parker   Party        `json:"parker"`
	Host     string       `json:"host"` // appliance that holds the call
	Since    time.Time    `json:"since,omitzero"`
	Deadline time.Time    `json:"deadline,omitzero"` // when its present state gives way: to the recall, to the next one
	Calls    []ParkedCall `json:"calls"`             // oldest first
}

// ParkedCall is one caller in an orbit.
type ParkedCall struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Caller   Party     `json:"caller"`
	Parker   Party     `json:"parker"`
	Host     string    `json:"host"`
	Since    time.Time `json:"since,omitzero"`
	Deadline time.Time `json:"deadline,omitzero"`
	Priority int       `json:"priority"`
}

// Party is a person or device at the end of a call; any field may be empty.
type Party struct {
	Name   string `json:"name"`
	Number string `json:"number"`
	URI    string `json:"uri"`
}

// String returns "Name (number)" or the best that is known, "" if nothing is.
func (p Party) String() string {
	who := p.Number
	if who == "" {
		who = p.URI
	}
	switch {
	case p.Name == "" || p.Name == who:
		return who
	case who == "":
		return p.Name
	}
	return p.Name + " (" + who + ")"
}

// Call states.
const (
	CallRinging = "ringing"
	CallTalking = "talking"
	CallHeld    = "held"
	CallParked  = "parked"
	CallEnded   = "ended"
)

// Call is one leg that this appliance has, parked or not, or has had.
type Call struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`     // one of the Call states
	Direction string    `json:"direction"` // "in" or "out"
	Remote    Party     `json:"remote"`
	Since     time.Time `json:"since,omitzero"`
	Orbit     string    `json:"orbit"`   // number, if it is parked
	Kept      bool      `json:"kept"`    // a restart of the program ends neither the call nor what somebody is doing with it
	Movable   bool      `json:"movable"` // parked, and another appliance takes it over while this one restarts
	Media     Media     `json:"media"`
	Quality   Quality   `json:"quality"`
	Ended     time.Time `json:"ended,omitzero"`
	Cause     string    `json:"cause,omitempty"` // of the end: "local", "remote", "timeout"
}

// Quality is how a call sounds.
type Quality struct {
	In  Sound `json:"in"`  // what is heard here, measured
	Out Sound `json:"out"` // what the far end hears, as its reports (RTCP) say
	// Extended: the far end sends its own ratings (RTCP XR), else those of Out are computed from its losses.
	Extended bool `json:"extended"`
	// RoundTripMS is the time to the far end and back; 0: not known.
	RoundTripMS float64 `json:"round_trip_ms"`
}

// Sound is one direction of a call.
type Sound struct {
	Known          bool    `json:"known"` // else nothing has been heard or reported
	LossPercent    float64 `json:"loss_percent"`
	DiscardPercent float64 `json:"discard_percent"` // came too late to be played
	JitterMS       float64 `json:"jitter_ms"`
	DelayMS        float64 `json:"delay_ms"` // from mouth to ear, estimated
	R              float64 `json:"r"`        // rating of ITU-T G.107, at most 93.2
	MOS            float64 `json:"mos"`      // mean opinion score, 1 to 4.5
}

// Media counts the RTP of a leg since its beginning.
type Media struct {
	Codec string `json:"codec"`
	// Encryption is the suite of SRTP (RFC 4568 §6.2); empty: anybody on the way can listen.
	Encryption string  `json:"encryption"`
	Remote     string  `json:"remote"` // address and port that RTP goes to
	Sent       uint64  `json:"sent_packets"`
	Received   uint64  `json:"received_packets"`
	Lost       uint64  `json:"lost_packets"`
	Late       uint64  `json:"late_packets"`
	JitterMS   float64 `json:"jitter_ms"`
}

// Peer states.
const (
	PeerAlive   = "alive"
	PeerDead    = "dead"    // was alive; its orbits are unknown
	PeerUnknown = "unknown" // not heard yet
)

// Peer is another appliance of the federation.
type Peer struct {
	Name    string    `json:"name"`
	Address string    `json:"address"`
	State   string    `json:"state"`
	Since   time.Time `json:"since,omitzero"`
}

// Codes of conditions by which other programs decide whether the appliance does its work, each with what follows a dot.
const (
	CodeJournal  = "journal"
	CodeListener = "sip.listener" // and the address
)

// Severities of a Condition.
const (
	SeverityWarning = "warning" // works, but not as it should
	SeverityError   = "error"   // something does not work
)

// Condition is a lasting fault.
type Condition struct {
	Code     string    `json:"code"` // stable, for programs: "peer.dock-2", "journal"
	Severity string    `json:"severity"`
	Since    time.Time `json:"since,omitzero"`
	Text     string    `json:"text"` // what is wrong
	Hint     string    `json:"hint"` // what to do about it
}

// AccountRegistered is the state of an account under which calls come in.
const AccountRegistered = "registered"

// Account is one registration.
type Account struct {
	AOR       string    `json:"aor"`
	Registrar string    `json:"registrar"`
	State     string    `json:"state"` // of sip/reg: "trying", "registered", "failed", "unregistered"
	Reason    string    `json:"reason"`
	Since     time.Time `json:"since,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
}

// complete returns s with every list present, as the JSON promises.
func (s Status) complete() Status {
	if s.Appliance.Addresses == nil {
		s.Appliance.Addresses = []string{}
	}
	s.Keys = present(s.Keys)
	s.Lamps = present(s.Lamps)
	s.Orbits = present(s.Orbits)
	for i := range s.Orbits {
		if s.Orbits[i].Calls == nil {
			s.Orbits = append([]Orbit(nil), s.Orbits...)
			for j := range s.Orbits {
				s.Orbits[j].Calls = present(s.Orbits[j].Calls)
			}
			break
		}
	}
	s.Calls = present(s.Calls)
	s.Ended = present(s.Ended)
	s.Peers = present(s.Peers)
	s.Health = present(s.Health)
	s.Accounts = present(s.Accounts)
	if s.Counters == nil {
		s.Counters = map[string]uint64{}
	}
	return s
}

func present[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
