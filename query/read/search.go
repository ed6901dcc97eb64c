package read

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// LineFilter says which lines are meant. Empty fields say nothing.
type LineFilter struct {
	Namespace, Function, Version, Instance, Host string
	Request                                      string // whose lines
	Trace                                        string
	File                                         *uint64 // the log file's generation
	Offset                                       *uint64 // in that file
	Streams                                      []faas.Stream
	Levels                                       []faas.Severity // the lowest of a range each, 0 for not said
	Attributions                                 []faas.Attribution
	Texts                                        []Text // all of them in the body
	Pattern                                      string // a regular expression (RE2) that the body matches
	Fields                                       []Field
	Range
}

// Field is a condition on one attribute of a line.
type Field struct {
	Key   string
	Op    string // one of FieldOps, or empty: the line has the attribute
	Value string
}

// FieldOps are the ways to compare an attribute: as text, with a regular
// expression, and as a number. Where one is the beginning of another, that
// other comes first.
var FieldOps = []string{"!=", "!~", ">=", "<=", "=", "~", ">", "<"}

// CheckPattern says whether s is a regular expression that the store takes.
func CheckPattern(s string) error {
	if _, err := syntax.Parse(s, syntax.Perl); err != nil {
		return fmt.Errorf("not a regular expression (RE2): %w", err)
	}
	return nil
}

// conditions are the filter's that every revision of a line meets, or none.
func (f *LineFilter) conditions(prefix string) *conditions {
	c := &conditions{prefix: prefix}
	c.equal([2]string{"namespace", f.Namespace}, [2]string{"function", f.Function}, [2]string{"version", f.Version},
		[2]string{"instance", f.Instance}, [2]string{"host", f.Host}, [2]string{"trace_id", f.Trace})
	c.within("ts", f.Range)
	if f.File != nil {
		c.add("file_id = {:UInt64}", *f.File)
	}
	if f.Offset != nil {
		c.add("offset = {:UInt64}", *f.Offset)
	}
	if len(f.Streams) > 0 {
		c.add("stream IN {:Array(String)}", texts(f.Streams))
	}
	if len(f.Levels) > 0 {
		levels := make([]uint64, len(f.Levels))
		for i, l := range f.Levels {
			levels[i] = uint64(l)
		}
		c.add("toUInt8(if(severity = 0, 0, intDiv(severity - 1, 4) * 4 + 1)) IN {:Array(UInt8)}", levels)
	}
	for _, t := range f.Texts {
		c.text(t)
	}
	if f.Pattern != "" {
		c.add("match(body, {:String})", f.Pattern)
	}
	for _, field := range f.Fields {
		c.field(field)
	}
	return c
}

func (c *conditions) field(f Field) {
	switch f.Op {
	case "":
		c.add("mapContains(attributes, {:String})", f.Key)
	case "=", "!=":
		c.add("attributes[{:String}] "+f.Op+" {:String}", f.Key, f.Value)
	case "~":
		c.add("match(attributes[{:String}], {:String})", f.Key, f.Value)
	case "!~":
		c.add("NOT match(attributes[{:String}], {:String})", f.Key, f.Value)
	default:
		op := FieldOps[slices.Index(FieldOps, f.Op)]
		c.add("ifNull(toFloat64OrNull(attributes[{:String}]) "+op+" {:Float64}, false)", f.Key, f.Value)
	}
}

// content says whether the filter looks into the lines.
func (f *LineFilter) content() bool {
	return len(f.Texts) > 0 || f.Pattern != "" || len(f.Fields) > 0
}

func texts[T ~string](list []T) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = string(s)
	}
	return all
}

// LineCursor is a place in a list of lines: that behind one of them. Lines
// that arrive while somebody reads the list do not move it.
type LineCursor struct {
	ts                  int64 // nanoseconds
	file, offset        uint64
	namespace, function string
}

// CursorAt is the place of the line with that time, file and offset, in a
// function's lines.
func CursorAt(l *FoundLine) LineCursor {
	file, _ := strconv.ParseUint(l.FileID, 16, 64) // it is ours
	return LineCursor{nanos(l.Time), file, l.Offset, l.Namespace, l.Function}
}

