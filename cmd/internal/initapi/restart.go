package initapi

import (
	"errors"
	"fmt"
)

// What Restart may name.
const (
	Phoned    = "phoned"
	Appliance = "appliance"
	Idle      = "idle" // when nobody talks or rings, and for the appliance nobody is parked whom no other takes over
	Now       = "now"
)

// Restart asks for a restart. The answer comes at once, the restart when it is time.
type Restart struct {
	Service string `json:"service"`
	When    string `json:"when"`
}

// Validate says what is wrong with a request.
func (r Restart) Validate() error {
	var all []error
	if r.Service != Phoned && r.Service != Appliance {
		all = append(all, fmt.Errorf("service: %q: want %s or %s", r.Service, Phoned, Appliance))
	}
	if r.When != Idle && r.When != Now {
		all = append(all, fmt.Errorf("when: %q: want %s or %s", r.When, Idle, Now))
	}
	return errors.Join(all...)
}
