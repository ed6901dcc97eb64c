package aggregator_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// The CloudEvents SDK as a sender, in binary and in structured mode.
func TestCloudEventsClient(t *testing.T) {
	for mode, with := range map[string]func(context.Context) context.Context{
		"binary": cloudevents.WithEncodingBinary, "structured": cloudevents.WithEncodingStructured,
	} {
		t.Run(mode, func(t *testing.T) {
			conn := migrated(t)
			s := start(t, conn)
			client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(s.url+wire.PathEvents), cloudevents.WithHeader(wire.HeaderTenant, "acme"))
			must(t, err)
			e := cloudevents.NewEvent()
			e.SetID("1")
			e.SetSource("host-17/a")
			e.SetTime(at(0))
			e.SetType(string(faas.TypeDemanded))
			must(t, e.SetData(cloudevents.ApplicationJSON, map[string]any{"function": "cart", "instance": "i-1", "initialization": "on-demand", "image": "cart:1"}))
			for range 2 {
				if result := client.Send(with(t.Context()), e); !cloudevents.IsACK(result) {
					t.Fatal(result)
				}
			}
			e.SetType("com.example.other")
			if result := client.Send(with(t.Context()), e); cloudevents.IsACK(result) || !strings.Contains(result.Error(), "400") {
				t.Errorf("another's event: %v", result)
			}
			got := query(t, conn, `SELECT concat(tenant, ' ', function, ' ', instance, ' ', host, ' ', toString(ts = fromUnixTimestamp64Nano(`+
				strconv.FormatInt(at(0).UnixNano(), 10)+`)), ' ', toString(count())) FROM logs FINAL GROUP BY ALL`)
			if diff := cmp.Diff("acme cart i-1 host-17/a 1 1\n", got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What an extension in a function's sandbox forwards, twice.
func TestLambda(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	stamp := func(ms int) string { return at(ms).Format("2006-01-02T15:04:05.000Z") }
	body := fmt.Sprintf(`[{"time":"%s","type":"platform.start","record":{"requestId":"r-1","version":"7"}},
		{"time":"%s","type":"function","record":"hello\n"},
		{"time":"%s","type":"function","record":{"requestId":"r-1","message":"hi"}},
		{"time":"%s","type":"platform.extension","record":{"name":"x"}},
		{"time":"%s","type":"platform.runtimeDone","record":{"requestId":"r-1","status":"success","metrics":{"durationMs":30}}}]`,
		stamp(0), stamp(10), stamp(20), stamp(21), stamp(30))
	to := s.url + "/v1/lambda/telemetry?" + url.Values{"function": {"cart"}, "instance": {"i-1"}, "tenant": {"victim"}}.Encode()
	for range 2 {
		if code, text, _ := send(t, to, "application/json", "", []byte(body)); code != http.StatusNoContent {
			t.Fatal(code, text)
		}
	}
	want := "default window r-1 hello\ndefault explicit r-1 {\"requestId\":\"r-1\",\"message\":\"hi\"}\n"
	got := query(t, conn, `SELECT concat(tenant, ' ', toString(attribution), ' ', request_id, ' ', body) FROM logs FINAL WHERE stream != 'platform' ORDER BY ts`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := query(t, conn, "SELECT concat(request_id, ' ', status, ' ', toString(duration_ns)) FROM invocations FINAL"); got != "r-1 ok 30000000\n" {
		t.Error(got)
	}
	if code, text, _ := send(t, to, "application/json", "", []byte("{}")); code != 400 || !strings.Contains(text, "not a JSON array") {
		t.Errorf("%d %s", code, text)
	}
}
