package wire

import (
	"slices"

	"parklamp/media/codec"
	"parklamp/sip/sdp"
)

// formats are the codecs of the configuration, in its order, as offers and answers have them.
func formats(names []string) []sdp.Codec {
	var list []sdp.Codec
	for _, name := range names {
		switch codec.ByName(name) {
		case codec.PCMU:
			list = append(list, sdp.PCMU)
		case codec.PCMA:
			list = append(list, sdp.PCMA)
		case codec.G722:
			list = append(list, sdp.G722)
		}
	}
	return list
}

// speaking is the list with the codec first that another leg speaks already: what is joined with that leg is then
// relayed as it comes, if its far end can. A leg without an agreement, or nil, changes nothing.
func speaking(list []sdp.Codec, other *leg) []sdp.Codec {
	if other == nil {
		return list
	}
	return preferring(list, other.agreed.Codec.Name)
}

// preferring is the list with the codec of that name first, if it has one.
func preferring(list []sdp.Codec, name string) []sdp.Codec {
	at := slices.IndexFunc(list, func(c sdp.Codec) bool { return c.Name == name })
	if at <= 0 {
		return list
	}
	return slices.Concat(list[at:at+1], list[:at], list[at+1:])
}

// speakLike lets a leg that is not answered yet prefer the codec of the one that it is going to be joined with.
func (l *leg) speakLike(other *leg) { l.codecs = speaking(l.codecs, other) }
