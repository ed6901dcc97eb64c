// Package rows makes the rows that the aggregator would write for the corpus, to
// fill a store without one.
package rows

import (
	"bytes"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/aggregator/extract"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/test/corpus"
)

// What the rows are of.
const (
	Tenant    = "default"
	Namespace = "shop"
)

// push is how many lines the aggregator settles at one moment, whose revisions
// count on from that moment's.
const push = 1000

// Generator makes rows, the same each time. It is not safe for concurrent use.
type Generator struct {
	gen       *corpus.Gen
	extractor *extract.Extractor
	params    corpus.Params
	offsets   []uint64 // of each instance's file
	instances []string
	functions []string
	n         int
	settled   uint64 // the push's moment
	cold      int    // starts so far
}

// New makes rows of so many lines, spread over span from start on: 200 functions
// on 2000 instances, about ten lines a request.
func New(lines int, start time.Time, span time.Duration) (*Generator, error) {
	extractor, err := extract.New(extract.DefaultConfig())
	if err != nil {
		return nil, err
	}
	p := corpus.Params{
		Seed: 1, Functions: 200, Instances: 2000, Start: start, Step: max(span/time.Duration(lines), 1), Active: 16, RareP: 2e-4,
	}
	r := &Generator{gen: corpus.NewGen(p), extractor: extractor, params: p, offsets: make([]uint64, p.Instances)}
	for i := range p.Instances {
		r.instances = append(r.instances, corpus.InstName(i))
		r.functions = append(r.functions, corpus.FuncName(p.Func(i)))
	}
	return r, nil
}

// Next is the next line's row, and the start that its request waited for, if the
// line tells of one.
func (r *Generator) Next() (schema.LogRow, *Start) {
	var l corpus.Line
	r.gen.Next(&l)
	if r.n%push == 0 {
		r.settled = uint64(l.TS) + uint64(push*r.params.Step) + 20_000_000
	}
	row := schema.LogRow{
		Line: &faas.Line{
			Ref:  faas.Ref{Tenant: Tenant, Namespace: Namespace, Function: r.functions[l.Instance], Version: "v" + strconv.Itoa(1+l.Instance%2), Instance: r.instances[l.Instance]},
			Host: "node-" + strconv.Itoa(l.Instance%20), Time: time.Unix(0, l.TS), Stream: "stdout", Body: string(l.Text), FileID: (uint64(l.Instance) + 1) * 0x9E3779B97F4A7C15, Offset: r.offsets[l.Instance],
		},
		RequestID: l.RID, Attribution: "window", Revision: r.settled,
	}
	r.extractor.Line(row.Line, nil)
	if l.Stderr {
		row.Stream = "stderr"
	}
	if bytes.Contains(l.Text, []byte(l.RID)) {
		row.Attribution = "explicit"
	}
	r.offsets[l.Instance] += uint64(len(l.Text)) + 45 // what the runtime puts around it
	r.n++
	if l.InitMs < coldFrom {
		return row, nil
	}
	r.cold++
	return row, start(&row, r.cold, time.Duration(l.InitMs*float64(time.Millisecond)))
}

// coldFrom is what no warm start of the corpus takes, in milliseconds.
const coldFrom = 150

// Start is one instance's start.
type Start struct {
	ColdStart schema.ColdStartRow
	Init      schema.PhaseRow
}

// start is that of an instance of its own, of which the line is the first.
func start(line *schema.LogRow, n int, took time.Duration) *Start {
	instance := line.Instance + "-" + strconv.Itoa(n)
	ready := line.Time
	begun := ready.Add(-took)
	return &Start{
		ColdStart: schema.ColdStartRow{
			Tenant: line.Tenant, Namespace: line.Namespace, Function: line.Function, Instance: instance, Version: &line.Version,
			RequestID: &line.RequestID, DemandedAt: &begun, ReadyAt: &ready,
		},
		Init: schema.PhaseRow{
			Tenant: line.Tenant, Namespace: line.Namespace, Function: line.Function, Instance: instance, Version: line.Version,
			Phase: "init", Start: begun, End: ready, Revision: line.Revision,
		},
	}
}
