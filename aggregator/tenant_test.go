package aggregator

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// TestEventsAreTheirSenders: whatever tenant an event names, it is its sender's.
func TestEventsAreTheirSenders(t *testing.T) {
	event := faas.Event{ID: "1", Source: "s", Time: time.Unix(1, 0), Ref: faas.Ref{Tenant: "own", Function: "f", Instance: "i"}, Data: faas.Ready{}}
	own, err := wire.EncodeEvent(&event)
	if err != nil {
		t.Fatal(err)
	}
	event.Tenant = ""
	none, err := wire.EncodeEvent(&event)
	if err != nil {
		t.Fatal(err)
	}
	known, proven := wire.Sender{Tenant: "sender"}, wire.Sender{Name: "n", Tenant: "sender", Proven: true}
	for name, c := range map[string]struct {
		sender wire.Sender
		header string
		body   []byte
		want   string
	}{
		"own":                      {wire.Sender{}, "header", own, "header"},
		"nothing":                  {wire.Sender{}, "", own, "default"},
		"open port":                {known, "sender", own, "sender"},
		"closed port":              {proven, "", own, "sender"},
		"the guard's tenant first": {proven, "header", none, "sender"},
	} {
		r := httptest.NewRequestWithContext(wire.WithSender(t.Context(), c.sender), http.MethodPost, wire.PathEvents, bytes.NewReader(c.body))
		r.Header.Set("Content-Type", wire.MediaEvent)
		if c.header != "" {
			r.Header.Set(wire.HeaderTenant, c.header)
		}
		batch, err := readEvents(r, tenantOf(r), c.body)
		if err != nil || len(batch.Events) != 1 || batch.Events[0].Tenant != c.want {
			t.Errorf("%s: %+v, %v, want tenant %q", name, batch.Events, err, c.want)
		}
	}
}
