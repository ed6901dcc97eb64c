package schema

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
)

const packedID = "cb792a42-d5e6-d514-96dc-6da958266531"

// TestPack: the ID is taken out where it stands by itself, and once.
func TestPack(t *testing.T) {
	for body, want := range map[string]string{
		"":                                    "",
		"no ID":                               "no ID",
		packedID:                              idPlace,
		"id=" + packedID:                      "id=" + idPlace,
		packedID + " first":                   idPlace + " first",
		`{"request_id":"` + packedID + `"}`:   `{"request_id":"` + idPlace + `"}`,
		packedID + " " + packedID:             idPlace + " " + packedID,
		"x" + packedID:                        "x" + packedID,
		packedID + "_":                        packedID + "_",
		packedID + "-" + packedID:             packedID + "-" + packedID,
		strings.ToUpper(packedID):             strings.ToUpper(packedID),
		"a byte " + idPlace + " of its own":   "a byte  of its own",
		idPlace + packedID + idPlace + " end": idPlace + " end",
	} {
		before, behind, whole := pack(body, packedID)
		got := before
		if !whole {
			got += idPlace + behind
		}
		if got != want {
			t.Errorf("%q is packed as %q, want %q", body, got, want)
		}
	}
	for _, id := range []string{"1", "trace:0af7651916cd43dd"} {
		if _, _, whole := pack("id="+id, id); !whole {
			t.Errorf("%s is taken out", id)
		}
	}
}

// TestBody: whoever reads body reads the line, whatever request it is given
// later, and a search by the packed text finds it.
func TestBody(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	row := func(offset uint64, body, request string, revision uint64) LogRow {
		return LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: "t", Function: "f", Instance: "i"},
				Time: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), Stream: faas.Stdout, Body: body, Offset: offset,
			},
			RequestID: request, Attribution: faas.AttributionExplicit, Revision: revision,
		}
	}
	const other = "0e1f2a3b-d5e6-d514-96dc-6da958266531"
	insertRows(t, conn, &Logs,
		row(1, "begin RequestId: "+packedID+" end", packedID, 1),
		row(2, "of "+packedID, other, 1),
		row(3, "of "+packedID, "", 1),
		row(4, "of "+packedID+" and "+other, packedID, 1),
		row(4, "of "+packedID+" and "+other, other, 2), // a correction
		row(5, "", packedID, 1))
	var got []string
	const sql = "SELECT groupArray(concat(request_id, ': ', body)) FROM (SELECT *, body FROM logs FINAL WHERE position(body, $1) > 0 ORDER BY offset)"
	if err := conn.QueryRow(t.Context(), sql, packedID).Scan(&got); err != nil {
		t.Fatal(err)
	}
	want := []string{
		packedID + ": begin RequestId: " + packedID + " end",
		other + ": of " + packedID,
		": of " + packedID,
		other + ": of " + packedID + " and " + other,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var packedBytes uint64
	if err := conn.QueryRow(t.Context(), "SELECT sum(length(packed)) FROM logs FINAL").Scan(&packedBytes); err != nil {
		t.Fatal(err)
	}
	if want := uint64(len("begin RequestId: . end"+"of "+"of "+"of  and .") + 3*len(packedID)); packedBytes != want {
		t.Errorf("texts take %d bytes, want %d", packedBytes, want)
	}
}

// TestUpgradeLines: lines of a store from before are what they were.
func TestUpgradeLines(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	all, err := known()
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), conn, all[:6]); err != nil {
		t.Fatal(err)
	}
	const lines = 20_000
	if err := conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO logs (tenant, function, ts, request_id, body, file_id, offset)
		SELECT 't', 'f', toDateTime64('2026-01-02 03:04:05', 9, 'UTC') + number, '%s', concat('of %[1]s, line ', toString(number)), 1, number FROM numbers($1)`, packedID), lines); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	var good, shown uint64
	sql := fmt.Sprintf("SELECT countIf(body = concat('of %s, line ', toString(offset))) FROM logs FINAL", packedID)
	if err := conn.QueryRow(t.Context(), sql).Scan(&good); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), "SELECT countIf(Body LIKE 'of %, line %') FROM otel_logs").Scan(&shown); err != nil {
		t.Fatal(err)
	}
	if good != lines || shown != lines {
		t.Errorf("%d and %d lines of %d are what they were", good, shown, lines)
	}
}