// String gives the cursor as ParseLineCursor takes it.
func (c LineCursor) String() string {
	b, _ := json.Marshal([]string{ // strings always encode
		strconv.FormatInt(c.ts, 36), strconv.FormatUint(c.file, 36), strconv.FormatUint(c.offset, 36), c.namespace, c.function,
	})
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseLineCursor reads what String wrote. The error is ErrCursor.
func ParseLineCursor(s string) (c LineCursor, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return c, ErrCursor
	}
	var parts []string
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != 5 {
		return c, ErrCursor
	}
	var errs [3]error
	c.ts, errs[0] = strconv.ParseInt(parts[0], 36, 64)
	c.file, errs[1] = strconv.ParseUint(parts[1], 36, 64)
	c.offset, errs[2] = strconv.ParseUint(parts[2], 36, 64)
	if errs != [3]error{} || c.ts < 0 {
		return LineCursor{}, ErrCursor
	}
	c.namespace, c.function = parts[3], parts[4]
	return c, nil
}

// LineQuery asks for lines of a filter in the order of time.
type LineQuery struct {
	LineFilter
	OldestFirst bool
	After       *LineCursor // nil: from the beginning
	Limit       int         // at least 1
}

// foundRow is a row of search.sql.
type foundRow struct {
	Time        time.Time           `ch:"ts"`
	Namespace   string              `ch:"namespace"`
	Function    string              `ch:"function"`
	Version     string              `ch:"version"`
	Instance    string              `ch:"instance"`
	Host        string              `ch:"host"`
	Stream      string              `ch:"stream"`
	Severity    uint8               `ch:"severity"`
	RequestID   string              `ch:"request_id"`
	Attribution string              `ch:"attribution"`
	Candidates  []string            `ch:"candidates"`
	Text        string              `ch:"text"` // packed, as far as it is read
	Size        uint64              `ch:"size"` // of all of it
	Truncated   uint64              `ch:"truncated"`
	TraceID     string              `ch:"trace_id"`
	SpanID      string              `ch:"span_id"`
	Attributes  schema.AttributeMap `ch:"attributes"`
	FileID      uint64              `ch:"file_id"`
	Offset      uint64              `ch:"offset"`
	Revision    uint64              `ch:"revision"`
}

func (r *foundRow) cursor() LineCursor {
	return LineCursor{nanos(r.Time), r.FileID, r.Offset, r.Namespace, r.Function}
}

func (r *foundRow) line() FoundLine {
	l := lineRow{
		Time: r.Time, Stream: r.Stream, RequestID: r.RequestID, Attribution: r.Attribution, Candidates: r.Candidates,
		Text: r.Text, Size: r.Size, Truncated: r.Truncated, FileID: r.FileID, Offset: r.Offset,
	}
	found := FoundLine{
		Namespace: r.Namespace, Function: r.Function, Version: r.Version, Instance: r.Instance, Host: r.Host, Line: l.line(),
		Level: faas.Severity(r.Severity).String(), TraceID: r.TraceID, SpanID: r.SpanID,
	}
	if len(r.Attributes) > 0 {
		found.Attributes = make(map[string]string, len(r.Attributes))
		for _, a := range r.Attributes {
			found.Attributes[a.Key] = a.Value
		}
	}
	return found
}

// maxSearch bounds the bytes of all bodies of one answer.
const maxSearch = 16 << 20

// Lines finds lines. Those that arrive meanwhile, or are corrected, leave the
// places of others as they are: reading on by the cursor gives each line that
// was there at the beginning once.
func (r *Reader) Lines(ctx context.Context, tenant string, q LineQuery) (*LineList, error) {
	list := &LineList{Lines: []FoundLine{}}
	bodies := 0
	more := false
	err := r.EachLine(ctx, tenant, q, func(row FoundLine) bool {
		if bodies += len(row.Body); len(list.Lines) == q.Limit || len(list.Lines) > 0 && bodies > maxSearch {
			more = true
			return false
		}
		list.Lines = append(list.Lines, row)
		return true
	})
	if err != nil {
		return nil, err
	}
	if more {
		list.NextCursor = CursorAt(&list.Lines[len(list.Lines)-1]).String()
	}
	return list, nil
}

