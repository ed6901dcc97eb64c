package read

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
)

func TestConfirm(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1_800_000_000, 0).UTC().Add(time.Duration(s) * time.Second) }
	within := Range{Since: at(10), Until: at(20)}
	ledger := func(file string, from, to int, complete bool) ledgerRow {
		return ledgerRow{FileID: file, From: at(from), To: at(to), Complete: complete}
	}
	seen := func(file string, last int) *printed { return &printed{last: map[string]time.Time{file: at(last)}} }
	bad := ledger("a", 0, 30, false)
	bad.RefusedLines, bad.LateLines, bad.TruncatedLines = 2, 3, 4
	other := ledger("b", 40, 50, false)
	other.RefusedLines, other.LateLines = 5, 6
	many := make([]ledgerRow, maxLedgers)
	for i := range many {
		many[i] = ledger("a", 0, 30, true)
	}
	lost := gapRow{FileID: "a", Offset: 7, Host: "h", From: new(at(12)), To: at(13), Bytes: 100, Reason: "pinned"}
	whole := gapRow{To: at(500), Reason: "spool"}

	for name, test := range map[string]struct {
		ledgers []ledgerRow
		gaps    []gapRow
		printed *printed
		want    Completeness
	}{
		"no account": {want: Completeness{State: Unknown}},
		"no account of the lines' file": {
			ledgers: []ledgerRow{ledger("a", 0, 30, false)}, printed: seen("b", 15), want: Completeness{State: Unknown},
		},
		"a later line":                       {ledgers: []ledgerRow{ledger("a", 0, 30, false)}, printed: seen("a", 15), want: Completeness{State: Complete}},
		"a later line, nothing printed":      {ledgers: []ledgerRow{ledger("a", 30, 40, false)}, want: Completeness{State: Complete}},
		"up to the end only":                 {ledgers: []ledgerRow{ledger("a", 0, 20, false)}, printed: seen("a", 20), want: Completeness{State: Unknown}},
		"the file has ended":                 {ledgers: []ledgerRow{ledger("a", 0, 15, true)}, printed: seen("a", 15), want: Completeness{State: Complete}},
		"ended, but a line came behind that": {ledgers: []ledgerRow{ledger("a", 0, 14, true)}, printed: seen("a", 15), want: Completeness{State: Unknown}},
		"ended before, nothing printed":      {ledgers: []ledgerRow{ledger("a", 0, 5, true)}, want: Completeness{State: Complete}},
		"idle before, nothing printed yet":   {ledgers: []ledgerRow{ledger("a", 0, 5, false)}, want: Completeness{State: Unknown}},
		"idle before, lines since":           {ledgers: []ledgerRow{ledger("a", 0, 5, false)}, printed: seen("a", 15), want: Completeness{State: Unknown}},
		"rotated within it": {
			ledgers: []ledgerRow{ledger("a", 0, 15, true), ledger("b", 16, 30, false)}, printed: seen("b", 17), want: Completeness{State: Complete},
		},
		"rotated, the old file not read to its end": {
			ledgers: []ledgerRow{ledger("a", 0, 15, false), ledger("b", 16, 30, false)}, want: Completeness{State: Unknown},
		},
		"rotated, the new file not read on": {
			ledgers: []ledgerRow{ledger("a", 0, 15, true), ledger("b", 16, 17, false)}, want: Completeness{State: Unknown},
		},
		"more files than can be looked at": {ledgers: many, want: Completeness{State: Unknown}},
		"refused lines":                    {ledgers: []ledgerRow{bad, other}, want: Completeness{State: Partial, RefusedLines: 2, LateLines: 3}},
		"another file's refused lines":     {ledgers: []ledgerRow{ledger("a", 0, 30, false), other}, want: Completeness{State: Complete}},
		"a truncated line":                 {ledgers: []ledgerRow{ledger("a", 0, 30, false)}, printed: &printed{truncated: 1}, want: Completeness{State: Partial, TruncatedLines: 1}},
		"a truncated line of another request": {
			ledgers: []ledgerRow{{FileID: "a", From: at(0), To: at(30), TruncatedLines: 4}}, want: Completeness{State: Complete},
		},
		"more lines than the page holds": {
			ledgers: []ledgerRow{{FileID: "a", From: at(0), To: at(30), TruncatedLines: 4}}, printed: &printed{more: true},
			want: Completeness{State: Partial, TruncatedLines: 4},
		},
		"a gap, confirmed": {
			ledgers: []ledgerRow{ledger("a", 0, 30, false)}, gaps: []gapRow{lost},
			want: Completeness{State: Partial, LostBytes: 100, Gaps: []Gap{{FileID: "a", Offset: 7, Host: "h", From: new(at(12)), To: at(13), Bytes: 100, Reason: faas.GapPinned}}},
		},
		"gaps, not confirmed": {
			gaps: []gapRow{lost, whole},
			want: Completeness{State: Partial, LostBytes: 100, Gaps: []Gap{
				{FileID: "a", Offset: 7, Host: "h", From: new(at(12)), To: at(13), Bytes: 100, Reason: faas.GapPinned}, {To: at(500), Reason: faas.GapSpool},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := test.printed
			if p == nil {
				p = &printed{}
			}
			if test.want.Gaps == nil {
				test.want.Gaps = []Gap{}
			}
			if diff := cmp.Diff(test.want, confirm(within, test.ledgers, test.gaps, p)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestLife: for a request that waited for the start, that counts; a request
// that has not ended lasts until now, or until its instance's end.
func TestLife(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1_800_000_000, 0).UTC().Add(time.Duration(s) * time.Second) }
	warm := Invocation{QueuedAt: new(at(1)), StartedAt: at(10), EndedAt: new(at(20))}
	running := Invocation{StartedAt: at(10)}
	stopped := &ColdStart{StoppedAt: new(at(15))}
	for name, test := range map[string]struct {
		page     Page
		start    *ColdStart
		from, to int
	}{
		"warm":                    {page: Page{Invocation: warm}, start: stopped, from: 10, to: 20},
		"cold":                    {page: Page{Invocation: warm, ColdStart: &ColdStart{DemandedAt: new(at(2))}}, from: 1, to: 20},
		"waited behind another":   {page: Page{Invocation: warm, ColdStart: &ColdStart{DemandedAt: new(at(-5))}}, from: -5, to: 20},
		"running":                 {page: Page{Invocation: running}, from: 10, to: 40},
		"its instance has ended":  {page: Page{Invocation: running}, start: stopped, from: 10, to: 15},
		"ended before it started": {page: Page{Invocation: Invocation{StartedAt: at(10), EndedAt: new(at(9))}}, from: 10, to: 10},
	} {
		got := life(&test.page, test.start, at(40))
		if !got.Since.Equal(at(test.from)) || !got.Until.Equal(at(test.to)) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
