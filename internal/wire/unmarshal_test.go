package wire

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
)

// FuzzUnmarshal: the faster decoder takes what the standard one takes, for the
// same, and nothing else.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		`{"specversion":"1.0","id":"a","source":"s","type":"dev.coldscope.invocation.ended","time":"2026-12-01T10:00:00.123456789Z","data":{"tenant":"t","namespace":"n",` +
			`"function":"f","version":"1","instance":"i","request_id":"r","started_at":"2026-12-01T10:00:00+01:00","status":"ok","http_status":200,"duration":0.1,"memory_peak":1}}`,
		`[{"id":"a"},{"id":"b","data":{"name":"pull","start":"2026-12-01T10:00:00Z","end":"2026-12-01T10:00:01Z","attributes":{"bytes":1,"hit":true,"x":null}}}]`,
		"{\"id\":\"a\xffb\"}", `{"id":"\ud800x"}`, `{"id":"a","id":"b"}`, `{"ID":"a"}`, `{"id":1}`, `{"id":null}`, `{"id":"a"} x`, `{"id":"a"`, "{\"id\":\"a\nb\"}",
		`{"duration":1e400}`, `{"duration":01}`, `{"http_status":1.5}`, `{"id":"\x"}`, `null`, ``, ` {"id":"a"} `, `{"time":"2026-13-01T00:00:00Z"}`,
		`{"data":{"a":1,}}`, `{"data":tru}`, `{"unknown":{"a":[1,{"b":tru}]}}`, `{"unknown":"\q"}`, `{"id":"a",}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, into := range []func() any{
			func() any { return new(envelope) }, func() any { return new([]json.RawMessage) }, func() any { return new(faas.Ref) },
			func() any { return new(faas.InvocationEnded) }, func() any { return new(faas.PhaseDone) }, func() any { return new(faas.Ledger) },
		} {
			got, want := into(), into()
			err, standard := unmarshal(b, got), json.Unmarshal(b, want)
			if fmt.Sprint(err) != fmt.Sprint(standard) {
				t.Fatalf("%T: %v, the standard decoder says %v", got, err, standard)
			}
			if diff := cmp.Diff(want, got); err == nil && diff != "" {
				t.Fatalf("%T (-standard +ours):\n%s", got, diff)
			}
		}
	})
}
