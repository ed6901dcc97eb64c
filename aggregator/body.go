package aggregator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/coldscope/coldscope/internal/wire"
)

// bodyTimeout is how long a sender may take for a body.
const bodyTimeout = time.Minute

// maxPooled is the largest buffer that is kept for later bodies.
const maxPooled = 4 << 20

// body is a request's, inflated. It is not to be used after release.
type body struct {
	a      *Aggregator
	buffer *bytes.Buffer
	n      int64 // counted in a.reading
}

func (b *body) bytes() []byte { return b.buffer.Bytes() }

func (b *body) release() {
	b.a.reading.Add(-b.n)
	if b.buffer.Cap() <= maxPooled {
		b.buffer.Reset()
		b.a.bodies.Put(b.buffer)
	}
}

// readBody reads a request's body, and inflates it. The body has to be
// released, also if there is an error.
func (a *Aggregator) readBody(w http.ResponseWriter, r *http.Request) (*body, error) {
	b := &body{a: a}
	var ok bool
	if b.buffer, ok = a.bodies.Get().(*bytes.Buffer); !ok {
		b.buffer = new(bytes.Buffer)
	}
	connection := http.NewResponseController(w)
	if connection.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil { // only a test's has none
		// One that passes later would be taken for the sender's going away.
		defer func() { _ = connection.SetReadDeadline(time.Time{}) }()
	}
	limits := &a.cfg.Ingest
	sent := http.MaxBytesReader(w, r.Body, limits.BodyBytes)
	in, err := inflate(r.Header.Get("Content-Encoding"), sent, limits.InflatedBytes)
	if err == nil {
		defer in.Close()
		counted := &counter{in, &b.n, &a.reading, a.cfg.Pending}
		err = fill(b.buffer, io.LimitReader(counted, limits.InflatedBytes+1), int(min(r.ContentLength, limits.BodyBytes)))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return b, fmt.Errorf("%w: at most %d bytes, send smaller batches", wire.ErrTooLarge, limits.BodyBytes)
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded), int64(b.buffer.Len()) > limits.InflatedBytes:
		return b, fmt.Errorf("%w: at most %d bytes inflated, send smaller batches", wire.ErrTooLarge, limits.InflatedBytes)
	case errors.Is(err, wire.ErrBusy):
		b.release()
		*b = body{a: a, buffer: new(bytes.Buffer)}
		// The rest is thrown away as it comes: who still writes when the connection
		// closes may never see the answer.
		_, _ = io.Copy(io.Discard, sent)
		return b, err
	case err != nil:
		return b, fmt.Errorf("read body: %w", err)
	}
	return b, nil
}

// fill reads all of r into buffer, which grows to what is expected at once when
// a quarter of that is there: a sender's word alone is not worth the memory.
func fill(buffer *bytes.Buffer, r io.Reader, expected int) error {
	for {
		more := max(buffer.Len(), bytes.MinRead)
		if left := expected + bytes.MinRead - buffer.Len(); left > 0 && left <= 3*more {
			more = left
		}
		buffer.Grow(more)
		room := buffer.AvailableBuffer()
		n, err := r.Read(room[:cap(room)])
		buffer.Write(room[:n]) // where it is already
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// counter counts what is read, for its request and for all.
type counter struct {
	io.Reader
	mine  *int64
	all   *atomic.Int64
	limit int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.mine += int64(n)
	if all := c.all.Add(int64(n)); all > c.limit && all > *c.mine { // one that is larger is read alone, or it never would
		return n, fmt.Errorf("%w: requests of %d bytes are being read already", wire.ErrBusy, c.limit)
	}
	return n, err
}

// inflate undoes a Content-Encoding. Loki's senders name snappy for what they
// send in a snappy block anyway.
func inflate(encoding string, r io.Reader, limit int64) (io.ReadCloser, error) {
	switch encoding {
	case "", "identity", "snappy":
		return io.NopCloser(r), nil
	case "gzip":
		return gzip.NewReader(r)
	case "deflate", "zlib":
		// By HTTP's book deflate is zlib's format; some senders leave out its header.
		peeked := bufio.NewReader(r)
		if head, err := peeked.Peek(2); err == nil && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
			return zlib.NewReader(peeked)
		}
		return flate.NewReader(peeked), nil
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("Content-Encoding %q: send gzip, deflate, zstd, snappy or none", encoding)
}
