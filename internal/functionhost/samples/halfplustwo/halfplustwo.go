// Package halfplustwo is the sample model: a linear model with millions of
// weights whose answer for x is x/2 + 2. Its file holds
//
//	offset  size
//	0       8     "CSHPT\x00\x00\x01"
//	8       8     n, the number of inputs (little endian, as all numbers here)
//	16      4     CRC-32C of all that follows
//	20      4     zero
//	24      4n    weights (float32)
//	24+4n   4n    biases (float32)
//
// A prediction feeds x to all n inputs: y = (Σ weight·x + Σ bias) / n. The
// weights are noise around 1/2 and the biases noise around 2, so the file
// cannot be compressed and no part of it can be left out.
package halfplustwo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
)

const (
	magic      = "CSHPT\x00\x00\x01"
	headerSize = 24
	maxInputs  = 1 << 28
)

// ErrCorrupt is wrapped by Load for a file that is not what was written.
var ErrCorrupt = errors.New("corrupt model file")

// Encode gives the file of a model with n inputs; the same n gives the same file.
// n has to be even.
func Encode(n int) []byte {
	b := make([]byte, headerSize+8*n)
	copy(b, magic)
	binary.LittleEndian.PutUint64(b[8:], uint64(n))
	noise := rand.New(rand.NewPCG(0x5ca1ab1e, uint64(n)))
	body := b[headerSize:]
	fill(body[:4*n], noise, 0.5)
	fill(body[4*n:], noise, 2)
	binary.LittleEndian.PutUint32(b[16:], checksum(body))
	return b
}

// fill writes pairs that lie equally far to both sides of mean. Their
// deviation is a multiple of 2^-22, so that adding it loses nothing and the
// mean is exact.
func fill(b []byte, noise *rand.Rand, mean float32) {
	for ; len(b) >= 8; b = b[8:] {
		d := float32(int32(noise.Uint32()>>10)-1<<21) / (1 << 22) // in [-1/2, 1/2)
		binary.LittleEndian.PutUint32(b, math.Float32bits(mean+d))
		binary.LittleEndian.PutUint32(b[4:], math.Float32bits(mean-d))
	}
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Model is a loaded model.
type Model struct {
	weights, biases []float32
}

// Load reads a model of size bytes. progress is called after each eighth with the bytes read so far.
func Load(r io.Reader, size int64, progress func(read int64)) (*Model, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("read model header: %w", err)
	}
	n := binary.LittleEndian.Uint64(header[8:])
	if string(header[:8]) != magic || n == 0 || n > maxInputs || size != headerSize+8*int64(n) {
		return nil, fmt.Errorf("%w: bad header", ErrCorrupt)
	}
	body := make([]byte, 8*n)
	step := max(len(body)/8, 1)
	for at := 0; at < len(body); at += step {
		part := body[at:min(at+step, len(body))]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, fmt.Errorf("read model weights: %w", err)
		}
		progress(int64(headerSize + at + len(part)))
	}
	if got, want := checksum(body), binary.LittleEndian.Uint32(header[16:]); got != want {
		return nil, fmt.Errorf("%w: checksum %08x, the header says %08x", ErrCorrupt, got, want)
	}
	return &Model{weights: floats(body[:4*n]), biases: floats(body[4*n:])}, nil
}

func floats(b []byte) []float32 {
	f := make([]float32, len(b)/4)
	for i := range f {
		f[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return f
}

// Inputs is how many inputs the model has.
func (m *Model) Inputs() int { return len(m.weights) }

// Predict gives x/2 + 2, by way of every weight.
func (m *Model) Predict(x float64) float64 {
	var sum float64
	for i, w := range m.weights {
		sum += float64(w)*x + float64(m.biases[i])
	}
	return sum / float64(len(m.weights))
}
