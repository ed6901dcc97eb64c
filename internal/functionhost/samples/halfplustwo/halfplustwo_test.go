package halfplustwo

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestModelComputesHalfPlusTwo(t *testing.T) {
	const n = 1 << 16
	file := Encode(n)
	var seen []int64
	m, err := Load(bytes.NewReader(file), int64(len(file)), func(read int64) { seen = append(seen, read) })
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 8 || seen[7] != int64(len(file)) || m.Inputs() != n {
		t.Errorf("progress %v, %d inputs", seen, m.Inputs())
	}
	for _, x := range []float64{0, 1, 2, 5, -3.5, 1e6} {
		if got, want := m.Predict(x), x/2+2; math.Abs(got-want) > 1e-9*(1+math.Abs(x)) {
			t.Errorf("Predict(%g) = %g, want %g", x, got, want)
		}
	}
}

func TestLoadRefusesDamage(t *testing.T) {
	file := Encode(64)
	for name, damage := range map[string]func([]byte) []byte{
		"magic":     func(b []byte) []byte { b[0] = 'x'; return b },
		"weight":    func(b []byte) []byte { b[100] ^= 1; return b },
		"length":    func(b []byte) []byte { return append(b, 0) },
		"huge":      func(b []byte) []byte { b[15] = 0xff; return b },
		"truncated": func(b []byte) []byte { return b[:len(b)-1] },
	} {
		b := damage(bytes.Clone(file))
		if _, err := Load(bytes.NewReader(b), int64(len(b)), func(int64) {}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}
