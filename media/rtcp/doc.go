// Package rtcp is the control side of one RTP session between two ends: when to report what, and what is learnt
// from the reports of the far end.
//
// A Reception accounts for the packets of a received stream; its reader calls Take for each, and anybody may look at
// it at any time. A Reporter makes our compound packets and takes those of the far end. A Route says where ours may
// go and whose are believed. All three are pure: the time is passed in, they start no goroutine, own no socket and
// write no log. Reception never allocates and takes no lock. A Reporter and a Route belong to one goroutine at a time.
//
// In a relay each leg has its own session, so RTCP ends at each leg. Nothing is hidden by that: the relay leaves the
// far leg's gaps in the sequence numbers that it sends and forwards on receipt, so that a receiver behind it
// counts the losses and the jitter of the whole way, and says so in its reports.
//
// Reports are sent during hold as well (RFC 3264 §5.1). Extended reports go to a far end that asked for
// them in its SDP or has sent some itself.
//
// Standards: RFC 3550 §6, appendices A.1, A.2, A.3, A.7, A.8; RFC 3611 §4.4, §4.5, §4.7; RFC 5761 §4, RFC 4961 (symmetric RTCP),
// RFC 7022 §4.2 (CNAME).
package rtcp
