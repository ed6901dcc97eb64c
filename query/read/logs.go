package read

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/faas"
)

// LogOrder is what a list of logs is in the order of.
type LogOrder string

// The orders.
const (
	LogsByStart    LogOrder = "start"
	LogsByFunction LogOrder = "function"
	LogsByDuration LogOrder = "duration"
	LogsByMemory   LogOrder = "memory"
)

// logOrders are the orders in SQL; %[1]s is the direction.
var logOrders = map[LogOrder]string{
	LogsByStart:    "started_at %[1]s",
	LogsByFunction: "function %[1]s, started_at %[1]s",
	LogsByDuration: "coalesce(duration_ns, dateDiff('nanosecond', started_at, coalesce(ended_at, closed_at)), 0) %[1]s, started_at %[1]s",
	LogsByMemory:   "coalesce(memory_peak, usage_memory_peak, 0) %[1]s, started_at %[1]s",
}

// LogFilter says whose logs are listed. Empty fields say nothing, but for
// Namespace.
type LogFilter struct {
	Namespace, Function, Version, RequestID string
	Range                                   // of the requests' starts
	Statuses                                []faas.Status
	// Keyword is in a line of the request, upper and lower case being the same:
	// in one that the function printed, or, with Platform, in what is told of it.
	Keyword       string
	Platform      bool
	Order         LogOrder
	Ascending     bool
	Offset, Limit int
}

// Log is what is known of one attempt of one request, as its log shows it.
type Log struct {
	Invocation Invocation
	// Retry counts the attempts before this one.
	Retry int
	// MemoryLimit is the instance's, in bytes; nil if it is not known.
	MemoryLimit *int64
	// Start is the start of the instance, with its phases, of the one request
	// whose log tells of it: the one that demanded it, else the first one that
	// waited for it, and of a provisioned instance its first. Else nil.
	Start *ColdStart
	// Init is what was printed during that start, Lines all else.
	Init, Lines []string
	// Cut says that there are more lines than these.
	Cut bool
}

// attemptsApart is how long before and after one attempt of a request others are
// looked for.
const attemptsApart = 24 * time.Hour

func (f *LogFilter) args(tenant string) args {
	since, until := f.nanos()
	linesSince, linesUntil := int64(firstNS), int64(lastNS)
	if !f.Since.IsZero() {
		linesSince = nanos(f.Since.Add(-preamble))
	}
	if !f.Until.IsZero() {
		linesUntil = nanos(f.Until.Add(longest))
	}
	statuses := make([]string, len(f.Statuses))
	for i, s := range f.Statuses {
		statuses[i] = string(s)
	}
	return args{
		"tenant": tenant, "namespace": f.Namespace, "function": f.Function, "request": f.RequestID, "version": f.Version,
		"since": since, "until": until, "statuses": statuses,
		"keyword": f.Keyword, "platform": f.Platform, "lines_since": linesSince, "lines_until": linesUntil,
	}
}

