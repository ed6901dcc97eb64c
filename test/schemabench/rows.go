package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/test/corpus"
)

// What the rows are of.
const (
	tenant    = "default"
	namespace = "shop"
)

// start is at noon, so that the lines fall into two days.
var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// push is how many lines the aggregator settles at one moment, whose revisions
// count on from that moment's.
const push = 1000

// rows makes the rows that the aggregator would write for the corpus.
type rows struct {
	gen       *corpus.Gen
	params    corpus.Params
	offsets   []uint64 // of each instance's file
	instances []string
	functions []string
	n         int
	settled   uint64 // the push's moment
}

func newRows(lines int, span time.Duration) *rows {
	p := corpus.Params{
		Seed: 1, Functions: 200, Instances: 2000, Start: start, Step: max(span/time.Duration(lines), 1), Active: 16, RareP: 2e-4,
	}
	r := &rows{gen: corpus.NewGen(p), params: p, offsets: make([]uint64, p.Instances)}
	for i := range p.Instances {
		r.instances = append(r.instances, corpus.InstName(i))
		r.functions = append(r.functions, corpus.FuncName(p.Func(i)))
	}
	return r
}

func (r *rows) next() schema.LogRow {
	var l corpus.Line
	r.gen.Next(&l)
	if r.n%push == 0 {
		r.settled = uint64(l.TS) + uint64(push*r.params.Step) + 20_000_000
	}
	row := schema.LogRow{
		Line: &faas.Line{
			Ref:  faas.Ref{Tenant: tenant, Namespace: namespace, Function: r.functions[l.Instance], Version: "v" + strconv.Itoa(1+l.Instance%2), Instance: r.instances[l.Instance]},
			Host: "node-" + strconv.Itoa(l.Instance%20), Time: time.Unix(0, l.TS), Stream: "stdout", Body: string(l.Text), FileID: (uint64(l.Instance) + 1) * 0x9E3779B97F4A7C15, Offset: r.offsets[l.Instance], Severity: severity(&l),
		},
		RequestID: l.RID, Attribution: "window", Revision: r.settled,
	}
	if l.Stderr {
		row.Stream = "stderr"
	}
	if r.n%5 == 0 {
		row.Attribution = "explicit"
	}
	row.Attributes = attributes(row.Body)
	r.offsets[l.Instance] += uint64(len(l.Text)) + 45 // what the runtime puts around it
	r.n++
	return row
}

func severity(l *corpus.Line) faas.Severity {
	switch {
	case len(l.Text) > 0 && l.Text[0] == '\t': // of a stack trace
		return faas.SeverityUnknown
	case l.Level == "debug":
		return 5
	case l.Level == "warn":
		return 13
	case l.Level == "error":
		return 17
	}
	return 9
}

// attributes are what a line says in fields, but for those with columns of
// their own and the message.
func attributes(body string) []faas.Attribute {
	var list []faas.Attribute
	add := func(key, value string) {
		switch key {
		case "ts", "level", "msg", "request_id", "requestId", "rid":
		default:
			list = append(list, faas.Attribute{Key: key, Value: value})
		}
	}
	if body[0] == '{' { // the corpus has no commas or colons within names and values but for ts and caller
		for field := range strings.SplitSeq(body[1:len(body)-1], `,"`) {
			if key, value, ok := strings.Cut(field, `":`); ok {
				add(strings.Trim(key, `"`), strings.Trim(value, `"`))
			}
		}
		return list
	}
	for rest := body; ; {
		at := strings.LastIndexByte(rest, ' ')
		key, value, ok := strings.Cut(rest[at+1:], "=")
		if !ok || at < 0 || strings.ContainsAny(key, `"/?`) {
			return list
		}
		add(key, value)
		rest = rest[:at]
	}
}

// load fills table with the corpus, in blocks, over the native protocol.
func (s *store) load(ctx context.Context, table string) error {
	into := schema.Logs
	into.Name = table
	blocks := make(chan []schema.LogRow, 1)
	go func() {
		defer close(blocks)
		for r := newRows(s.lines, s.span); r.n < s.lines; {
			b := make([]schema.LogRow, 0, s.block)
			for r.n < s.lines && len(b) < s.block {
				b = append(b, r.next())
			}
			select {
			case blocks <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	for b := range blocks {
		if err := into.Insert(ctx, s.conn, b); err != nil {
			return fmt.Errorf("load %s: %w", table, err)
		}
	}
	return ctx.Err()
}
