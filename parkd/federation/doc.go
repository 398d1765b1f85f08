// Package federation keeps the appliances of a site informed of each other's parked calls and lets
// them agree on orbit numbers, over SIP and without a server.
//
// Each appliance is a presentity. Its document (PIDF, RFC 3863, with the calls that it hosts in our
// namespace) goes to every peer that subscribes (Event: presence, RFC 6665 and 3856); what the peers
// tell is handed to parkd, which mirrors it. Order is by (epoch, generation), never by arrival. A peer is
// alive while it answers an OPTIONS each second over TCP and its document is here; else its calls are
// unknown, and the owner hears of it within Config.DeadAfter.
//
// An orbit number is claimed with a PUBLISH (RFC 3903) to the orbit's arbiter: the live appliance that
// ranks first in rendezvous hashing. It grants or refuses at once, by the view that its lamps show (parkd.Known). One that is silent for
// Config.ClaimWait is passed over (one of which other things come is waited for, up to DeadAfter); the
// appliance itself is the last to be asked, so that a claim is always decided. Two sides of a partition may both grant: the orbit is then a queue, nothing is lost.
//
// What a peer is told of a call is what it takes to take it over when its host is dead or leaves (package parkd): the
// dialog, and how its far end is reached.
//
// Core decides all of that and is pure: inputs and the time in, effects out. Federation is the shell
// around it, on an event.Agent. Run owns the goroutines: its own, which calls the callbacks one at a
// time and without a lock, and one for each request that waits for its answer (at most maxRequests).
//
// It never parks, ends or moves a call, keeps nothing on disk, and does not find peers by itself: they
// are named in the configuration and known by address and name.
package federation
