package aggregator

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/aggregator/recall"
	"github.com/coldscope/coldscope/internal/faas"
)

// TestOwing: who told what has lines read again gives its room back when what it
// sent is stored, and is answered when the corrections are, too; after a failure
// at once.
func TestOwing(t *testing.T) {
	refused := errors.New("refused")
	for name, fails := range map[string]bool{"stored": false, "refused": true} {
		t.Run(name, func(t *testing.T) {
			a := New(DefaultConfig(), nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
			freed := 0
			_, span := a.tracer.Start(t.Context(), "submit")
			s := &submission{left: 1, done: make(chan error, 1), span: span, free: func() { freed++ }}
			m := &merger{Aggregator: a, correlator: correlate.New(a.cfg.Correlate), outstanding: map[*submission]bool{s: true}}
			write := func(err error) {
				b := m.gathering
				m.gathering = batch{}
				m.answer(writeResult{batch: &b, err: err})
			}
			m.owed.add([]correlate.Span{{Key: correlate.Key{Instance: "i"}}}, s)
			m.settled(s)
			write(nil)
			if freed != 1 || len(s.done) > 0 {
				t.Fatalf("freed %d times, answered: %t", freed, len(s.done) > 0)
			}
			clear(m.owed.spans) // there is no store to ask
			m.pay(t.Context())
			if len(s.done) > 0 {
				t.Fatal("answered before the corrections were stored")
			}
			want := error(nil)
			if fails {
				want = refused
			}
			write(want)
			if got := <-s.done; !errors.Is(got, want) || len(m.outstanding) > 0 {
				t.Errorf("answered %v, want %v", got, want)
			}
		})
	}
}

func second(n int) time.Time { return time.Unix(int64(n), 0) }

// TestRest: the newest lines of an instance come first, so that what is left of
// its spans ends where they do.
func TestRest(t *testing.T) {
	one, other := faas.Ref{Instance: "1"}, faas.Ref{Instance: "2"}
	span := func(ref faas.Ref, from, to int) recall.Span {
		return recall.Span{Ref: ref, From: second(from), To: second(to)}
	}
	spans := []recall.Span{span(one, 10, 20), span(one, 30, 40), span(one, 50, 60), span(other, 1, 2)}
	more, stuck := rest(spans, map[faas.Ref]*recall.Found{one: {Rest: second(35)}, other: {}})
	if len(more) != 2 || more[0] != span(one, 10, 20) || more[1] != span(one, 30, 35) || stuck {
		t.Errorf("%v, stuck: %t", more, stuck)
	}
	if more, stuck = rest(more, map[faas.Ref]*recall.Found{one: {Rest: second(35)}}); len(more) != 2 || !stuck {
		t.Errorf("%v, stuck: %t", more, stuck)
	}
	if more, stuck = rest(more, nil); len(more) > 0 || stuck {
		t.Errorf("%v, stuck: %t", more, stuck)
	}
}
