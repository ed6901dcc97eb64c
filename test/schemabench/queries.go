package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/coldscope/coldscope/test/corpus/rows"
)

// A query is one kind of question, and the samples with which it is asked.
type query struct {
	name    string
	sql     func(*variant) string
	samples []sample
	// settings besides those of query/read.
	settings clickhouse.Settings
}

// sample is what a question is about.
type sample struct {
	function, request string
	from, to          time.Time
}

// timing is how long a question took, in milliseconds, of the engine's
// processor and for the one who asked.
type timing struct {
	P50     float64 `json:"p50"`
	P95     float64 `json:"p95"`
	CPU     float64 `json:"cpu"`
	Rows    float64 `json:"rows"` // read for one answer
	N       int     `json:"n"`
	Answers uint64  `json:"answers"` // a sum over the first answers, equal among variants
}

const (
	line    = "SELECT ts, stream, request_id, body, file_id, offset FROM TABLE FINAL\n"
	ours    = "WHERE tenant = {tenant:String} AND namespace = {namespace:String} AND function = {function:String}"
	all     = "WHERE tenant = {tenant:String}"
	within  = " AND ts >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Nano({to:Int64}, 'UTC')"
	about   = " AND request_id = {request:String}"
	inOrder = "\nORDER BY ts, file_id, offset LIMIT 5000"
	last    = "\nORDER BY ts DESC, file_id DESC, offset DESC LIMIT 100"
)

func requestOf(v *variant) string {
	switch v.find {
	case findKeys:
		return "WITH (SELECT (min(ts), max(ts)) FROM TABLE " + ours + about + ") AS found\n" + line + ours + about + " AND ts >= found.1 AND ts <= found.2" + inOrder
	case findIndex:
		return "WITH (SELECT (min(first), max(last)) FROM TABLE_requests " + ours + about + ") AS found\n" + line + ours + about + " AND ts >= found.1 AND ts <= found.2" + inOrder
	}
	return line + ours + about + inOrder
}

func requestAnywhere(v *variant) string {
	const read = line + all + " AND (namespace, function) IN (SELECT arrayJoin(found.3)) AND ts >= found.1 AND ts <= found.2" + about + inOrder
	switch v.find {
	case findKeys:
		return "WITH (SELECT (min(ts), max(ts), groupUniqArray((namespace, function))) FROM TABLE " + all + about + ") AS found\n" + read
	case findIndex:
		return "WITH (SELECT (min(first), max(last), groupUniqArray((namespace, function))) FROM TABLE_requests " + all + about + ") AS found\n" + read
	}
	return line + all + about + inOrder
}

func fixed(sql string) func(*variant) string { return func(*variant) string { return sql } }

func word(where, word string) func(*variant) string {
	return func(v *variant) string {
		return "SELECT count() FROM TABLE FINAL\n" + where + within + " AND " + strings.ReplaceAll(v.word, "WORD", word)
	}
}

// newestStreamed reads the newest lines in the order of the key, and drops the
// older versions of a line as they come.
func newestStreamed(v *variant) string {
	order := v.newest
	if order == "" {
		order = "ts DESC, file_id DESC, offset DESC"
	}
	return strings.Replace(line, " FINAL", "", 1) + ours + within + "\nORDER BY " + order + ", revision DESC LIMIT 1 BY ts, file_id, offset LIMIT 100"
}

// questions are asked of each variant.
func questions(requests, hours, days, whole []sample) []query {
	perMinute := "SELECT toUnixTimestamp(toStartOfMinute(ts)) AS minute, count() FROM TABLE FINAL\n" + ours + within + " GROUP BY minute ORDER BY minute"
	return []query{
		{name: "request", sql: requestOf, samples: requests},
		{name: "request, no function", sql: requestAnywhere, samples: requests},
		{name: "newest 100", sql: fixed(line + ours + within + last), samples: hours},
		{name: "newest 100, streamed", sql: newestStreamed, samples: hours},
		{name: "rare word", sql: word(ours, "quasarfault"), samples: days},
		{name: "common word", sql: word(ours, "timeout"), samples: days},
		{name: "rare word, all", sql: word(all, "quasarfault"), samples: whole},
		{name: "common word, all", sql: word(all, "timeout"), samples: whole},
		{name: "per minute", sql: fixed(perMinute), samples: days},
		{name: "per minute, no FINAL", sql: fixed(strings.Replace(perMinute, " FINAL", "", 1)), samples: days},
		{
			name: "per minute, FINAL over days", sql: fixed(perMinute), samples: days,
			settings: clickhouse.Settings{"do_not_merge_across_partitions_select_final": 0},
		},
		{name: "errors", sql: fixed(line + ours + within + " AND severity >= 17" + last), samples: days},
	}
}

