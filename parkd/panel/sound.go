package panel

import (
	"encoding/binary"
	"errors"
	"net/http"
	"time"
)

// sampleRate of the handset in Hz, one channel of 16 bits.
const sampleRate = 8000

// frameSamples is how many a Backend hands out each 20 ms.
const frameSamples = 160

// listen streams what the handset hears as a WAV file without end: `curl -N
// …/api/listen | aplay` plays it. The head comes at once, a frame each 20 ms.
func (s *Server) listen(w http.ResponseWriter, r *http.Request) {
	if !enter(w, s.ears, "listeners") {
		return
	}
	defer func() { <-s.ears }()
	frames, err := s.backend.Listen(r.Context())
	if err != nil {
		done(w, err)
		return
	}
	out := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "audio/wav")
	h.Set("Cache-Control", "no-store")
	buf := appendWAVHead(make([]byte, 0, 2*frameSamples))
	for {
		if out.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
			return
		}
		if _, err := w.Write(buf); err != nil {
			return
		}
		if err := out.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return
		}
		var frame []int16
		var ok bool
		select {
		case frame, ok = <-frames:
		case <-r.Context().Done():
		}
		if !ok {
			return
		}
		buf = buf[:0]
		for _, v := range frame {
			buf = binary.LittleEndian.AppendUint16(buf, uint16(v))
		}
	}
}

// appendWAVHead appends the 44 bytes before the samples: RIFF with the greatest
// sizes, which players take as "until the end", and format 1 (PCM).
func appendWAVHead(b []byte) []byte {
	const unknown = 0xffff_ffff
	b = append(b, "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, unknown)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)           // size of the format
	b = binary.LittleEndian.AppendUint16(b, 1)            // PCM
	b = binary.LittleEndian.AppendUint16(b, 1)            // channels
	b = binary.LittleEndian.AppendUint32(b, sampleRate)   // samples a second
	b = binary.LittleEndian.AppendUint32(b, 2*sampleRate) // bytes a second
	b = binary.LittleEndian.AppendUint16(b, 2)            // bytes a sample of all channels
	b = binary.LittleEndian.AppendUint16(b, 16)           // bits a sample
	b = append(b, "data"...)
	return binary.LittleEndian.AppendUint32(b, unknown)
}
