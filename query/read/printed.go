package read

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/faas"
)

// ErrTooLarge means that an answer would be larger than its limit.
var ErrTooLarge = errors.New("too large")

// LogLimits bound what Print reads.
type LogLimits struct {
	LineBytes int // the end of a longer line is cut off
	Lines     int // of one request
	Bytes     int // of one request; the end of a longer log is cut off
	AllBytes  int // of all logs together; more are ErrTooLarge
}

// Print reads what was printed for logs, which Logs listed by f, their
// instances' starts, and their numbers. now ends the window of a request that
// still runs.
func (r *Reader) Print(ctx context.Context, tenant string, f *LogFilter, logs []Log, limits LogLimits, now time.Time) error {
	if len(logs) == 0 {
		return nil
	}
	p := printing{
		Reader: r, logs: logs, bounds: limits, now: now, sizes: map[*Log]int{},
		a: args{"tenant": tenant, "namespace": f.Namespace, "function": f.Function},
	}
	g, grouped := errgroup.WithContext(ctx)
	g.Go(func() (err error) { p.attempts, err = r.numberAttempts(grouped, p.a, logs); return err })
	g.Go(func() error { return p.starts(grouped) })
	if err := g.Wait(); err != nil {
		return err
	}
	return p.lines(ctx)
}

// printing is the state of Print.
type printing struct {
	*Reader
	logs     []Log
	bounds   LogLimits
	now      time.Time
	a        args
	attempts map[requestKey]*attemptsRow
	lives    map[string][]*ColdStart // by instanceKey
	sizes    map[*Log]int            // of their lines so far, in bytes
	bytes    int                     // of all lines so far
}

// starts finds the instances' starts and which of the logs tell of one.
func (p *printing) starts(ctx context.Context) error {
	instances, seen := []string{}, map[string]bool{}
	for i := range p.logs {
		if id := p.logs[i].Invocation.Instance; !seen[id] {
			seen[id] = true
			instances = append(instances, id)
		}
	}
	limit := maxLives * len(instances)
	rows, err := selectRows[startRow](ctx, p.Reader, "start", limit, with(p.a, args{"instances": instances, "limit": limit}))
	if err != nil {
		return err
	}
	all := assemble(rows, nil, nil)
	p.lives = map[string][]*ColdStart{}
	for i := range all {
		k := instanceKey(all[i].Function, all[i].Instance)
		p.lives[k] = append(p.lives[k], &all[i])
	}
	owners, err := p.owners(ctx)
	if err != nil {
		return err
	}
	told := map[string]bool{} // instances
	for i := range p.logs {
		l := &p.logs[i]
		s := p.startOf(&l.Invocation)
		if s == nil {
			continue
		}
		l.MemoryLimit = s.MemoryLimit
		if tells(&l.Invocation, s, owners[s]) {
			l.Start = s
			told[s.Instance] = true
		}
	}
	return p.phases(ctx, told)
}

// startOf is the start of the life of its instance that an attempt was in.
func (p *printing) startOf(v *Invocation) *ColdStart {
	return lifeAt(p.lives[instanceKey(v.Function, v.Instance)], v.StartedAt)
}

// tells reports whether the log of v is the one that tells of start s, the first
// request on which was first.
func tells(v *Invocation, s *ColdStart, first string) bool {
	if s.RequestID != "" {
		return v.RequestID == s.RequestID
	}
	return v.RequestID == first && (v.Cold || s.Initialization == faas.Provisioned)
}