// Logs lists the attempts that f is about, without what was printed, and says
// how many there are.
func (r *Reader) Logs(ctx context.Context, tenant string, f *LogFilter) (logs []Log, total uint64, err error) {
	type list struct{ Order string } // without one they are counted
	a := f.args(tenant)
	var rows []invocationRow
	g, grouped := errgroup.WithContext(ctx)
	g.Go(func() error {
		counted, err := selectWhere[struct {
			Total uint64 `ch:"total"`
		}](grouped, r, "logs_list", list{}, 1, a)
		if err == nil {
			total = counted[0].Total // an aggregate without keys has one row
		}
		return err
	})
	if f.Limit > 0 {
		direction := "DESC"
		if f.Ascending {
			direction = "ASC"
		}
		order := fmt.Sprintf(logOrders[f.Order]+", request_id %[1]s, instance %[1]s", direction)
		g.Go(func() (err error) {
			rows, err = selectWhere[invocationRow](grouped, r, "logs_list", list{order}, f.Limit, with(a, args{"limit": f.Limit, "offset": f.Offset}))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, 0, err
	}
	logs = make([]Log, len(rows))
	for i := range rows {
		logs[i].Invocation = rows[i].invocation()
	}
	return logs, total, nil
}

// attemptsRow is all attempts of a request, in their order.
type attemptsRow struct {
	Function  string      `ch:"function"`
	RequestID string      `ch:"request_id"`
	Starts    []time.Time `ch:"starts"`
	Instances []string    `ch:"instances"`
}

// requestKey names a request of a namespace.
type requestKey struct{ function, request string }

// numberAttempts finds the requests' other attempts, listed or not, and with
// them the attempts' numbers.
func (r *Reader) numberAttempts(ctx context.Context, a args, logs []Log) (map[requestKey]*attemptsRow, error) {
	ids := requestIDs(logs)
	from, to := span(logs)
	rows, err := selectRows[attemptsRow](ctx, r, "logs_attempts", len(logs), with(a, args{
		"requests": ids, "since": nanos(from.Add(-attemptsApart)), "until": nanos(to.Add(attemptsApart)), "limit": len(logs),
	}))
	if err != nil {
		return nil, err
	}
	all := make(map[requestKey]*attemptsRow, len(rows))
	for i := range rows {
		all[requestKey{rows[i].Function, rows[i].RequestID}] = &rows[i]
	}
	for i := range logs {
		v := &logs[i].Invocation
		row := all[requestKey{v.Function, v.RequestID}]
		if row == nil {
			continue // it was deleted meanwhile
		}
		for n, instance := range row.Instances {
			if instance == v.Instance && row.Starts[n].Equal(v.StartedAt) {
				logs[i].Retry = n
			}
		}
	}
	return all, nil
}

// Number tells each log how many attempts were before it.
func (r *Reader) Number(ctx context.Context, tenant string, f *LogFilter, logs []Log) error {
	if len(logs) == 0 {
		return nil
	}
	_, err := r.numberAttempts(ctx, args{"tenant": tenant, "namespace": f.Namespace, "function": f.Function}, logs)
	return err
}

func requestIDs(logs []Log) []string {
	ids, seen := make([]string, 0, len(logs)), map[string]bool{}
	for i := range logs {
		if id := logs[i].Invocation.RequestID; !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// span is from the first to the last of the attempts' starts.
func span(logs []Log) (from, to time.Time) {
	from, to = logs[0].Invocation.StartedAt, logs[0].Invocation.StartedAt
	for i := range logs {
		at := logs[i].Invocation.StartedAt
		if at.Before(from) {
			from = at
		}
		if at.After(to) {
			to = at
		}
	}
	return from, to
}

// KnownFunction is a function of which something is stored.
type KnownFunction struct {
	Name    string
	Added   time.Time // the first that was told of it
	Changed time.Time // the first that was told of its newest version
	Trigger string    // of its newest request; empty if it is not known
}

// KnownFunctions lists the functions of a namespace of which a platform has
// told, by name.
func (r *Reader) KnownFunctions(ctx context.Context, tenant, namespace string) ([]KnownFunction, error) {
	rows, err := selectRows[struct {
		Function  string     `ch:"function"`
		Added     time.Time  `ch:"added"`
		Versioned *time.Time `ch:"versioned"`
		Trigger   *string    `ch:"last_trigger"`
	}](ctx, r, "known_functions", maxKnownFunctions, args{"tenant": tenant, "namespace": namespace, "limit": maxKnownFunctions})
	if err != nil {
		return nil, err
	}
	list := make([]KnownFunction, len(rows))
	for i := range rows {
		row := &rows[i]
		list[i] = KnownFunction{Name: row.Function, Added: row.Added.UTC(), Changed: row.Added.UTC(), Trigger: value(row.Trigger)}
		if row.Versioned != nil {
			list[i].Changed = row.Versioned.UTC()
		}
	}
	return list, nil
}

const maxKnownFunctions = 100_000

// Knows reports whether anything is stored of a function.
func (r *Reader) Knows(ctx context.Context, tenant, namespace, function string) (bool, error) {
	rows, err := selectRows[struct {
		Found uint8 `ch:"found"`
	}](ctx, r, "known_function", 3, args{"tenant": tenant, "namespace": namespace, "function": function})
	return len(rows) > 0, err
}

// instanceKey names an instance of a namespace, as logs_firsts.sql does.
func instanceKey(function, instance string) string {
	return strings.Join([]string{function, instance}, "\n")
}
