package dialoginfo

import "time"

// Orbit is what the document of an orbit is made from.
type Orbit struct {
	Number string // "701"
	Entity string // URI that was subscribed to
	Calls  []Call // oldest first
}

// Call is a call in an orbit.
type Call struct {
	ID       string // the host's name of the call
	Host     string // name of the appliance that holds it
	Target   string // URI at which the host can be asked for the call
	Caller   Identity
	Parker   Identity
	Since    time.Time
	Incoming bool // the caller called us; else one of us called them

	Recalling bool // the parker is being called back
}

// Document returns the full state of the orbit at now.
func (o Orbit) Document(version uint32, now time.Time) Document {
	d := Document{Entity: o.Entity, Version: version, State: Full}
	if len(o.Calls) == 0 {
		d.Dialogs = []Dialog{{ID: o.Number, State: Terminated}}
		return d
	}
	for _, c := range o.Calls {
		g := Dialog{
			ID:         c.ID,
			Direction:  Initiator,
			State:      Confirmed,
			Duration:   max(0, now.Sub(c.Since)),
			ReferredBy: c.Parker,
			Local: Participant{
				Identity: Identity{Name: o.Number, URI: o.Entity},
				Target:   c.Target,
				// RFC 4235 §4.1.6.2, §5.2: on hold, nothing is rendered.
				Params: []Param{{Name: "+sip.rendering", Value: "no"}},
			},
			Remote: Participant{Identity: c.Caller, Target: c.Caller.URI},
			Parked: &Parked{Orbit: o.Number, By: c.Parker, Since: c.Since, Host: c.Host},
		}
		if c.Incoming {
			g.Direction = Recipient
		}
		if c.Recalling {
			g.State = Early
		}
		d.Dialogs = append(d.Dialogs, g)
	}
	return d
}
