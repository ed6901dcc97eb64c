package read

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// How a tail looks for lines.
const (
	// tailBatch is how many rows one look takes.
	tailBatch = 1000
	// A line's revision is its writer's clock, and it can be read a little after
	// that. So each look goes back a little, and now and then further, for what
	// was inserted late; what was given already is not given again.
	tailSlack     = 2 * time.Second
	tailDeepSlack = time.Minute
	tailDeepEvery = 10 * time.Second
	// tailReach is how old a line may be that is written now.
	tailReach = 15 * time.Minute
	// tailBehind is how far a tail that has been live may fall behind before it
	// leaves out what is in between.
	tailBehind = 10 * time.Second
	// tailSeen bounds how many lines are known as given.
	tailSeen = 200_000
)

// TailedLine is a line as a tail gives it.
type TailedLine struct {
	FoundLine
	Revision uint64 `json:"-"` // where to resume
	// Corrected says that the tail has given the line before, with another request.
	Corrected bool `json:"corrected,omitempty" doc:"The line was sent before; since then it was found out whose it is"`
}

type lineKey struct{ file, offset uint64 }

// Tail follows the lines of a filter as they are written. It is used by one
// goroutine.
type Tail struct {
	reader *Reader
	tenant string
	filter LineFilter

	mark   uint64             // revision up to which all was given, the slack aside
	place  *tailPlace         // while there is more than one look takes: behind its last row
	deepAt time.Time          // of the last look that went back far
	live   bool               // it had caught up once
	seen   map[lineKey]uint64 // revision by line
	floor  uint64             // what has a lower revision does not come any more
}

type tailPlace struct {
	revision, file, offset uint64
	ts                     int64
}

// Tail makes a tail of the filter's lines (its range aside) that are written
// after now, or, if resume is not 0, from behind that revision on.
func (r *Reader) Tail(tenant string, f LineFilter, resume uint64, now time.Time) *Tail {
	t := &Tail{reader: r, tenant: tenant, filter: f, mark: uint64(nanos(now)), seen: map[lineKey]uint64{}, deepAt: now}
	if resume != 0 {
		t.mark = max(min(resume, t.mark), uint64(max(0, nanos(now.Add(-tailReach)))))
	}
	t.floor = t.mark - min(t.mark, uint64(tailSlack))
	t.filter.Range = Range{}
	return t
}

// Seen tells the tail that its caller has the line already.
func (t *Tail) Seen(l *FoundLine) {
	at := CursorAt(l)
	t.seen[lineKey{at.file, at.offset}] = 0
}

// Next gives the lines that have come. more says that there are more already;
// left is how many were left out because the tail was too far behind.
func (t *Tail) Next(ctx context.Context, now time.Time) (lines []TailedLine, left uint64, more bool, err error) {
	if t.place != nil && t.live && now.Sub(time.Unix(0, int64(t.place.revision))) > tailBehind {
		if left, err = t.leaveOut(ctx, now); err != nil {
			return nil, 0, false, err
		}
	}
	rows, err := t.look(ctx, now)
	if err != nil {
		return nil, left, false, err
	}
	lines = t.give(rows)
	if more = len(rows) == tailBatch; more {
		last := &rows[len(rows)-1]
		t.place = &tailPlace{last.Revision, last.FileID, last.Offset, nanos(last.Time)}
	} else {
		t.place, t.live, t.mark = nil, true, max(t.mark, uint64(nanos(now)))
	}
	t.forget(now)
	return lines, left, more, nil
}

// give picks what has not been given yet.
func (t *Tail) give(rows []foundRow) (lines []TailedLine) {
	here := map[lineKey]int{} // index of the lines of this batch
	for i := range rows {
		row := &rows[i]
		key := lineKey{row.FileID, row.Offset}
		before, given := t.seen[key]
		t.seen[key] = max(before, row.Revision)
		if given && (row.Revision <= before || before == 0) {
			continue
		}
		line := TailedLine{FoundLine: row.line(), Revision: row.Revision, Corrected: given}
		if n, again := here[key]; again {
			line.Corrected = lines[n].Corrected
			lines[n] = line
			continue
		}
		here[key] = len(lines)
		lines = append(lines, line)
	}
	return lines
}

// look reads one batch.
func (t *Tail) look(ctx context.Context, now time.Time) ([]foundRow, error) {
	c := t.conditions(now)
	if p := t.place; p != nil {
		c.add("revision >= {:UInt64}", p.revision)
		c.add("(revision, ts, file_id, offset) > ({:UInt64}, fromUnixTimestamp64Nano({:Int64}, 'UTC'), {:UInt64}, {:UInt64})", p.revision, p.ts, p.file, p.offset)
	} else {
		slack := tailSlack
		if now.Sub(t.deepAt) >= tailDeepEvery {
			slack, t.deepAt = tailDeepSlack, now
		}
		c.add("revision > {:UInt64}", max(t.floor, t.mark-min(t.mark, uint64(slack))))
	}
	sql, err := query("tail", struct{ Conditions []string }{c.list})
	if err != nil {
		return nil, err
	}
	var rows []foundRow
	a := with(args{"tenant": t.tenant, "max_body": maxBody, "limit": tailBatch}, c.args)
	if err := t.reader.conn.Select(t.reader.limits.Context(ctx, tailBatch), &rows, sql, named(a)...); err != nil {
		return nil, fmt.Errorf("query tail: %w", err)
	}
	return rows, nil
}

func (t *Tail) conditions(now time.Time) *conditions {
	c := t.filter.conditions("")
	c.within("ts", Range{Since: now.Add(-tailReach)})
	if t.filter.Request != "" {
		c.add("request_id = {:String}", t.filter.Request)
	}
	if len(t.filter.Attributions) > 0 {
		c.add("toString(attribution) IN {:Array(String)}", texts(t.filter.Attributions))
	}
	return c
}

// leaveOut goes on from now, and counts what is in between.
func (t *Tail) leaveOut(ctx context.Context, now time.Time) (uint64, error) {
	c := t.conditions(now)
	c.add("revision > {:UInt64}", t.place.revision)
	c.add("revision <= {:UInt64}", uint64(nanos(now)))
	sql, err := query("tail_count", struct{ Conditions []string }{c.list})
	if err != nil {
		return 0, err
	}
	var n uint64
	if err := t.reader.conn.QueryRow(t.reader.limits.Context(ctx, 1), sql, named(with(args{"tenant": t.tenant}, c.args))...).Scan(&n); err != nil {
		return 0, fmt.Errorf("query tail_count: %w", err)
	}
	t.mark, t.floor, t.place, t.deepAt = uint64(nanos(now)), uint64(nanos(now)), nil, now
	clear(t.seen)
	return n, nil
}

// forget drops what cannot come again, or what is too much.
func (t *Tail) forget(now time.Time) {
	old := uint64(max(0, nanos(now.Add(-tailDeepSlack-tailSlack))))
	if len(t.seen) > tailSeen { // then it may not look back that far either
		old = uint64(max(0, nanos(now.Add(-tailSlack))))
		t.floor = max(t.floor, old)
	} else if len(t.seen) < 1000 {
		return
	}
	maps.DeleteFunc(t.seen, func(_ lineKey, revision uint64) bool { return revision < old })
}
