package sdp

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrSecurity says that encryption is asked for by one side and cannot be had with the other. It is answered with 488.
var ErrSecurity = errors.New("sdp: no common media encryption")

// Security says whether the media of a session may be, is to be, or must be encrypted. Whether the signalling is fit to
// carry keys is the owner's business: where it is not, Clear is the only choice (RFC 4568 §8.1).
type Security uint8

const (
	// Clear offers plain RTP and refuses encryption.
	Clear Security = iota
	// Preferred offers plain RTP with keys, which the far end may use or pass over (RFC 8643), and takes what it offers.
	Preferred
	// Required offers SRTP only and refuses everything else.
	Required
)

// String names it as the configuration does.
func (s Security) String() string {
	switch s {
	case Clear:
		return "off"
	case Preferred:
		return "preferred"
	case Required:
		return "required"
	}
	return "security(" + strconv.Itoa(int(s)) + ")"
}

// ParseSecurity reads what String gives.
func ParseSecurity(text string) (Security, error) {
	for s := Clear; s <= Required; s++ {
		if text == s.String() {
			return s, nil
		}
	}
	return Clear, fmt.Errorf("%q: allowed are off, preferred and required", text)
}

// offered lists our lines for an offer: every suite that we offer, or the one that the session has.
func (l Local) offered() []Crypto {
	if l.Security == Clear || l.Keys == nil {
		return nil
	}
	if l.Proto != "" && l.Suite == "" {
		return nil // the far end has passed the keys over before
	}
	if i := suiteOf(l.Suite); i >= 0 {
		return []Crypto{l.Keys.with(1, i)}
	}
	var all []Crypto
	for i, s := range suites {
		if s.offered {
			all = append(all, l.Keys.with(uint32(len(all)+1), i))
		}
	}
	return all
}

// proto is the profile of our stream in an offer.
func (l Local) proto() string {
	switch {
	case l.Security == Required && !isSecure(l.Proto) && l.Suite == "":
		return "RTP/SAVP"
	case l.Proto != "":
		return l.Proto
	}
	// RFC 8643 §3.1: who would like encryption offers AVP with keys. A far end that knows nothing of it sees plain RTP.
	return "RTP/AVP"
}

// isSecure says whether a profile means SRTP whatever else is said. RFC 3711 §12, RFC 5124.
func isSecure(proto string) bool { return proto == "RTP/SAVP" || proto == "RTP/SAVPF" }

// crypto notes a line of the stream, if it is one that can be used.
func (s *stream) crypto(value string) {
	if s.lines++; s.lines > maxCrypto {
		return
	}
	c, err := parseCrypto(value)
	if err != nil {
		return
	}
	for i, o := range s.cryptos {
		if o.Tag == c.Tag {
			// RFC 4568 §4.1: a tag is unique. What it names now nobody can tell.
			s.cryptos[i].Suite = ""
			return
		}
	}
	s.cryptos = append(s.cryptos, c)
}

// choice is the first line of an offer that can be used. RFC 4568 §5.1.2: they are in the order of preference.
func (s *stream) choice() (Crypto, bool) {
	for _, c := range s.cryptos {
		if c.Suite != "" {
			return c, true
		}
	}
	return Crypto{}, false
}

// answerKeys answers the keys of an offer: our line and theirs. Without keys on either side both are zero.
func (s *stream) answerKeys(l Local) (ours, theirs Crypto, err error) {
	if l.Security != Clear && l.Keys != nil {
		if c, ok := s.choice(); ok {
			// RFC 4568 §5.1.2: the answer repeats tag and suite, with a key of our own.
			ours, theirs = l.Keys.with(c.Tag, suiteOf(c.Suite)), c
			if ours.sameKey(theirs) {
				return Crypto{}, Crypto{}, fmt.Errorf("%w: our own key", ErrSecurity)
			}
			return ours, theirs, nil
		}
	}
	if l.Security == Required || isSecure(s.proto) {
		return Crypto{}, Crypto{}, ErrSecurity
	}
	return Crypto{}, Crypto{}, nil
}

// acceptKeys reads the keys of an answer to our offer.
func (s *stream) acceptKeys(l Local) (ours, theirs Crypto, err error) {
	offered := l.offered()
	for _, o := range offered {
		for _, c := range s.cryptos {
			// RFC 4568 §5.1.3: tag and suite must be those of a line that we offered.
			if c.Tag != o.Tag || c.Suite != o.Suite {
				continue
			}
			if o.sameKey(c) {
				// Somebody has sent our own line back: two streams under one key (RFC 3711 §9.1).
				return Crypto{}, Crypto{}, fmt.Errorf("%w: our own key", ErrSecurity)
			}
			return o, c, nil
		}
	}
	// A line that answers nothing: the far end would encrypt, or believes that we do.
	if l.Security == Required || isSecure(s.proto) || isSecure(l.proto()) || len(offered) > 0 && s.lines > 0 {
		return Crypto{}, Crypto{}, ErrSecurity
	}
	return Crypto{}, Crypto{}, nil
}
