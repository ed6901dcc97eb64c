package terminal

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/query/client"
)

func wave(n int, f func(i int) float64) []client.Point {
	points := make([]client.Point, 0, n)
	for i := range n {
		if v := f(i); !math.IsNaN(v) {
			points = append(points, client.Point{Time: noon.Add(time.Duration(i) * time.Minute), Value: v})
		}
	}
	return points
}

func TestSeries(t *testing.T) {
	sine := func(scale float64) func(int) float64 {
		return func(i int) float64 { return scale * (1 + math.Sin(float64(i)/8)) }
	}
	several := []client.Series{
		{Labels: map[string]string{"namespace": "shop", "function": "cart"}, Points: wave(60, sine(1000))},
		{Labels: map[string]string{"namespace": "shop", "function": "checkout-with-a-long-name-漢字"}, Points: wave(60, func(i int) float64 {
			if i%10 < 3 {
				return math.NaN()
			}
			return float64(i * 20)
		})},
		{Labels: map[string]string{"namespace": "shop", "function": "evil\x1b[2J"}, Points: wave(60, func(i int) float64 { return 0.0001 })},
		{Labels: map[string]string{"namespace": "shop", "function": "inf"}, Points: wave(3, func(i int) float64 { return math.Inf(1) })},
	}
	vector := []client.Series{
		{Labels: map[string]string{"function": "cart", "level": "error"}, Points: wave(1, sine(250))},
		{Labels: map[string]string{"function": "cart", "level": "warn"}, Points: wave(1, sine(1_500_000))},
		{Labels: map[string]string{"function": "cart"}, Points: wave(1, func(int) float64 { return -3 })},
	}
	for _, width := range []int{40, 80} {
		for name, draw := range map[string]func(*bytes.Buffer, Options) error{
			"matrix":     func(b *bytes.Buffer, o Options) error { return Matrix(b, several, o) },
			"matrix_one": func(b *bytes.Buffer, o Options) error { return Matrix(b, several[:1], o) },
			"matrix_few": func(b *bytes.Buffer, o Options) error {
				return Matrix(b, []client.Series{{Points: wave(5, sine(3))}}, o)
			},
			"matrix_none":    func(b *bytes.Buffer, o Options) error { return Matrix(b, nil, o) },
			"vector":         func(b *bytes.Buffer, o Options) error { return Vector(b, vector, o) },
			"vector_columns": func(b *bytes.Buffer, o Options) error { return Vector(b, vector[:2], o) },
			"vector_mixed": func(b *bytes.Buffer, o Options) error {
				return Vector(b, append([]client.Series{{Labels: map[string]string{"function": "checkout", "level": "error\u202e"}, Points: wave(1, sine(9))}}, vector[:2]...), o)
			},
			"vector_one": func(b *bytes.Buffer, o Options) error { return Vector(b, []client.Series{{}}, o) },
		} {
			var out bytes.Buffer
			if err := draw(&out, Options{Width: width}); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if w := textWidth(strings.TrimSuffix(line, "\n")); w > width {
					t.Errorf("%s: %d columns: %q", name, w, line)
				}
			}
			safe(t, name, out.String())
			golden(t, fmt.Sprintf("%s_%d", name, width), out.String())
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", -3: "-3", 9999: "9999", 12345: "12.3k", 1_500_000: "1.5M", 2e9: "2G", 7e12: "7T", 1e18: "1.0e+18", 0.5: "0.5", 0.01234: "0.0123",
		3.14159: "3.14", 42.42: "42.4", 123.4: "123", 0.00001: "1.0e-05", math.Inf(-1): "-Inf",
	} {
		if got := number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
