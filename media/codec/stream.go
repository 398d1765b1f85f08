package codec

import (
	"parklamp/media/codec/g722"
	"parklamp/media/halfband"
	"parklamp/media/timeline"
)

// maxSamples at 16 kHz fit into one payload: 60 ms, which is what a jitter buffer holds of a packet.
const maxSamples = 960

// Encoder makes the payloads of one outgoing stream, whatever it is fed: samples at 8 or 16 kHz. The zero value is
// ready. It belongs to one goroutine.
type Encoder struct {
	last ID // of the payload before
	g722 g722.Encoder
	up   halfband.Up
	down halfband.Down
}

// Encode fills dst with src, which has rate samples a second (8,000 or 16,000), and returns the bytes written: one for
// each 125 µs, as many as dst has room for, at most 60 ms, 0 for None.
func (e *Encoder) Encode(id ID, dst []byte, src []int16, rate int) int {
	if id != e.last {
		*e = Encoder{last: id}
	}
	ticks := min(len(src)*timeline.ClockRate/rate, len(dst), maxSamples/2)
	src = src[:ticks*rate/timeline.ClockRate]
	var room [maxSamples]int16
	switch {
	case id == G722 && rate != timeline.WideRate:
		e.up.Fill(room[:], src)
		return e.g722.Encode(dst, room[:2*ticks])
	case id == G722:
		return e.g722.Encode(dst, src)
	case rate == timeline.WideRate:
		e.down.Fill(room[:], src)
		return Encode(id, dst, room[:ticks])
	}
	return Encode(id, dst, src)
}

// Decoder reads the payloads of one incoming stream. The zero value decodes to 8 kHz. It belongs to one goroutine.
type Decoder struct {
	Rate int // samples a second that are wanted: 8,000 (also 0) or 16,000

	last ID // of the payload before
	g722 g722.Decoder
	up   halfband.Up
	down halfband.Down
}

// Decode fills dst with the samples of src at the rate of the decoder and returns their number: as many as dst has room
// for, at most 60 ms, 0 for None. Payloads come in the order in which they are heard.
func (d *Decoder) Decode(id ID, dst []int16, src []byte) int {
	if id != d.last {
		*d = Decoder{Rate: d.Rate, last: id}
	}
	wide := d.Rate == timeline.WideRate
	width := 1 // samples a byte
	if wide {
		width = 2
	}
	ticks := min(len(src), len(dst)/width, maxSamples/2)
	src = src[:ticks]
	var room [maxSamples]int16
	switch {
	case id == None:
		return 0
	case id == G722 && wide:
		return d.g722.Decode(dst, src)
	case id == G722:
		d.g722.Decode(room[:], src)
		d.down.Fill(dst, room[:2*ticks])
	case wide:
		Decode(id, room[:], src)
		d.up.Fill(dst, room[:ticks])
	default:
		Decode(id, dst, src)
	}
	return width * ticks
}

// Transcoder makes the payloads of a relayed stream those of another codec. The zero value is ready. It belongs to one
// goroutine.
type Transcoder struct {
	decoder Decoder
	encoder Encoder
}

// Convert writes a payload in the codec to into dst, from src in the codec from, and returns the bytes written: as many
// as src has if dst has the room, at most 60 ms, 0 if there is no way. Neither codec may be None. A pair of codecs of
// G.711, and equal codecs, need no Transcoder.
func (t *Transcoder) Convert(to, from ID, dst, src []byte) int {
	if to == None || from == None {
		return 0
	}
	// Wideband is made of narrowband, or narrowband of wideband, by the side that does G.722 already.
	t.decoder.Rate = to.Rate()
	var room [maxSamples]int16
	n := t.decoder.Decode(from, room[:], src)
	return t.encoder.Encode(to, dst, room[:n], to.Rate())
}
