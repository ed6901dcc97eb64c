package deliver

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/wire"
)

// FuzzDeliver holds that no chunk makes the decoder panic, that an unreadable
// one is an error of its own class, that what is read can be sent and is read
// back by the aggregator's decoder, and that a chunk sent twice is the same.
func FuzzDeliver(f *testing.F) {
	f.Add(chunk(f, list{1_700_000_000, object{"log": "hello", "stream": "stderr"}}))
	f.Add(chunk(f, list{list{eventTime(1_700_000_000, 5), object{"m": 1}}, object{"kubernetes": object{"container_name": "c", "pod_name": "c-1"}, "msg": list{1, nil, 2.5, "x"}}}))
	f.Add(chunk(f, list{list{-1, object{}}, object{}}, list{list{-2, object{}}, object{}}))
	f.Add([]byte{0x92, 0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0xa3, 'l', 'o', 'g', 0xdb, 0xff, 0xff, 0xff, 0xff})
	cfg := config(f, map[string]string{"function": "f", "function_key": "kubernetes.container_name", "request_id_key": "rid"})
	f.Fuzz(func(t *testing.T, in []byte) {
		send := func() (bodies [][]byte) {
			b := newBatch(&cfg, "tag", in)
			for rec, err := range records(in) {
				if err != nil {
					if !errors.Is(err, errChunk) {
						t.Fatalf("error of another class: %v", err)
					}
					break
				}
				b.add(rec)
			}
			sent := 0
			for _, req := range b.requests() {
				body, err := wire.EncodePush(req)
				if err != nil {
					t.Fatal(err)
				}
				back, err := wire.DecodePush(body, wire.MediaPush)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range back.Streams {
					if _, err := wire.ParseLabels(s.Labels); err != nil {
						t.Fatal(err)
					}
					sent += len(s.Entries)
				}
				bodies = append(bodies, body)
			}
			if sent != b.lines {
				t.Fatalf("%d of %d lines are sent", sent, b.lines)
			}
			return bodies
		}
		if diff := cmp.Diff(send(), send()); diff != "" {
			t.Errorf("the second time differs:\n%s", diff)
		}
	})
}
