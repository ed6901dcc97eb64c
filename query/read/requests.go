package read

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// InvocationFilter says which invocations are meant. Empty fields say nothing.
type InvocationFilter struct {
	Namespace, Function, Version, Instance string
	Prefix                                 string // of the request's ID
	Trigger                                string
	Statuses                               []faas.Status
	ClosedBy                               []string // how the instance ended, where that is all that is known of the request's end
	HTTPStatus                             int
	Error                                  string // a part of it, in any case
	MinDuration, MaxDuration               time.Duration
	Cold                                   *bool
	Initialization                         faas.Initialization // of the instance
	Host, Digest                           string              // of the instance
	Texts                                  []Text              // in lines of the request; each in any of them
	Range
}

// InvocationQuery asks for invocations of a filter, in an order.
type InvocationQuery struct {
	InvocationFilter
	Sort      Sort
	Ascending bool
	After     Cursor
	Limit     int // at least 1
}

// Sort is what invocations are ordered by.
type Sort string

// The orders.
const (
	ByTime     Sort = "time"     // of the start at the instance
	ByDuration Sort = "duration" // in the handler
	ByInit     Sort = "init"     // how long it waited for its instance's start
)

// sorts are the SQL of each order: a number, -1 where there is none.
var sorts = map[Sort]string{
	ByTime:     "",
	ByDuration: "ifNull(" + duration + ", -1)",
	ByInit:     "if(ifNull(invocations.cold, false), ifNull(cold_wait_ns, -1), -1)",
}

// duration is that in the handler: what was told, else until the instance's end.
const duration = "coalesce(duration_ns, if(status IS NULL AND ended_at IS NULL AND closed_status IS NOT NULL, greatest(dateDiff('nanosecond', started_at, closed_at), 0), NULL))"

// Cursor is a place in the list of invocations: that behind one of its rows.
// Rows that arrive while somebody reads the list do not move it.
type Cursor struct {
	startedAt         int64 // nanoseconds; 0: the beginning
	request, instance string
	order             string // by which the list is ordered; empty for the newest first
	value             int64  // by which the row stands there, if that is not its time
}

// ErrCursor means that a text is not a cursor's.
var ErrCursor = errors.New("not a cursor that this list gave out")

