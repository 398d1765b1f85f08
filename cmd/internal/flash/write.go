package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// target is what is written to.
type target interface {
	io.WriterAt
	Sync() error
	// Reread reads what the medium holds, not what memory remembers of it. The buffer of the caller is begun at a page.
	Reread(p []byte, off int64) (int, error)
}

const (
	chunk = 4 << 20
	// headSize is the begin of the card with its partition table: it is wiped first and written last, so that a card that was
	// not written to its end has no partitions and starts nothing.
	headSize = 1 << 20
	// syncEvery is how much is written before the medium must have it: progress is what the card has taken.
	syncEvery = 8 * chunk
)

// Errors of writing.
var (
	errUnusable = errors.New("it starts nothing until it is flashed again")
	errReread   = errors.New("reads back otherwise: the card is worn, fake or badly seated")
	errOther    = errors.New("it is not the disk any more that was shown: nothing was written; start again")
)

// progress is told how far a stage has come, in bytes.
type progress func(stage string, done, total int64)

// flash writes a card and reads it back. Any error leaves the card without partitions.
func flash(ctx context.Context, to target, from io.ReaderAt, size int64, report progress) error {
	buffers, err := newBuffers()
	if err != nil {
		return err
	}
	defer buffers.free()
	head := min(headSize, size)
	err = func() error {
		if _, err := to.WriteAt(make([]byte, head), 0); err != nil {
			return err
		}
		if err := to.Sync(); err != nil {
			return err
		}
		for _, part := range []struct {
			begin, end int64
			report     progress
		}{{head, size, report}, {0, head, func(string, int64, int64) {}}} {
			if err := buffers.write(ctx, to, from, part.begin, part.end, part.report); err != nil {
				return err
			}
			if err := buffers.verify(ctx, to, from, part.begin, part.end, part.report); err != nil {
				return err
			}
		}
		return nil
	}()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	// The head may be there already: a card that does not read back must not start.
	_, wipeErr := to.WriteAt(make([]byte, head), 0)
	if wipeErr = errors.Join(wipeErr, to.Sync()); wipeErr != nil {
		err = fmt.Errorf("%w (and its begin cannot be wiped: %w)", err, wipeErr)
	}
	return fmt.Errorf("%w: %w", err, errUnusable)
}

// buffers are one chunk of what is to be and one of what is, each begun at a page, as O_DIRECT wants it.
type buffers struct{ both, want, got []byte }

func newBuffers() (*buffers, error) {
	both, err := unix.Mmap(-1, 0, 2*chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	return &buffers{both, both[:chunk:chunk], both[chunk:]}, nil
}

func (b *buffers) free() { unix.Munmap(b.both) }

func (b *buffers) write(ctx context.Context, to target, from io.ReaderAt, begin, end int64, report progress) error {
	for off := begin; off < end; off += chunk {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p := b.want[:min(chunk, end-off)]
		if n, err := from.ReadAt(p, off); n < len(p) {
			return fmt.Errorf("read the image: %d bytes at byte %d instead of %d: %w", n, off, len(p), err)
		}
		if _, err := to.WriteAt(p, off); err != nil {
			return err
		}
		if (off-begin)%syncEvery == 0 || off+chunk >= end {
			if err := to.Sync(); err != nil {
				return err
			}
		}
		report("writing", off+int64(len(p)), end)
	}
	return nil
}

func (b *buffers) verify(ctx context.Context, to target, from io.ReaderAt, begin, end int64, report progress) error {
	for off := begin; off < end; off += chunk {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n := min(chunk, end-off)
		if got, err := from.ReadAt(b.want[:n], off); int64(got) < n {
			return fmt.Errorf("read the image: %d bytes at byte %d instead of %d: %w", got, off, n, err)
		}
		clear(b.got)
		got, err := to.Reread(b.got, off) // a whole chunk: O_DIRECT takes no odd lengths
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if int64(got) < n || !bytes.Equal(b.want[:n], b.got[:n]) {
			return fmt.Errorf("%s from its begin on it %w", bytesText(off), errReread)
		}
		report("reading back", off+n, end)
	}
	return nil
}

// device is a disk or a file.
type device struct {
	out    *os.File
	in     *os.File // by O_DIRECT if direct
	direct bool
}

// hidden is the error of making a file readable for its owner alone.
func hidden(path string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%s gets a private key and cannot be kept from others: it is another user's, or its disk has no permissions (FAT); name another file (%w)", path, err)
	}
	return err
}

// opened says whether what was opened by a disk's name is the disk: from then on nothing else can be.
func (d disk) opened(f *os.File) error {
	if d.file {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	number := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	if st.Mode&unix.S_IFMT != unix.S_IFBLK || number != d.number || size != d.size {
		return fmt.Errorf("%s: %w", d.path, errOther)
	}
	return nil
}

// openDevice opens a disk for nobody else, or makes a file of the size.
func openDevice(d disk, size int64) (*device, error) {
	flags := os.O_RDWR | unix.O_EXCL // of a block device: fails if a mount or another device uses it
	if d.file {
		flags = os.O_RDWR | os.O_CREATE
	}
	f, err := os.OpenFile(d.real, flags, 0o600)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%s is in use: umount it first", d.path)
	}
	if err != nil {
		return nil, err
	}
	if err := d.opened(f); err != nil {
		f.Close()
		return nil, err
	}
	if d.file {
		err := hidden(d.path, f.Chmod(0o600)) // it may have been there: nobody else reads the key that it gets
		if err == nil {
			err = f.Truncate(0) // what it had is room for what it gets
		}
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), 0, 0, size)
		}
		if errors.Is(err, unix.EOPNOTSUPP) {
			err = f.Truncate(size)
		}
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%s: its disk has no room for %s", d.path, bytesText(size))
			os.Remove(d.real)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	v := &device{out: f, direct: true}
	if v.in, err = os.OpenFile(d.real, os.O_RDONLY|unix.O_DIRECT, 0); err != nil { // tmpfs has no O_DIRECT
		v.direct = false
		v.in, err = os.Open(d.real)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return v, nil
}

func (v *device) WriteAt(p []byte, off int64) (int, error) { return v.out.WriteAt(p, off) }
func (v *device) Sync() error                              { return v.out.Sync() }

func (v *device) Reread(p []byte, off int64) (int, error) {
	if !v.direct {
		if err := unix.Fadvise(int(v.in.Fd()), off, int64(len(p)), unix.FADV_DONTNEED); err != nil {
			return 0, err
		}
	}
	return v.in.ReadAt(p, off)
}

// Close closes the device; the kernel looks for its partitions.
func (v *device) Close() error {
	unix.IoctlSetInt(int(v.out.Fd()), unix.BLKRRPART, 0) // a file has none, and a card is taken out anyway
	return errors.Join(v.in.Close(), v.out.Close())
}

var _ target = (*device)(nil)
