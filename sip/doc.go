// Package sip is the SIP endpoint of an appliance: listening sockets, message
// validation, transactions, digest and name resolution, on top of sipgo's
// messages, parser and transaction state machines. Calls, subscriptions and
// registrations are built on it in sip/call, sip/event and sip/reg.
//
// It never keeps a dialog, never looks into a body, never binds a wildcard
// address, never sends a request from a port that its Via does not name (UDP),
// and never logs a message, a password, a nonce or a digest response.
//
// sipgo's transports are not used: they start a goroutine per message (which
// loses order), end silently on a read error, refuse responses above 1300 bytes,
// remember every source address for ever, log unparsable datagrams whole and
// cannot be put on an in-memory network. Its ClientTx and ServerTx state
// machines run here on our own Connection; what they do wrong (487 with a
// foreign To tag, ACK of a repeated final after T2, Timer K of 32 s) is
// contained in clienttx.go and servertx.go.
//
// Goroutines, all owned by Run and ended when it returns: one per listener, two
// per stream connection, one per Call-ID that has requests waiting, one per
// client transaction until its final response.
//
// Standards: RFC 3261 with 6026 (INVITE transactions), 3263 without NAPTR, 3581
// (rport), 5626 §3.5.1 (keep-alive on streams), 7616 and 8760 (digest), 4475
// (torture tests). Departures are marked where they are made.
package sip
