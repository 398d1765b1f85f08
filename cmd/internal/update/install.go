package update

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"parklamp/cmd/internal/slots"
)

const (
	headSize  = slots.Sector // the boot sector, without which a FAT file system is none
	chunkSize = 64 << 10     // bytes read, compared and written at a time
	syncEvery = 4 << 20      // bytes in doubt at a time: memory that the kernel has to keep
)

// installer writes the idle slot. One runs at a time.
type installer struct {
	disk    *slots.Disk
	running slots.Slot
	tell    func(Stage, int64, int64) // stage, bytes done, bytes in all
}

// install writes the bundle's image into the slot that does not run and puts it on trial. Whatever happens, and wherever power
// is lost, the running slot is untouched and the loader's good one; the idle slot has no boot sector, and so cannot
// be started even as the last resort, until everything else of it has been read back from the card and proved. What
// the slot holds already is not written again, so that an update which was cut off goes on quickly where it was.
func (i *installer) install(ctx context.Context, b *Bundle) error {
	idle := i.running.Other()
	place := i.disk.Slot(idle)
	if b.Manifest.Size > place.Size {
		return fmt.Errorf("%w: its image has %d bytes and a slot of this card %d; write the card anew (make flash)", ErrTooLarge, b.Manifest.Size, place.Size)
	}
	if err := i.disk.Store(slots.State{Good: i.running}); err != nil {
		return cardError(err)
	}
	head := make([]byte, headSize)
	if err := i.behead(place); err != nil {
		return cardError(err)
	}
	if err := i.write(ctx, b, place, head); err != nil {
		return err
	}
	if err := i.verify(ctx, b.Manifest, place, head); err != nil {
		return err
	}
	if err := i.disk.WriteSector(head, place.Start); err != nil {
		return cardError(err)
	}
	if err := i.disk.Sync(); err != nil {
		return cardError(err)
	}
	i.disk.Forget()
	back := make([]byte, headSize)
	if _, err := i.disk.ReadAt(back, place.Start); err != nil {
		return cardError(err)
	}
	if !bytes.Equal(back, head) {
		return fmt.Errorf("%w: the boot sector of slot %s", ErrCard, idle)
	}
	if err := i.disk.Store(slots.State{Good: i.running, Try: idle, Left: slots.Attempts}); err != nil {
		return cardError(err)
	}
	return nil
}

// behead takes the slot's boot sector away, lastingly.
func (i *installer) behead(place slots.Extent) error {
	head := make([]byte, headSize)
	if _, err := i.disk.ReadAt(head, place.Start); err != nil {
		return err
	}
	clear(head)
	if err := i.disk.WriteSector(head, place.Start); err != nil {
		return err
	}
	return i.disk.Sync()
}

// write brings everything but the boot sector, which it leaves in head, to the card.
func (i *installer) write(ctx context.Context, b *Bundle, place slots.Extent, head []byte) error {
	chunk, old := make([]byte, chunkSize), make([]byte, chunkSize)
	doubt := 0
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(b, chunk)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		end := err != nil
		data := chunk[:n]
		skip := 0
		if at == 0 && n > 0 {
			skip = copy(head, data)
		}
		if data = data[skip:]; len(data) > 0 {
			from := place.Start + at + int64(skip)
			was := old[:len(data)]
			_, err := i.disk.ReadAt(was, from)
			if err != nil || !bytes.Equal(was, data) { // what cannot be read may be mended by writing it
				if _, err := i.disk.WriteAt(data, from); err != nil {
					return cardError(err)
				}
				doubt += len(data)
			}
		}
		if at += int64(n); end {
			break
		}
		i.tell(Writing, at, b.Manifest.Size)
		if doubt >= syncEvery {
			if err := i.disk.Sync(); err != nil {
				return cardError(err)
			}
			doubt = 0
		}
	}
	// io.ReadFull hides which end it met; the bundle has kept it.
	if _, err := b.Read(chunk[:1]); err != io.EOF {
		if err == nil {
			err = ErrImage
		}
		return err
	}
	return cardError(i.disk.Sync())
}

// verify hashes what the card gives back, with the boot sector that is still in memory.
func (i *installer) verify(ctx context.Context, m Manifest, place slots.Extent, head []byte) error {
	i.disk.Forget()
	sum := sha256.New()
	sum.Write(head)
	chunk := make([]byte, chunkSize)
	for at := int64(headSize); at < m.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := chunk[:min(chunkSize, m.Size-at)]
		if _, err := i.disk.ReadAt(part, place.Start+at); err != nil {
			return cardError(err)
		}
		sum.Write(part)
		at += int64(len(part))
		i.tell(Verifying, at, m.Size)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != m.SHA256 {
		return fmt.Errorf("%w: what was read back from slot %s is not what was written", ErrCard, i.running.Other())
	}
	return nil
}

// cardError marks an error of the card.
func cardError(err error) error {
	if err == nil || errors.Is(err, ErrCard) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCard, err)
}
