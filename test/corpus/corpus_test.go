package corpus

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"
)

// files gives what loggen files writes with -seed 1, two files one after the
// other.
func corpus(size int, longP float64, line func(*Gen, []byte, *Line) []byte) []byte {
	var all []byte
	for k := range uint64(2) {
		g := NewGen(Params{
			Seed: 1, Stream: k, Functions: 200, Instances: 2000, Active: 16, LongP: longP, RareP: 2e-4,
			Start: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Step: 24 * time.Hour / 10_000_000,
		})
		var l Line
		for end := len(all) + size; len(all) < end; {
			g.Next(&l)
			all = line(g, all, &l)
		}
	}
	return all
}

// The same flags give the same bytes, for ever: figures stay comparable.
func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		want string
		line func(*Gen, []byte, *Line) []byte
	}{
		"docker": {
			"aa716d32c8d9f17014ec7bc12dce3b5a695dd1b3370dc42d38fa6eda1a220714",
			func(g *Gen, b []byte, l *Line) []byte { b, _ = g.AppendDocker(b, l); return b },
		},
		"cri": {
			"da7611e22094e5b080fb5761c4c489cdcc9f91ec6d01a4a592531028b48f6f34",
			func(g *Gen, b []byte, l *Line) []byte { b, _ = g.AppendCRI(b, l); return b },
		},
		"raw": {
			"d02c079aa9925179b5c8b23faf600955644301d28eb668843fcf47b28b8e5994",
			func(_ *Gen, b []byte, l *Line) []byte { return append(append(b, l.Text...), '\n') },
		},
	} {
		sum := sha256.Sum256(corpus(300_000, 0.002, c.line))
		if got := hex.EncodeToString(sum[:]); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Every frame has its length at both ends, and the pieces give the text again.
func TestLocal(t *testing.T) {
	var want []byte
	b := corpus(100_000, 0.05, func(g *Gen, b []byte, l *Line) []byte {
		want = append(want, l.Text...)
		b, _ = g.AppendLocal(b, l)
		return b
	})
	var got []byte
	for len(b) > 0 {
		n := binary.BigEndian.Uint32(b)
		msg := b[4 : 4+n]
		if end := binary.BigEndian.Uint32(b[4+n:]); end != n {
			t.Fatalf("a frame of %d bytes ends with %d", n, end)
		}
		b = b[8+n:]
		for len(msg) > 0 {
			tag, k := binary.Uvarint(msg)
			v, m := binary.Uvarint(msg[k:])
			msg = msg[k+m:]
			if tag&7 == 2 {
				if tag>>3 == 3 {
					got = append(got, msg[:v]...)
				}
				msg = msg[v:]
			}
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of text, want %d", len(got), len(want))
	}
}

// What dockerd 20.10 wrote for this text.
func TestJSONFileAsDockerd(t *testing.T) {
	r := Record{
		Text: []byte("tab\tcr\rq\"b\\<>&\x00\x01\x7f\xff\xc3\xa9\u2028end"),
		Time: time.Date(2026, 11, 24, 22, 53, 50, 932349890, time.UTC),
	}
	const want = `{"log":"tab\u0009cr\rq\"b\\\u003c\u003e\u0026\u0000\u0001` + "\x7f" + `\ufffdé\u2028end\n","stream":"stdout","time":"2026-11-24T22:53:50.93234989Z"}` + "\n"
	if got := string(AppendJSONFile(nil, &r)); got != want {
		t.Errorf("%s", got)
	}
}

func TestJSONFile(t *testing.T) {
	text := []byte("a\"\\\t\r\x00<é\xff\u2028z")
	for _, partial := range []bool{false, true} {
		r := Record{Text: text, Partial: partial, Stderr: true, Time: time.Unix(1, 5)}
		var got struct{ Log, Stream, Time string }
		if err := json.Unmarshal(AppendJSONFile(nil, &r), &got); err != nil {
			t.Fatal(err)
		}
		want := "a\"\\\t\r\x00<é\ufffd\u2028z"
		if !partial {
			want += "\n"
		}
		if got.Log != want || got.Stream != "stderr" || got.Time != "1970-01-01T00:00:01.000000005Z" {
			t.Errorf("%+v", got)
		}
	}
}
