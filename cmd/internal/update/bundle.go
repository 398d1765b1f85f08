package update

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// A bundle is: this line; the length of the manifest, 4 bytes, most significant first; the manifest, JSON; an ed25519
// signature (RFC 8032 §5.1) of the line and the manifest, 64 bytes; the slot's image, gzip. Nothing follows.
const (
	magic        = "parklamp bundle 1\n"
	mostManifest = 4 << 10 // bytes
)

// HeadSize is what the head of a bundle has at most: bytes.
const HeadSize = len(magic) + 4 + mostManifest + ed25519.SignatureSize

// Bundle is one whose manifest has been proved genuine. Read gives its image, which is not proved before its end: the
// last Read checks length and hash, and only io.EOF says that all is well.
type Bundle struct {
	Manifest Manifest

	packed *io.LimitedReader
	buffer *bufio.Reader // of packed; gzip takes no byte too much from it
	image  *gzip.Reader
	rest   io.Reader // after the image
	hash   interface {
		io.Writer
		Sum([]byte) []byte
	}
	read int64
	end  error
}

// OpenBundle reads the head of a bundle and checks its signature against the keys: ErrNotBundle, ErrSignature.
func OpenBundle(r io.Reader, keys []ed25519.PublicKey) (*Bundle, error) {
	text, signature, err := readHead(r)
	if err != nil {
		return nil, err
	}
	signed := append([]byte(magic), text...)
	genuine := false
	for _, key := range keys {
		genuine = genuine || len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed, signature)
	}
	if !genuine {
		if len(keys) == 0 {
			return nil, fmt.Errorf("%w: this appliance has no key to check it with; put update.pub of the site into the image (UPDATE_PUB=), or write the card with the site's files (make flash SITE= ID=)", ErrSignature)
		}
		return nil, fmt.Errorf("%w: it was not signed with this site's update.key, or it was changed since", ErrSignature)
	}
	return newBundle(r, text)
}

// Inspect is OpenBundle for who has no key: what it says is not proved, but its image is what it says.
func Inspect(r io.Reader) (*Bundle, error) {
	text, _, err := readHead(r)
	if err != nil {
		return nil, err
	}
	return newBundle(r, text)
}

// readHead reads the manifest and its signature, and no byte more.
func readHead(r io.Reader) (text, signature []byte, err error) {
	head := make([]byte, len(magic)+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNotBundle, cut(err))
	}
	if string(head[:len(magic)]) != magic {
		if bytes.HasPrefix(head, []byte("parklamp bundle ")) {
			return nil, nil, fmt.Errorf("%w: it has a newer format; install a version between them first", ErrNotBundle)
		}
		return nil, nil, fmt.Errorf("%w: its first line is another; make one with `make bundle`", ErrNotBundle)
	}
	n := binary.BigEndian.Uint32(head[len(magic):])
	if n == 0 || n > mostManifest {
		return nil, nil, fmt.Errorf("%w: a manifest of %d bytes; at most %d are allowed", ErrNotBundle, n, mostManifest)
	}
	text = make([]byte, int(n)+ed25519.SignatureSize)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNotBundle, cut(err))
	}
	return text[:n], text[n:], nil
}

func newBundle(r io.Reader, text []byte) (*Bundle, error) {
	m, err := parseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotBundle, err)
	}
	packed := &io.LimitedReader{R: r, N: m.Packed}
	return &Bundle{Manifest: m, packed: packed, buffer: bufio.NewReader(packed), rest: r, hash: sha256.New()}, nil
}

// cut names an end that came too early.
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTruncated
	}
	return err
}

// Read reads the slot's image.
func (b *Bundle) Read(p []byte) (int, error) {
	if b.end != nil {
		return 0, b.end
	}
	n, err := b.next(p)
	b.end = err
	return n, err
}

func (b *Bundle) next(p []byte) (int, error) {
	if b.image == nil {
		z, err := gzip.NewReader(b.buffer)
		if err != nil {
			return 0, b.spoiled(err)
		}
		z.Multistream(false)
		b.image = z
	}
	n, err := b.image.Read(p)
	b.hash.Write(p[:n])
	b.read += int64(n)
	if b.read > b.Manifest.Size {
		return 0, fmt.Errorf("%w: its image is longer than the %d bytes that were signed", ErrImage, b.Manifest.Size)
	}
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		return n, b.spoiled(err)
	}
	if b.read < b.Manifest.Size {
		return n, fmt.Errorf("%w: its image has %d bytes and %d were signed", ErrImage, b.read, b.Manifest.Size)
	}
	if got := hex.EncodeToString(b.hash.Sum(nil)); got != b.Manifest.SHA256 {
		return n, fmt.Errorf("%w: its image is not the one that was signed", ErrImage)
	}
	if more := b.packed.N + int64(b.buffer.Buffered()); more > 0 {
		return n, fmt.Errorf("%w: %d bytes follow its image", ErrImage, more)
	}
	if m, _ := io.ReadFull(b.rest, make([]byte, 1)); m > 0 {
		return n, fmt.Errorf("%w: something follows its image", ErrImage)
	}
	return n, io.EOF
}

// spoiled tells a bundle that ends early from one that is damaged and from a connection that broke.
func (b *Bundle) spoiled(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w after %d of %d bytes", ErrTruncated, b.Manifest.Packed-b.packed.N, b.Manifest.Packed)
	}
	if err == gzip.ErrHeader || err == gzip.ErrChecksum {
		return fmt.Errorf("%w: %w", ErrImage, err)
	}
	return fmt.Errorf("%w: read it: %w", ErrImage, err)
}

// MakeBundle packs the slot's image into out, which it writes once through, and signs it. Size, SHA256 and Packed of m are
// filled in; spool is a place for the packed image meanwhile (a file).
func MakeBundle(out io.Writer, m Manifest, image io.Reader, key ed25519.PrivateKey, spool io.ReadWriteSeeker) (Manifest, error) {
	z, err := gzip.NewWriterLevel(spool, gzip.BestCompression)
	if err != nil {
		return m, err
	}
	sum := sha256.New()
	if m.Size, err = io.Copy(io.MultiWriter(z, sum), image); err != nil {
		return m, fmt.Errorf("pack the image: %w", err)
	}
	if err := z.Close(); err != nil {
		return m, fmt.Errorf("pack the image: %w", err)
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if m.Packed, err = spool.Seek(0, io.SeekCurrent); err != nil {
		return m, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return m, err
	}
	if err := m.check(); err != nil {
		return m, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	if len(text) > mostManifest {
		return m, fmt.Errorf("a manifest of %d bytes; at most %d are allowed", len(text), mostManifest)
	}
	head := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(text)))
	head = append(append(head, text...), ed25519.Sign(key, append([]byte(magic), text...))...)
	if _, err := out.Write(head); err != nil {
		return m, err
	}
	_, err = io.Copy(out, spool)
	return m, err
}

// MakeBundleFile makes a bundle of the image file into the file out, in one step: out is whole or not there.
func MakeBundleFile(out string, m Manifest, image string, key ed25519.PrivateKey) (_ Manifest, err error) {
	in, err := os.Open(image)
	if err != nil {
		return m, err
	}
	defer in.Close()
	spool, err := os.CreateTemp("", "parklamp-bundle")
	if err != nil {
		return m, err
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	f, err := os.Create(out + ".new")
	if err != nil {
		return m, err
	}
	defer os.Remove(f.Name())
	if m, err = MakeBundle(f, m, in, key, spool); err != nil {
		f.Close()
		return m, err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return m, err
	}
	if err := f.Close(); err != nil {
		return m, err
	}
	return m, os.Rename(f.Name(), out)
}
