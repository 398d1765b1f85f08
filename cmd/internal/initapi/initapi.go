// Package initapi is how the programs of an appliance talk with its first process: what it tells and what may be asked of
// it over the unix socket /run/parklamp-init/init.sock.
//
// The socket is for root and the group parklamp: whoever may control the phone may restart it. An update that comes
// through it is signed, and checked by the first process. The package starts no goroutine.
package initapi

import (
	"net/netip"
	"syscall"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/logs"
)

const (
	// Socket is where the first process of an appliance answers.
	Socket = "/run/parklamp-init/init.sock"
	// SocketEnv is the variable that names it to phoned, which has another first process without it.
	SocketEnv = "PARKLAMP_INIT"
)

// PhonedSocket is where phoned answers the first process, and everybody by default: panel.socket of every appliance. The first
// process asks there whether the phone works, and starts a phone anew that does not answer.
const PhonedSocket = "/run/parklamp/phoned.sock"

// How a daemon ends whose configuration cannot be used.
const (
	// BadConfig is its exit status, EX_CONFIG of sysexits.h. It is not 2: the Go runtime ends a program that panics so, and a
	// phone that crashed must not start again as nobody.
	BadConfig = 78
	// BadConfigWords are the end of the line that it says then; a line for each fault follows.
	BadConfigWords = "the configuration cannot be used:"
)

// NoUpdateWords are for whoever asks about an update where nothing can be updated.
const NoUpdateWords = "this machine was not started from an image that can be updated"

// How phoned is told to go so that its parked callers are there when it comes back (wire.Going). Sent to the first process
// itself the same signals switch the machine off: that is what busybox's halt and poweroff send it.
const (
	RestartSignal = syscall.SIGUSR1 // another phoned follows at once
	RebootSignal  = syscall.SIGUSR2 // the machine restarts
)

// EndFor is how long phoned may take to go before it is killed; it gives its peers what is left of that (package wire).
const EndFor = 30 * time.Second

// Codes of its conditions that phoned tells people in words of its own (package wire).
const (
	CodeIdentity      = "identity"      // there is none, or none that can be used
	CodeConfiguration = "configuration" // phoned has refused its own; the text names the fault
	CodeNetwork       = "network"       // there is no address
	CodeData          = "data"          // the card takes no writes; others of the data partition follow after a full stop
	CodeClock         = "clock"         // nobody has set it
)

// Status is everything that the first process tells.
type Status struct {
	Version    string             `json:"version"`
	Board      string             `json:"board"`
	Slot       string             `json:"slot"`  // a or b; "" if the boot loader did not say
	Trial      bool               `json:"trial"` // the slot is not confirmed yet
	Uptime     time.Duration      `json:"uptime"`
	Services   []Service          `json:"services"`
	Network    Network            `json:"network"`
	Clock      Clock              `json:"clock"`
	Data       Data               `json:"data"`
	Watchdog   string             `json:"watchdog"` // its identity; "" if there is none
	RSS        int64              `json:"rss"`      // bytes of memory of the first process
	Orphans    uint64             `json:"orphans"`  // processes that were nobody's
	Conditions []health.Condition `json:"conditions"`
	// Waiting says what a restart that was asked for waits for, by Phoned or Appliance: "1 call".
	Waiting map[string]string `json:"waiting,omitempty"`
}

// Service is one program that is kept running.
type Service struct {
	Name      string        `json:"name"`
	State     string        `json:"state"`
	PID       int           `json:"pid,omitempty"`
	Since     time.Time     `json:"since"`
	Restarts  int           `json:"restarts"`
	LastExit  string        `json:"last_exit,omitempty"`
	ExitAt    time.Time     `json:"exit_at,omitzero"`
	LastGap   time.Duration `json:"last_gap,omitempty"` // between the last end and the start after it
	Answering bool          `json:"answering"`
}

// Network is how the appliance is connected.
type Network struct {
	Port     string        `json:"port"` // Ethernet port, as the kernel names it; "" if there is none
	MAC      string        `json:"mac"`
	Carrier  bool          `json:"carrier"`
	Address  netip.Prefix  `json:"address,omitzero"`
	From     string        `json:"from"`                // "DHCP", "network.toml", "link-local" or "" without an address
	VLAN     int           `json:"vlan"`                // 0: untagged
	VLANFrom string        `json:"vlan_from,omitempty"` // who named it: "network.toml", "LLDP-MED", "DHCP"
	Shunned  int           `json:"shunned,omitempty"`   // a VLAN in which nobody answers DHCP, left for the untagged network
	Voice    *Voice        `json:"voice,omitempty"`     // the switch's policy for voice; nil: none
	Server   netip.Addr    `json:"dhcp_server,omitzero"`
	LeaseFor time.Duration `json:"lease,omitempty"`
	DNS      []netip.Addr  `json:"dns,omitempty"`
	NTP      []netip.Addr  `json:"ntp,omitempty"`  // that the DHCP server named
	URLs     []string      `json:"urls,omitempty"` // of provisioning, that the DHCP server named
}

// Voice is how the switch wants packets to be marked. ANSI/TIA-1057 §10.2.3.
type Voice struct {
	Priority   int `json:"priority"`   // IEEE 802.1Q, of frames in a VLAN
	DSCP       int `json:"dscp"`       // of audio
	Signalling int `json:"signalling"` // DSCP of signalling
}

// Clock is how far the time can be trusted.
type Clock struct {
	State  string        `json:"state"` // "guessed" from the card or the image, "rtc" or "synchronised"
	Server string        `json:"server,omitempty"`
	Offset time.Duration `json:"offset,omitempty"` // that was found at the last answer
	At     time.Time     `json:"at,omitzero"`      // of the last answer
}

// Data is the data partition.
type Data struct {
	Device string `json:"device"` // "" if everything is kept in memory only
	Size   uint64 `json:"size"`   // bytes
	Free   uint64 `json:"free"`   // bytes
	Fault  string `json:"fault,omitempty"`
}

// Log is the answer to GET /log.
type Log struct {
	Lines []logs.Line `json:"lines"`
}
