// Package media carries the sound of calls: it sends and receives RTP with G.711 or G.722 audio and RFC 4733 digits,
// joins two calls into a relay, and paces every stream of the appliance from one clock.
//
// An Engine owns the clock and the port range; a Session is one RTP stream in each direction on one
// socket. What a session sends can change at any tick (Play, Configure, a relay): SSRC, sequence numbers
// and timestamps go on without a seam, and no change leaves more than 60 ms without a packet.
//
// A session that was agreed to be SRTP (Params.Secure) sends and takes nothing that is not sealed with the keys of the
// call; a packet that fails authentication is counted and is no media: it is not heard and moves nothing.
//
// It never speaks SIP or SDP, never opens a file, and never sends to an address that was neither signalled
// nor proved by the far end's own packets.
//
// Audio is at 8 kHz; a source and a sink that can do 16 kHz say so (WideSource, WideSink) and are asked for it while the
// codec is G.722. What has the state of a codec has one owner: the encoder of a session the pacer, the decoder its ear,
// those of a relay the session whose packets they forward. An ear is heard by the pacer, or by a sound card whenever that
// needs samples (Puller).
//
// A packet goes this way. In: rtpio.Poller, rtpPort.Receive (RTCP on the RTP port is told apart and joins that of
// rtcpPort.Receive in Session.receiveControl), Session.receive (guard.unprotect, parse, latch), Session.deliver (ear,
// digits, Relay.pass). Out: Session.speak (the pacer) or Relay.pass, recoder.recode and Session.forward (the relay), then
// Session.emit (header, guard.protect, socket), which every RTP packet passes, as RTCP does Session.emitControl. RTCP is
// handed over to a queue by Session.queueControl and has no part in the path of a frame.
//
// Goroutines, all owned by Engine.Run: the pacer, the readers of all sockets (two, one on a single core), the one that runs
// callbacks, and the one that makes and takes the reports of RTCP (package rtcp). The reader of a session is the one that has
// its packet: there is one at a time (Session.in.mu). What was tried for their wake-ups and what it gave stands at
// kernelClock.SleepUntil and in cmd/internal/daemon. On the path of a frame there is no allocation, no log, no
// wait for a lock that anything slow holds, and no system call but the socket's.
//
// Standards: RFC 3550 (RTP), RFC 3551 (audio profile), RFC 4733 (telephone-event), ITU-T Q.24 (digits as tones), RFC 4961
// (symmetric RTP), RFC 5761 (RTCP on the port of RTP), RFC 3711 (SRTP, package srtp), RFC 3389 (comfort noise), RFC 3264 §5.1
// and §8.4 (early media, hold).
package media
