// Package expire deletes what a tenant's retention no longer keeps. It looks at
// what is stored, not at what was said when it was stored: a changed retention
// counts for old data, too, and the partitions do not depend on tenants.
//
// All it does may be done twice and by several aggregators at once.
package expire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/internal/storage"
)

// interval is the time between two sweeps; the first one waits for firstWait,
// since a process that has just started has better things to do.
const (
	interval  = time.Hour
	firstWait = 5 * time.Minute
	// patience is how long a sweep waits for what it has ordered itself.
	patience = time.Minute
)

// table is a table whose rows grow old.
type table struct {
	name   string
	rollup bool // figures are kept longer
	// old is a condition on rows from before {cutoff}, other tables in braces;
	// parts by day or month whose last moment is before it go as a whole.
	old string
	// after is a table whose deletions look at this one, and so have to be over.
	after string
}

const oldInstances = `(tenant, namespace, function, instance) IN
(
    SELECT tenant, namespace, function, instance FROM {cold_starts} FINAL
    WHERE greatest(ifNull(demanded_at, toDateTime64(0, 9, 'UTC')), ifNull(ready_at, toDateTime64(0, 9, 'UTC')), ifNull(stopped_at, toDateTime64(0, 9, 'UTC'))) < {cutoff}
)`

// tables are in the order in which they are swept: layers have no time of
// their own and go with their instance, before it. What were left of them when
// that is gone would stay for ever.
var tables = []table{
	{name: "logs", old: "ts < {cutoff}"},
	{name: "invocations", old: "started_at < {cutoff}"},
	{name: "phases", old: "start < {cutoff}"},
	{name: "layers", old: oldInstances},
	{name: "cold_starts", old: oldInstances, after: "layers"},
	{name: "ledgers", old: "ifNull(coalesce(`to`, through, `from`) < {cutoff}, false)"},
	{name: "gaps", old: "`to` < {cutoff}"},
	{name: "line_minutes", rollup: true, old: "minute < {cutoff}"},
	{name: "invocation_minutes", rollup: true, old: "minute < {cutoff}"},
	{name: "start_minutes", rollup: true, old: "minute < {cutoff}"},
	{name: "rollup_marks", rollup: true, old: "minute < {cutoff} AND tenant != ''"},
	{name: "rollup_instances", rollup: true, old: `(tenant, namespace, function, instance) IN
(
    SELECT tenant, namespace, function, instance FROM {rollup_instances} GROUP BY tenant, namespace, function, instance
    HAVING notEmpty(groupUniqArrayArray(minutes)) AND arrayMax(groupUniqArrayArray(minutes)) < {cutoff}
)`},
}

// Janitor deletes what is due. One goroutine uses it.
type Janitor struct {
	retention storage.Retention
	conn      driver.Conn
	logger    *slog.Logger
}

// New makes a janitor over conn, which stays the caller's.
func New(retention storage.Retention, conn driver.Conn, logger *slog.Logger) *Janitor {
	return &Janitor{retention, conn, logger}
}

// Run sweeps until ctx ends.
func (j *Janitor) Run(ctx context.Context) {
	for wait := firstWait + rand.N(firstWait); ; wait = interval/2 + rand.N(interval) { // apart from the other aggregators
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := j.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			j.logger.WarnContext(ctx, "data that is due could not be deleted, trying again later", "error", err)
		}
	}
}

// Sweep orders the deletion of all that is due at the time now; the engine
// carries it out in the background, also over a restart. A table on which a
// deletion is under way waits for the next sweep. Of a cluster's servers each
// deletes its own; one that is away does not keep the others from it.
func (j *Janitor) Sweep(ctx context.Context, now time.Time) error {
	var errs []error
	for _, store := range schema.Stores(j.conn) {
		s := sweep{Janitor: j, Store: store}
		errs = append(errs, s.all(ctx, now))
	}
	return errors.Join(errs...)
}

// sweep is what is done to one server's tables.
type sweep struct {
	*Janitor
	schema.Store
}

func (j *sweep) all(ctx context.Context, now time.Time) error {
	for _, t := range tables {
		busy, err := j.busy(ctx, j.Table(t.name))
		if err == nil && !busy && t.after != "" {
			busy, err = j.awaited(ctx, j.Table(t.after))
		}
		if err != nil {
			return err
		}
		if busy {
			continue
		}
		if err := j.dropParts(ctx, &t, now); err != nil {
			return err
		}
		if err := j.deleteRows(ctx, &t, now); err != nil {
			return err
		}
	}
	return nil
}