// EachLine calls yield with each line that q asks for, and with one more than
// its limit if there is one, until yield returns false.
func (r *Reader) EachLine(ctx context.Context, tenant string, q LineQuery, yield func(FoundLine) bool) error {
	for _, span := range q.spans(time.Now()) {
		part := q
		part.Range = span
		more, err := r.eachLine(ctx, tenant, part, yield)
		if err != nil || !more.rest {
			return err
		}
		q.Limit -= more.given
	}
	return nil
}

// spans are the times that are looked through one after the other.
func (q *LineQuery) spans(now time.Time) []Range {
	if q.Request != "" || q.File != nil {
		return []Range{q.Range}
	}
	var from *int64
	if q.After != nil {
		from = &q.After.ts
	}
	return spans(q.Range, from, q.OldestFirst, time.Hour, now)
}

// progress says how a part of a search ended.
type progress struct {
	given int  // lines
	rest  bool // there may be more elsewhere: this part has no more
}

// spare is how many rows more than lines are asked for: some lines are stored
// several times.
func spare(lines int) int { return lines + lines/8 + 8 }

// eachLine is EachLine of one part of the time. Where so many rows are of the
// same lines that there are too few lines, it asks again for what is behind.
func (r *Reader) eachLine(ctx context.Context, tenant string, q LineQuery, yield func(FoundLine) bool) (progress, error) {
	var p progress
	for {
		limit := spare(q.Limit + 1 - p.given)
		rows, last, full, err := r.linesOnce(ctx, tenant, q, limit, func(l FoundLine) bool {
			p.given++
			return yield(l) && p.given <= q.Limit
		})
		if err != nil || full {
			return p, err
		}
		if rows < limit {
			p.rest = true
			return p, nil
		}
		q.After = &last
	}
}

// linesOnce runs one query. It gives how many rows there were, the place of
// the last one, and whether yield had enough.
func (r *Reader) linesOnce(ctx context.Context, tenant string, q LineQuery, limit int, yield func(FoundLine) bool) (rows int, last LineCursor, full bool, err error) {
	name, sql, a, err := q.sql(tenant, limit)
	if err != nil {
		return 0, last, false, err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the query when there is enough
	defer cancel()
	result, err := r.conn.Query(r.limits.Context(ctx, limit), sql, named(a)...)
	if err != nil {
		return 0, last, false, fmt.Errorf("query %s: %w", name, err)
	}
	defer func() { _ = result.Close() }() // result.Err has said what went wrong
	for result.Next() {
		var row foundRow
		if err := result.ScanStruct(&row); err != nil {
			return 0, last, false, fmt.Errorf("query %s: %w", name, err)
		}
		at := row.cursor()
		if rows++; rows > 1 && at == last {
			continue // an earlier revision
		}
		last = at
		if !yield(row.line()) {
			return rows, last, true, nil
		}
	}
	if err := result.Err(); err != nil {
		return 0, last, false, fmt.Errorf("query %s: %w", name, err)
	}
	return rows, last, false, nil
}

// sql gives the query for q.
func (q *LineQuery) sql(tenant string, limit int) (name, sql string, a args, err error) {
	c := q.conditions("")
	if q.After != nil {
		c.after(*q.After, q.OldestFirst)
	}
	a = with(args{"tenant": tenant, "max_body": maxBody, "limit": limit}, c.args)
	choices := struct {
		Conditions                         []string
		OldestFirst, OfRequest, Attributed bool
	}{c.list, q.OldestFirst, q.Request != "", len(q.Attributions) > 0}
	name = "search"
	if choices.OfRequest || choices.Attributed {
		name = "search_final"
		a["request"], a["attributions"] = q.Request, texts(q.Attributions)
	}
	sql, err = query(name, choices)
	return name, sql, a, err
}

// after adds the condition that a line is behind the place. The time alone is
// said, too: it is what makes the sort key prune.
func (c *conditions) after(at LineCursor, oldestFirst bool) {
	op := "<"
	if oldestFirst {
		op = ">"
	}
	c.add("ts "+op+"= fromUnixTimestamp64Nano({:Int64}, 'UTC')", at.ts)
	c.add("(ts, file_id, offset, namespace, function) "+op+" (fromUnixTimestamp64Nano({:Int64}, 'UTC'), {:UInt64}, {:UInt64}, {:String}, {:String})",
		at.ts, at.file, at.offset, at.namespace, at.function)
}