const (
	rounds  = 3                       // of which the middle one counts
	atLeast = 1                       // times in a round, however long it takes
	roundOf = 1500 * time.Millisecond // what a round should not exceed
)

// time asks q of v.
func (s *store) time(ctx context.Context, v *variant, q *query) (timing, error) {
	sql := strings.NewReplacer("TABLE_requests", v.table()+"_requests", "TABLE", v.table()).Replace(q.sql(v))
	var t timing
	for i := range min(len(q.samples), 3, s.asked) { // once to warm up
		answer, _, err := s.ask(ctx, sql, q, &q.samples[i])
		if err != nil {
			return t, fmt.Errorf("ask %s for %s: %w", v.name, q.name, err)
		}
		t.Answers += answer
	}
	before, err := s.cpu()
	if err != nil {
		return t, err
	}
	var p50s, p95s []float64
	var read uint64
	for range rounds {
		var took []float64
		for begin := time.Now(); len(took) < (s.asked+rounds-1)/rounds && (len(took) < atLeast || time.Since(begin) < roundOf); t.N++ {
			at := time.Now()
			_, n, err := s.ask(ctx, sql, q, &q.samples[t.N%len(q.samples)])
			if err != nil {
				return t, fmt.Errorf("ask %s for %s: %w", v.name, q.name, err)
			}
			took = append(took, float64(time.Since(at).Microseconds())/1000)
			read += n
		}
		slices.Sort(took)
		p50s = append(p50s, took[len(took)/2])
		p95s = append(p95s, took[len(took)*95/100])
	}
	after, err := s.cpu()
	slices.Sort(p50s)
	slices.Sort(p95s)
	t.P50, t.P95 = p50s[rounds/2], p95s[rounds/2]
	t.CPU = float64((after - before).Milliseconds()) / float64(t.N)
	t.Rows = float64(read) / float64(t.N)
	return t, err
}

// ask returns a checksum of the answer, and how many rows were read for it.
func (s *store) ask(ctx context.Context, sql string, q *query, about *sample) (answer, read uint64, err error) {
	settings := clickhouse.Settings{"do_not_merge_across_partitions_select_final": 1, "max_threads": 2}
	maps.Copy(settings, q.settings)
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings),
		clickhouse.WithProgress(func(p *clickhouse.Progress) { read += p.Rows }),
		clickhouse.WithParameters(clickhouse.Parameters{
			"tenant": rows.Tenant, "namespace": rows.Namespace, "function": about.function, "request": about.request,
			"from": strconv.FormatInt(about.from.UnixNano(), 10), "to": strconv.FormatInt(about.to.UnixNano(), 10),
		}))
	found, err := s.conn.Query(ctx, sql)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = found.Close() }() // found.Err says what went wrong
	for found.Next() {
		var ts time.Time
		var stream, request, body string
		var a, b uint64
		var minute uint32
		switch len(found.Columns()) {
		case 1:
			err = found.Scan(&a)
		case 2:
			err = found.Scan(&minute, &a)
		default:
			err = found.Scan(&ts, &stream, &request, &body, &a, &b)
		}
		if err != nil {
			return 0, 0, err
		}
		answer += a + 31*b + uint64(minute)
	}
	return answer, read, found.Err()
}

// draw takes samples from the base: the more lines a function has, the more
// often it is drawn.
func (s *store) draw(ctx context.Context) ([]query, error) {
	const n = 20
	found, err := s.conn.Query(ctx, `SELECT function, request_id, ts FROM base
		WHERE cityHash64(file_id, offset) % {every:UInt64} = 0 ORDER BY cityHash64(offset, file_id) LIMIT 20`,
		clickhouse.Named("every", uint64(max(1, s.lines/2000))))
	if err != nil {
		return nil, fmt.Errorf("draw samples: %w", err)
	}
	defer func() { _ = found.Close() }()
	var requests, hours, days []sample
	for found.Next() {
		var a sample
		if err := found.Scan(&a.function, &a.request, &a.from); err != nil {
			return nil, fmt.Errorf("draw samples: %w", err)
		}
		requests = append(requests, a)
		a.to = a.from.Add(time.Hour)
		hours = append(hours, a)
		a.from, a.to = start, start.Add(s.span)
		days = append(days, a)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("draw samples: %w", err)
	}
	if len(requests) < n {
		return nil, fmt.Errorf("draw samples: only %d of %d", len(requests), n)
	}
	return questions(requests, hours, days, []sample{{from: start, to: start.Add(s.span)}}), nil
}
