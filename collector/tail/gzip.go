package tail

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// compressed reads a gzip file at offsets of what it holds. Going forward is
// cheap, going back begins anew: who reads a log goes forward.
type compressed struct {
	f  *os.File
	in *bufio.Reader
	z  *gzip.Reader // nil: not begun
	at int64        // of z's next byte
}

// ReadAt is io.ReaderAt's. A file whose end is not written yet ends early.
func (c *compressed) ReadAt(p []byte, off int64) (int, error) {
	if c.z == nil || off < c.at {
		if err := c.rewind(); err != nil {
			return 0, err
		}
	}
	for c.at < off {
		n, err := io.CopyN(io.Discard, c.z, off-c.at)
		c.at += n
		if err != nil {
			return 0, c.fail(err)
		}
	}
	n, err := io.ReadFull(c.z, p)
	c.at += int64(n)
	if err != nil {
		return n, c.fail(err)
	}
	return n, nil
}

func (c *compressed) rewind() error {
	in := io.NewSectionReader(c.f, 0, 1<<62)
	if c.in == nil {
		c.in = bufio.NewReaderSize(in, 32<<10)
	} else {
		c.in.Reset(in)
	}
	c.at = 0
	var err error
	if c.z == nil {
		c.z, err = gzip.NewReader(c.in)
	} else {
		err = c.z.Reset(c.in)
	}
	if err != nil {
		c.z = nil
		return c.fail(err)
	}
	return nil
}

// fail tells an end, also one that comes too early since somebody is still
// writing, from a file that is none of gzip's.
func (c *compressed) fail(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	c.z = nil
	return fmt.Errorf("decompress: %w", err)
}

// trailer is what the file says of its decompressed size, modulo 4 GiB.
func (c *compressed) trailer(onDisk int64) (uint32, error) {
	const least = 18 // header and trailer
	if onDisk < least {
		return 0, nil
	}
	var b [4]byte
	if _, err := c.f.ReadAt(b[:], onDisk-4); err != nil {
		return 0, fmt.Errorf("read size: %w", err)
	}
	return binary.LittleEndian.Uint32(b[:]), nil
}

// measure decompresses it all to know its size. The error is of a file that is
// not whole (yet).
func (c *compressed) measure() (int64, error) {
	if err := c.rewind(); err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, c.z)
	c.z, c.in = nil, nil // its memory is not needed while nobody reads
	if err != nil {
		return n, fmt.Errorf("decompress: %w", err)
	}
	return n, nil
}
