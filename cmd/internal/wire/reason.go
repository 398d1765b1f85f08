package wire

import (
	"parklamp/parkd"
	"parklamp/sip/call"
	"parklamp/sip/phone"
)

// sipReason gives the status for a refused park or fetch, and a phrase that a display may show.
func sipReason(r parkd.Reason) (code int, phrase string) {
	switch r {
	case parkd.ReasonTaken, parkd.ReasonLostRace, parkd.ReasonParked:
		return 486, "Orbit taken"
	case parkd.ReasonFull, parkd.ReasonLimit:
		return 480, "No orbit is free"
	case parkd.ReasonEmpty:
		return 404, "Nobody is parked there"
	case parkd.ReasonNoSuchOrbit:
		return 404, "No such orbit"
	case parkd.ReasonEmergency:
		return 403, "An emergency call cannot be parked"
	case parkd.ReasonGone, parkd.ReasonUndone:
		return 487, "Gone"
	case parkd.ReasonTimeout:
		return 408, ""
	}
	return 480, "The orbit's host cannot be reached"
}

func phoneReason(r parkd.Reason) phone.Reason {
	switch r {
	case parkd.ReasonTaken, parkd.ReasonParked:
		return phone.ReasonTaken
	case parkd.ReasonLostRace, parkd.ReasonGone:
		return phone.ReasonLost
	case parkd.ReasonFull, parkd.ReasonLimit:
		return phone.ReasonFull
	case parkd.ReasonEmpty, parkd.ReasonUndone:
		return phone.ReasonEmpty
	case parkd.ReasonNoSuchOrbit:
		return phone.ReasonNoSuchOrbit
	case parkd.ReasonEmergency:
		return phone.ReasonEmergency
	case parkd.ReasonTimeout:
		return phone.ReasonTimeout
	}
	return phone.ReasonUnknown
}

// fetchReason reads why a host refused a fetch.
func fetchReason(ev call.Ended) parkd.Reason {
	switch {
	case ev.Code == 404 || ev.Code == 481 || ev.Code == 603 || ev.Code == 486 || ev.Code == 487:
		return parkd.ReasonLostRace // RFC 3891 §3: 481 no such dialog, 603 it has ended
	case ev.Cause == call.Unreachable || ev.Cause == call.Timeout:
		return parkd.ReasonUnknown
	}
	return parkd.ReasonFailed
}
