package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

const (
	magic   = "parklamp"
	version = 1
	// headerBytes is magic, then the version and four zero bytes, little endian as all numbers.
	headerBytes = len(magic) + 8
	// frameBytes precede a frame's payload: its length, then the CRC of length and payload.
	frameBytes = 8
)

// castagnoli is CRC-32C, which processors compute (RFC 3720 appendix B.4).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// commit is the payload of a frame.
type commit struct {
	Owner string    `json:"owner,omitempty"` // in the first frame of a file
	At    time.Time `json:"at"`
	Put   []Entry   `json:"put,omitempty"`
	Gone  []string  `json:"gone,omitempty"` // keys
}

func header() []byte {
	b := append(make([]byte, 0, headerBytes), magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	return append(b, 0, 0, 0, 0)
}

// appendFrame adds a commit to b.
func appendFrame(b []byte, c commit) ([]byte, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return b, err
	}
	length := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	b = append(b, length...)
	b = binary.LittleEndian.AppendUint32(b, sum(length, payload))
	return append(b, payload...), nil
}

func sum(length, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, payload)
}

// frame returns the payload of the frame that b begins with and what follows it. ok says that its CRC is right;
// rest is nil when its length cannot be.
func frame(b []byte) (payload, rest []byte, ok bool) {
	if len(b) < frameBytes {
		return nil, nil, false
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || int64(n) > int64(len(b)-frameBytes) {
		return nil, nil, false
	}
	payload, rest = b[frameBytes:frameBytes+int(n)], b[frameBytes+int(n):]
	return payload, rest, sum(b[:4], payload) == binary.LittleEndian.Uint32(b[4:])
}

// parse reads a whole file. What could be read is returned with the error, also what is of another owner. The last frame
// may be torn: that is what a power cut leaves, and no error. A torn one before a good one is damage.
func parse(b []byte, owner string) (Content, error) {
	if len(b) < headerBytes || string(b[:len(magic)]) != magic {
		return Content{}, fmt.Errorf("%w: it does not begin as a journal does", ErrDamaged)
	}
	if v := binary.LittleEndian.Uint32(b[len(magic):]); v != version {
		return Content{}, fmt.Errorf("%w: it is of version %d, this program reads %d", ErrVersion, v, version)
	}
	var (
		entries = newTable()
		at      time.Time
		bad     int // frames that are not to be read so far
		damaged error
		whose   string
		foreign error
		first   = true
	)
	for b = b[headerBytes:]; b != nil; {
		payload, rest, ok := frame(b)
		b = rest
		var c commit
		if ok {
			ok = json.Unmarshal(payload, &c) == nil
		}
		if !ok {
			bad++
			continue
		}
		if first && bad == 0 {
			if whose = c.Owner; whose != owner {
				foreign = fmt.Errorf("%w: it is %q's, this is %q", ErrOwner, whose, owner)
			}
		}
		first = false
		if bad > 0 {
			damaged = fmt.Errorf("%w: %d of its frames cannot be read", ErrDamaged, bad)
		}
		entries.apply(c)
		if c.At.After(at) {
			at = c.At
		}
	}
	if first {
		damaged = fmt.Errorf("%w: its first frame cannot be read", ErrDamaged)
	}
	return Content{Owner: whose, Entries: entries.list(), At: at}, errors.Join(foreign, damaged)
}

// table is entries by key, in the order of their first commit.
type table struct {
	keys []string
	all  map[string]Entry
}

func newTable() *table { return &table{all: make(map[string]Entry)} }

func (t *table) apply(c commit) {
	for _, k := range c.Gone {
		delete(t.all, k)
	}
	for _, e := range c.Put {
		if _, known := t.all[e.Key]; !known {
			t.keys = append(t.keys, e.Key)
		}
		t.all[e.Key] = e
	}
}

// list returns the entries; a key that went and came back stands where it came back.
func (t *table) list() []Entry {
	var out []Entry
	seen := make(map[string]bool, len(t.all))
	for i := len(t.keys) - 1; i >= 0; i-- {
		k := t.keys[i]
		if e, ok := t.all[k]; ok && !seen[k] {
			seen[k] = true
			out = append(out, e)
		}
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}