// String gives the cursor as ParseCursor takes it.
func (c Cursor) String() string {
	parts := []string{strconv.FormatInt(c.startedAt, 36), c.request, c.instance}
	if c.order != "" {
		parts = append(parts, c.order, strconv.FormatInt(c.value, 36))
	}
	b, _ := json.Marshal(parts) // strings always encode
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote. The error is ErrCursor.
func ParseCursor(s string) (c Cursor, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	var parts []string
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != 3 && len(parts) != 5 {
		return Cursor{}, ErrCursor
	}
	if c.startedAt, err = strconv.ParseInt(parts[0], 36, 64); err != nil || c.startedAt <= 0 {
		return Cursor{}, ErrCursor
	}
	c.request, c.instance = parts[1], parts[2]
	if len(parts) == 5 {
		c.order = parts[3]
		if c.value, err = strconv.ParseInt(parts[4], 36, 64); err != nil {
			return Cursor{}, ErrCursor
		}
	}
	return c, nil
}

// order names the query's order, for its cursors.
func (q *InvocationQuery) order() string {
	order := ""
	if q.Sort != ByTime && q.Sort != "" {
		order = string(q.Sort)
	}
	if q.Ascending {
		order += "+"
	}
	return order
}

// CheckCursor says whether the query's cursor is one of its own order.
func (q *InvocationQuery) CheckCursor() error {
	if q.After.startedAt != 0 && q.After.order != q.order() {
		return errors.New("a cursor of another order")
	}
	return nil
}

// key are the conditions on the sort key's first columns.
func (f *InvocationFilter) key(c *conditions) {
	c.equal([2]string{"namespace", f.Namespace}, [2]string{"function", f.Function})
	c.within("started_at", f.Range)
}

// rest are all others.
func (f *InvocationFilter) rest(c *conditions) {
	c.equal([2]string{"instance", f.Instance}, [2]string{"ifNull(version, '')", f.Version}, [2]string{"ifNull(trigger, '')", f.Trigger})
	if f.Prefix != "" {
		c.add("startsWith(request_id, {:String})", f.Prefix)
	}
	if len(f.Statuses) > 0 {
		c.add("coalesce(status, closed_status, 'running') IN {:Array(String)}", texts(f.Statuses))
	}
	if len(f.ClosedBy) > 0 {
		c.add("status IS NULL AND ifNull(closed_by, '') IN {:Array(String)}", f.ClosedBy)
	}
	if f.HTTPStatus != 0 {
		c.add("ifNull(http_status, 0) = {:UInt16}", f.HTTPStatus)
	}
	if f.Error != "" {
		c.contains("ifNull(if(status IS NULL, closed_error, error), '')", Text{Text: f.Error, Fold: true})
	}
	if f.MinDuration > 0 {
		c.add("ifNull("+duration+" >= {:Int64}, false)", int64(f.MinDuration))
	}
	if f.MaxDuration > 0 {
		c.add("ifNull("+duration+" <= {:Int64}, false)", int64(f.MaxDuration))
	}
	if f.Cold != nil {
		c.add("ifNull(cold, false) = {:Bool}", *f.Cold)
	}
	f.instances(c)
	for _, t := range f.Texts {
		f.lines(c, t)
	}
}

// instances adds what is known of an instance by its start alone.
func (f *InvocationFilter) instances(c *conditions) {
	of := &conditions{prefix: c.prefix + "s", args: args{}}
	of.equal([2]string{"namespace", f.Namespace}, [2]string{"function", f.Function})
	n := len(of.list)
	of.equal([2]string{"ifNull(host, '')", f.Host}, [2]string{"ifNull(digest, '')", f.Digest}, [2]string{"ifNull(initialization, '')", string(f.Initialization)})
	if len(of.list) > n {
		c.in("(namespace, function, instance)", "SELECT namespace, function, instance FROM cold_starts FINAL", of)
	}
}

// lines adds that one of the request's lines contains a text.
func (f *InvocationFilter) lines(c *conditions, t Text) {
	of := &conditions{prefix: fmt.Sprint(c.prefix, "l", len(c.list), "_"), args: args{}}
	of.equal([2]string{"namespace", f.Namespace}, [2]string{"function", f.Function})
	around := f.Range // its lines are not all from the moment of its start
	if !around.Since.IsZero() {
		around.Since = around.Since.Add(-preamble)
	}
	if !around.Until.IsZero() {
		around.Until = around.Until.Add(longest)
	}
	of.within("ts", around)
	of.list = append(of.list, "request_id != ''")
	of.contains("body", t)
	c.in("(namespace, function, request_id)", "SELECT namespace, function, request_id FROM logs FINAL", of)
}

// in adds that columns are among those of a query of the tenant's.
func (c *conditions) in(columns, from string, of *conditions) {
	all := append([]string{"tenant = {tenant:String}"}, of.list...)
	c.list = append(c.list, columns+" IN ("+from+" WHERE "+strings.Join(all, " AND ")+")")
	maps.Copy(c.args, of.args)
}

// firstRequests is how much of the time is looked through first.
const firstRequests = 10 * time.Minute

// Invocations lists invocations: by default the newest first.
func (r *Reader) Invocations(ctx context.Context, tenant string, q InvocationQuery) (*InvocationList, error) {
	list := &InvocationList{Requests: make([]Invocation, 0, min(q.Limit, 100))}
	err := r.EachInvocation(ctx, tenant, q, func(v Invocation, at Cursor) bool {
		if len(list.Requests) == q.Limit {
			list.NextCursor = q.After.String()
			return false
		}
		q.After = at
		list.Requests = append(list.Requests, v)
		return true
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// EachInvocation calls yield with each invocation that q asks for, and with one
// more than its limit if there is one, until yield returns false. The cursor is
// the place behind it.
func (r *Reader) EachInvocation(ctx context.Context, tenant string, q InvocationQuery, yield func(Invocation, Cursor) bool) error {
	if err := q.CheckCursor(); err != nil {
		return err
	}
	parts := []Range{q.Range}
	if q.Sort == ByTime || q.Sort == "" {
		var from *int64
		if q.After.startedAt != 0 {
			from = &q.After.startedAt
		}
		parts = spans(q.Range, from, q.Ascending, firstRequests, time.Now())
	}
	left := q.Limit + 1
	for _, span := range parts {
		part := q
		part.Range = span
		n, more, err := r.invocationsOnce(ctx, tenant, part, left, yield)
		if left -= n; err != nil || !more || left == 0 {
			return err
		}
	}
	return nil
}

// invocationsOnce runs one query. It gives how many rows there were, and
// whether yield wants more.
func (r *Reader) invocationsOnce(ctx context.Context, tenant string, q InvocationQuery, limit int, yield func(Invocation, Cursor) bool) (n int, more bool, err error) {
	sql, a, err := q.sql(tenant, limit)
	if err != nil {
		return 0, false, err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the query when there is enough
	defer cancel()
	rows, err := r.conn.Query(r.limits.Context(ctx, limit), sql, named(a)...)
	if err != nil {
		return 0, false, fmt.Errorf("query requests: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err has said what went wrong
	for rows.Next() {
		var row invocationRow
		if err := rows.ScanStruct(&row); err != nil {
			return n, false, fmt.Errorf("query requests: %w", err)
		}
		n++
		v := row.invocation()
		at := Cursor{row.StartedAt.UnixNano(), row.RequestID, row.Instance, q.order(), row.sortValue(q.Sort)}
		if !yield(v, at) {
			return n, false, nil
		}
	}
	if err := rows.Err(); err != nil {
		return n, false, fmt.Errorf("query requests: %w", err)
	}
	return n, true, nil
}

// sortValue is what sorts gives for the row, whose end is put in.
func (r *invocationRow) sortValue(by Sort) int64 {
	switch {
	case by == ByDuration && r.DurationNS != nil:
		return *r.DurationNS
	case by == ByInit && value(r.Cold) && r.ColdWaitNS != nil:
		return *r.ColdWaitNS
	case by == ByDuration, by == ByInit:
		return -1
	}
	return 0
}

// sql gives the query for q.
func (q *InvocationQuery) sql(tenant string, limit int) (string, args, error) {
	key, rest := &conditions{prefix: "k", args: args{}}, &conditions{prefix: "r", args: args{}}
	q.key(key)
	q.rest(rest)
	op, direction := "<", " DESC"
	if q.Ascending {
		op, direction = ">", ""
	}
	by := sorts[q.Sort]
	if at := q.After; at.startedAt != 0 {
		if by == "" {
			rest.add("started_at "+op+"= fromUnixTimestamp64Nano({:Int64}, 'UTC')", at.startedAt)
			rest.add("(started_at, request_id, instance) "+op+" (fromUnixTimestamp64Nano({:Int64}, 'UTC'), {:String}, {:String})", at.startedAt, at.request, at.instance)
		} else {
			rest.add("("+by+", started_at, request_id, instance) "+op+" ({:Int64}, fromUnixTimestamp64Nano({:Int64}, 'UTC'), {:String}, {:String})",
				at.value, at.startedAt, at.request, at.instance)
		}
	}
	order := "started_at" + direction + ", request_id" + direction + ", instance" + direction
	if by != "" {
		order = by + direction + ", " + order
	}
	sql, err := query("requests", struct {
		ByTime          bool
		Order           string
		Key, Conditions []string
	}{by == "", order, key.list, rest.list})
	return sql, with(with(args{"tenant": tenant, "limit": limit}, key.args), rest.args), err
}
