package read_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// written writes an export.
func exported(t *testing.T, e *read.Export, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := e.WriteTo(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// objects reads NDJSON.
func objects(t *testing.T, ndjson []byte) (rows []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(ndjson) {
		row := map[string]any{}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		rows = append(rows, row)
	}
	return rows
}

// TestExport: all formats have the same rows and columns, those that the filter
// means and no others.
func TestExport(t *testing.T) {
	conn := readtest.DB(t)
	p := print(t, conn, 300)
	requests := handle(t, conn, 100)
	begin(t, conn, 50)
	r := read.New(conn)
	lines := read.LineFilter{Namespace: "n", Texts: []read.Text{{Text: "n="}}, Range: read.Range{Since: readtest.T0}}
	inits := read.StartFilter{Version: "v1"}
	for name, export := range map[string]struct {
		of   func(read.Format, int) (*read.Export, error)
		rows int
	}{
		"lines": {func(f read.Format, limit int) (*read.Export, error) {
			return r.ExportLines(readtest.Tenant, lines, limit, f)
		}, len(p.find(&lines))},
		"requests": {func(f read.Format, limit int) (*read.Export, error) {
			return r.ExportRequests(readtest.Tenant, read.InvocationFilter{Trigger: "http"}, limit, f)
		}, count(requests, func(h *handled) bool { return h.trigger == "http" })},
		"none": {func(f read.Format, limit int) (*read.Export, error) {
			return r.ExportRequests("nobody", read.InvocationFilter{}, limit, f)
		}, 0},
		"starts": {func(f read.Format, limit int) (*read.Export, error) {
			return r.ExportStarts(readtest.Tenant, inits, limit, f)
		}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := export.of(read.NDJSON, 0)
			want := objects(t, exported(t, e, err))
			if export.rows >= 0 && len(want) != export.rows || export.rows < 0 && len(want) == 0 {
				t.Fatalf("%d rows, not %d", len(want), export.rows)
			}
			e, err = export.of(read.CSV, 0)
			sheet, err := csv.NewReader(bytes.NewReader(exported(t, e, err))).ReadAll()
			if err != nil || len(sheet) != len(want)+1 {
				t.Fatalf("%d records: %v", len(sheet), err)
			}
			e, err = export.of(read.Parquet, 0)
			file := exported(t, e, err)
			table, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
			if err != nil || table.NumRows() != int64(len(want)) {
				t.Fatalf("%v: %v", table, err)
			}
			var fields []string
			for _, f := range table.Schema().Fields() {
				fields = append(fields, f.Name())
			}
			slices.Sort(fields)
			if len(want) > 0 {
				if diff := cmp.Diff(slices.Sorted(maps.Keys(want[0])), fields); diff != "" {
					t.Errorf("columns of NDJSON and Parquet: %s", diff)
				}
			}
			head := slices.Sorted(slices.Values(sheet[0]))
			if diff := cmp.Diff(fields, head); diff != "" {
				t.Errorf("columns of Parquet and CSV: %s", diff)
			}
			for n, row := range want {
				for c, column := range sheet[0] {
					if text, ok := row[column].(string); ok && sheet[n+1][c] != text && strings.ToValidUTF8(sheet[n+1][c], "\ufffd") != text {
						t.Errorf("row %d: %s is %q, in CSV %q", n, column, text, sheet[n+1][c])
					}
				}
			}
			if len(want) > 3 {
				e, err = export.of(read.NDJSON, 3)
				if got := objects(t, exported(t, e, err)); len(got) != 3 {
					t.Errorf("%d rows of 3", len(got))
				}
			}
		})
	}
	t.Run("values", func(t *testing.T) {
		type line struct {
			Function   string            `parquet:"function"`
			Time       time.Time         `parquet:"ts,timestamp(nanosecond)"`
			Body       string            `parquet:"body"`
			Level      string            `parquet:"level"`
			Attributes map[string]string `parquet:"attributes"`
			Offset     uint64            `parquet:"offset"`
			FileID     string            `parquet:"file_id"`
		}
		e, err := r.ExportLines(readtest.Tenant, lines, 0, read.Parquet)
		file := exported(t, e, err)
		got, err := parquet.Read[line](bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		byOffset := map[uint64]*line{}
		for i := range got {
			byOffset[got[i].Offset] = &got[i]
			if i > 0 && got[i].Function == got[i-1].Function && got[i].Time.Before(got[i-1].Time) {
				t.Error("not in the order of time")
			}
		}
		for _, row := range p.rows {
			if !meets(&row, &lines) {
				continue
			}
			g := byOffset[row.Offset]
			if g == nil || g.Body != row.Body || !g.Time.Equal(row.Time) || g.Level != row.Severity.String() || g.FileID != fmt.Sprintf("%016x", row.FileID) || len(g.Attributes) != len(row.Attributes) {
				t.Errorf("%+v is of %+v", g, row)
			}
		}
	})
}

func count[T any](list []T, is func(*T) bool) (n int) {
	for i := range list {
		if is(&list[i]) {
			n++
		}
	}
	return n
}
