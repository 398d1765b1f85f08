// Package reg keeps accounts registered at their registrars: REGISTER with
// digest, refresh, back-off with jitter, keep-alive, removal at the end.
//
// It never answers a REGISTER (the appliance is no registrar), never shares a
// Call-ID between accounts, never logs a password, and never lets one account's
// trouble delay another.
//
// Run owns one goroutine per account.
//
// Standards: RFC 3261 §10, RFC 3608 (Service-Route), RFC 5626 §4.5 (back-off).
package reg
