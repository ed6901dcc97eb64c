package aggregator

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestFill: a body is read whole, whatever its sender says of its size, and that
// alone makes no room.
func TestFill(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 20_000)
	for _, size := range []int{0, 1, 511, 512, 513, 5000, len(text)} {
		for _, expected := range []int{-1, 0, size / 2, size, 2 * size, 1 << 30} {
			for _, r := range []io.Reader{bytes.NewReader(text[:size]), iotest.HalfReader(bytes.NewReader(text[:size])), iotest.DataErrReader(bytes.NewReader(text[:size]))} {
				var b bytes.Buffer
				if err := fill(&b, r, expected); err != nil || !bytes.Equal(b.Bytes(), text[:size]) {
					t.Fatalf("%d bytes of %d, %d expected: %v", b.Len(), size, expected, err)
				}
				if most := 8 * (size + bytes.MinRead); b.Cap() > most {
					t.Errorf("room for %d bytes for %d, %d expected", b.Cap(), size, expected)
				}
			}
		}
	}
	if err := fill(new(bytes.Buffer), iotest.ErrReader(io.ErrUnexpectedEOF), 10); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}
