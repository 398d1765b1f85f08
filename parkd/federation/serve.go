package federation

import (
	gosip "github.com/emiago/sipgo/sip"

	"parklamp/parkd"
	"parklamp/sip/event"
	"parklamp/sip/event/pidf"
)

// document is what peers are told; the agent calls it for each NOTIFY.
func (f *Federation) document(r event.Request) ([]byte, bool) {
	if r.Resource != f.cfg.Name {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.measure()
	return f.doc, true
}

// authorize lets peers in and nobody else: the document has the callers and the dialogs.
func (f *Federation) authorize(req *gosip.Request, r event.Request) bool {
	from := req.From()
	if from == nil {
		return false
	}
	name, ok := f.peerOf(from.Address.User, r.Source.Addr(), r.Proved)
	if !ok || !proves(r.Transport) {
		f.log.Info("subscription of a stranger refused", "peer", r.Source, "err", "not in the list of peers")
		return false
	}
	f.step(Subscribed{Peer: name})
	return true
}

// dismiss ends the subscription of a peer.
func (f *Federation) dismiss(name string) {
	f.agent.Deactivate(presence, func(r event.Request) bool {
		var from gosip.Uri
		return gosip.ParseUri(r.Subscriber, &from) == nil && from.User == name // which authorize has looked at
	})
}

// proves says whether a transport shows that the far end is at the address that it names: the source of a datagram can be
// forged, and the documents would go wherever its Contact says (RFC 3261 §26.1.1). Peers speak TCP or TLS.
func proves(transport string) bool { return transport == "tcp" || transport == "tls" }

// published answers a claim. It runs in the agent's goroutine.
func (f *Federation) published(p event.Publication) (code int, etag string) {
	if p.Kind != event.Initial {
		return 200, "" // the agent's end of a claim; the core has its own
	}
	var from gosip.Uri
	if err := gosip.ParseUri(p.From, &from); err != nil {
		return 400, ""
	}
	name, ok := f.peerOf(from.User, p.Source.Addr(), p.Proved)
	if !ok || !proves(p.Transport) {
		return 403, ""
	}
	if p.ContentType != pidf.ContentType {
		return 415, ""
	}
	in, err := parseRequest(name, p.Body)
	if err != nil {
		f.log.Info("claim not understood", "peer", name, "err", err)
		return 400, ""
	}
	f.step(Heard{Peer: name})
	reply := f.step(in)
	if _, claim := in.(Asked); !claim {
		return 200, ""
	}
	return codeOf(reply), ""
}

// The answers to a claim. 409 is in use by HTTP only; our own event package gives it this meaning.
const (
	codeGranted  = 200
	codeLostRace = 409
	codeSettling = 480
	codeTaken    = 486
	codeUnknown  = 504
)

func codeOf(r Reply) int {
	switch {
	case r.Granted:
		return codeGranted
	case r.Settling:
		return codeSettling
	case r.Reason == parkd.ReasonTaken:
		return codeTaken
	case r.Reason == parkd.ReasonLostRace:
		return codeLostRace
	case r.Reason == parkd.ReasonUnknown:
		return codeUnknown
	}
	return 503
}

// answerOf is the inverse of codeOf. What does not decide counts as silence.
func answerOf(code int) (granted, silent bool, why parkd.Reason) {
	switch code {
	case codeGranted:
		return true, false, parkd.ReasonNone
	case codeTaken:
		return false, false, parkd.ReasonTaken
	case codeLostRace:
		return false, false, parkd.ReasonLostRace
	case codeUnknown:
		return false, false, parkd.ReasonUnknown
	}
	return false, true, parkd.ReasonNone
}