// busy reports whether deletions are under way on a table.
func (j *sweep) busy(ctx context.Context, table string) (busy bool, err error) {
	const look = "SELECT count() > 0 FROM system.mutations WHERE database = currentDatabase() AND table = $1 AND NOT is_done"
	if err := j.QueryRow(ctx, look, table).Scan(&busy); err != nil {
		return false, fmt.Errorf("look for deletions under way on %s: %w", table, err)
	}
	return busy, nil
}

// awaited waits for the deletions on a table, and reports whether they still go on.
func (j *sweep) awaited(ctx context.Context, table string) (busy bool, err error) {
	for end := time.Now().Add(patience); ; {
		if busy, err = j.busy(ctx, table); err != nil || !busy || time.Now().After(end) {
			return busy, err
		}
		select {
		case <-ctx.Done():
			return true, ctx.Err()
		case <-time.After(patience / 1000):
		}
	}
}

func (t *table) days(c storage.Class) int {
	if t.rollup {
		return c.RollupDays
	}
	return c.Days
}

// dropParts drops the days and months that no tenant's retention keeps: what
// comes into them meanwhile is due as well.
func (j *sweep) dropParts(ctx context.Context, t *table, now time.Time) error {
	longest := 0
	for _, c := range j.retention.All() {
		days := t.days(c)
		if days == storage.Forever {
			return nil
		}
		longest = max(longest, days)
	}
	cutoff := storage.Cutoff(longest, now)
	var partitions []string
	const list = "SELECT groupUniqArray(partition_id) FROM system.parts WHERE database = currentDatabase() AND table = $1 AND active"
	if err := j.QueryRow(ctx, list, j.Table(t.name)).Scan(&partitions); err != nil {
		return fmt.Errorf("list partitions of %s: %w", t.name, err)
	}
	slices.Sort(partitions)
	for _, id := range partitions {
		if end, ok := endOf(id); !ok || end.After(cutoff) {
			continue
		}
		if err := j.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DROP PARTITION ID '%s'", j.Table(t.name), id)); err != nil {
			return fmt.Errorf("drop partition %s of %s: %w", id, t.name, err)
		}
		j.logger.InfoContext(ctx, "old data deleted", "table", t.name, "partition", id)
	}
	return nil
}

// endOf is the moment after the last of a partition by day or by month. The
// mark without a tenant is from 1970, and stays.
func endOf(id string) (time.Time, bool) {
	if day, err := time.Parse("20060102", id); err == nil && day.Year() > 1970 {
		return day.AddDate(0, 0, 1), true
	}
	if month, err := time.Parse("200601", id); err == nil && month.Year() > 1970 {
		return month.AddDate(0, 1, 0), true
	}
	return time.Time{}, false
}

// deleteRows deletes the rows of tenants that are kept less long than others.
func (j *sweep) deleteRows(ctx context.Context, t *table, now time.Time) error {
	var tenants []string
	if err := j.QueryRow(ctx, "SELECT groupUniqArray(toString(tenant)) FROM "+j.Table(t.name)).Scan(&tenants); err != nil {
		return fmt.Errorf("list tenants of %s: %w", t.name, err)
	}
	byDays := map[int][]string{}
	for _, tenant := range tenants {
		if days := t.days(j.retention.Class(tenant)); days != storage.Forever {
			byDays[days] = append(byDays[days], quote(tenant))
		}
	}
	var due []string
	for days, list := range byDays {
		cutoff := fmt.Sprintf("toDateTime(%d, 'UTC')", storage.Cutoff(days, now).Unix())
		of := strings.NewReplacer("{cutoff}", cutoff, "{cold_starts}", j.Table("cold_starts"), "{rollup_instances}", j.Table("rollup_instances"))
		slices.Sort(list)
		due = append(due, fmt.Sprintf("(tenant IN (%s) AND %s)", strings.Join(list, ", "), of.Replace(t.old)))
	}
	if len(due) == 0 {
		return nil
	}
	slices.Sort(due)
	where := strings.Join(due, " OR ")
	var rows uint64
	if err := j.QueryRow(ctx, "SELECT count() FROM "+j.Table(t.name)+" WHERE "+where).Scan(&rows); err != nil {
		return fmt.Errorf("count what is due in %s: %w", t.name, err)
	}
	if rows == 0 {
		return nil
	}
	if err := j.Exec(ctx, "ALTER TABLE "+j.Table(t.name)+" DELETE WHERE "+where+" SETTINGS mutations_sync = 0, allow_nondeterministic_mutations = 1"); err != nil {
		return fmt.Errorf("delete what is due in %s: %w", t.name, err)
	}
	j.logger.InfoContext(ctx, "old data is being deleted", "table", t.name, "rows", rows)
	return nil
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