// owners are the first requests on the instances that were started for nobody
// who is known.
func (p *printing) owners(ctx context.Context) (map[*ColdStart]string, error) {
	var keys, instances []string
	var begins [][]int64
	for k, lives := range p.lives {
		nobody := false
		at := make([]int64, len(lives))
		for i, s := range lives {
			nobody = nobody || s.RequestID == ""
			at[i] = nanos(s.begin())
		}
		if nobody {
			keys, begins, instances = append(keys, k), append(begins, at), append(instances, lives[0].Instance)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	limit := (maxLives + 1) * len(keys)
	rows, err := selectRows[struct {
		Function string    `ch:"function"`
		Instance string    `ch:"instance"`
		Life     uint32    `ch:"life"`
		Started  time.Time `ch:"started"`
		Request  string    `ch:"request"`
	}](ctx, p.Reader, "logs_firsts", limit, with(p.a, args{"keys": keys, "begins": begins, "instances": instances, "limit": limit}))
	if err != nil {
		return nil, err
	}
	owners := map[*ColdStart]string{}
	for i := range rows {
		s := lifeAt(p.lives[instanceKey(rows[i].Function, rows[i].Instance)], rows[i].Started)
		if _, known := owners[s]; s != nil && !known { // they are in order
			owners[s] = rows[i].Request
		}
	}
	return owners, nil
}

// phases reads what the starts of instances consisted of.
func (p *printing) phases(ctx context.Context, told map[string]bool) error {
	if len(told) == 0 {
		return nil
	}
	instances := make([]string, 0, len(told))
	for id := range told {
		instances = append(instances, id)
	}
	a := with(p.a, args{"instances": instances})
	phaseLimit, layerLimit := maxPhases*len(instances), maxLayers*len(instances)
	phases, err := selectRows[phaseRow](ctx, p.Reader, "start_phases", phaseLimit, with(a, args{"rows": phaseLimit}))
	if err != nil {
		return err
	}
	layers, err := selectRows[layerRow](ctx, p.Reader, "start_layers", layerLimit, with(a, args{"rows": layerLimit}))
	if err != nil {
		return err
	}
	give(func(_, function, instance string) []*ColdStart { return p.lives[instanceKey(function, instance)] }, phases, layers)
	return nil
}

// lines reads what was printed, a query for the requests and one for the starts
// that were for nobody.
func (p *printing) lines(ctx context.Context) error {
	from, to := p.window()
	a := with(p.a, args{
		"since": nanos(from), "until": nanos(to), "max_body": p.bounds.LineBytes, "lines": p.bounds.Lines + 1,
		"limit": 2 * (p.bounds.Lines + 1) * len(p.logs),
	})
	byRequest := map[requestKey][]*Log{}
	byInstance := map[string]*Log{}
	var instances []string
	for i := range p.logs {
		l := &p.logs[i]
		k := requestKey{l.Invocation.Function, l.Invocation.RequestID}
		byRequest[k] = append(byRequest[k], l)
		if l.Start != nil && l.Start.RequestID == "" {
			byInstance[instanceKey(l.Start.Function, l.Start.Instance)] = l
			instances = append(instances, l.Start.Instance)
		}
	}
	if len(instances) > 0 {
		err := p.each(ctx, "logs_starts", with(a, args{"instances": instances}), func(row *printedRow) *Log {
			l := byInstance[instanceKey(row.Function, row.Instance)]
			if l == nil || p.startAt(row) != l.Start {
				return nil
			}
			return l
		})
		if err != nil {
			return err
		}
	}
	return p.each(ctx, "logs_lines", with(a, args{"requests": requestIDs(p.logs)}), func(row *printedRow) *Log {
		return p.whose(row, byRequest[requestKey{row.Function, row.Request}])
	})
}

// startAt is the start of the life that an instance was in when it printed row.
func (p *printing) startAt(row *printedRow) *ColdStart {
	lives := p.lives[instanceKey(row.Function, row.Instance)]
	s := lifeAt(lives, row.Time)
	if ahead := s.ahead(); ahead != 0 {
		s = lifeAt(lives, row.Time.Add(ahead))
	}
	return s
}

// window is when all of the logs' lines are from.
func (p *printing) window() (from, to time.Time) {
	for i := range p.logs {
		l := &p.logs[i]
		start := p.startOf(&l.Invocation)
		first, last := window(&l.Invocation, start, p.now)
		if l.Start != nil {
			if begin := l.Start.begin(); !begin.IsZero() && begin.Before(first) {
				first = begin
			}
			if l.Start.DemandedAt == nil {
				first = first.Add(-preamble)
			}
		}
		first, last = first.Add(-before-start.ahead()), last.Add(after-start.ahead())
		if i == 0 || first.Before(from) {
			from = first
		}
		if i == 0 || last.After(to) {
			to = last
		}
	}
	return from, to
}

// printedRow is a line of a log.
type printedRow struct {
	Function    string    `ch:"function"`
	Instance    string    `ch:"instance"`
	Request     string    `ch:"request_id"`
	Time        time.Time `ch:"ts"`
	Attribution string    `ch:"attribution"`
	Text        string    `ch:"text"`
}

// whose is the log that a line belongs to, of the listed attempts of its
// request: that of its instance that had begun. It is nil if that is none of them.
func (p *printing) whose(row *printedRow, listed []*Log) *Log {
	if len(listed) == 0 {
		return nil // another function's
	}
	all := p.attempts[requestKey{row.Function, row.Request}]
	if all == nil || len(all.Starts) == 1 {
		return listed[0]
	}
	at := row.Time.Add(p.startAt(row).ahead())
	chosen, elsewhere := -1, -1
	for i, start := range all.Starts { // in order
		begun := !start.After(at)
		if begun || elsewhere < 0 {
			elsewhere = i
		}
		if all.Instances[i] == row.Instance && (chosen < 0 || begun && row.Attribution != string(faas.AttributionInit)) {
			chosen = i
		}
	}
	if chosen < 0 {
		chosen = elsewhere // of an instance that is not known
	}
	for _, l := range listed {
		if l.Invocation.Instance == all.Instances[chosen] && l.Invocation.StartedAt.Equal(all.Starts[chosen]) {
			return l
		}
	}
	return nil
}

// each reads lines and gives them to their logs.
func (p *printing) each(ctx context.Context, name string, a args, whose func(*printedRow) *Log) error {
	sql, err := query(name, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the query where there is too much
	defer cancel()
	rows, err := p.conn.Query(p.limits.Context(ctx, 2*(p.bounds.Lines+1)*len(p.logs)), sql, named(a)...)
	if err != nil {
		return fmt.Errorf("query %s: %w", name, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err has said what went wrong
	for rows.Next() {
		var row printedRow
		if err := rows.ScanStruct(&row); err != nil {
			return fmt.Errorf("query %s: %w", name, err)
		}
		l := whose(&row)
		if l == nil || l.Cut {
			continue
		}
		if len(row.Text) == p.bounds.LineBytes {
			row.Text = strings.ToValidUTF8(row.Text, "") // the cut may have split a character
		}
		if p.sizes[l] += len(row.Text) + 1; p.sizes[l] > p.bounds.Bytes || len(l.Init)+len(l.Lines) >= p.bounds.Lines {
			l.Cut = true
			continue
		}
		if p.bytes += len(row.Text) + 1; p.bytes > p.bounds.AllBytes {
			return fmt.Errorf("logs of %d requests: %w", len(p.logs), ErrTooLarge)
		}
		if row.Attribution == string(faas.AttributionInit) {
			l.Init = append(l.Init, row.Text)
		} else {
			l.Lines = append(l.Lines, row.Text)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("query %s: %w", name, err)
	}
	return nil
}
