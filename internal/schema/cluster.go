package schema

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

// Cluster says over which servers a store is spread.
type Cluster struct {
	// Name is the cluster's in the servers' remote_servers.
	Name string
	// Replicated is on for Replicated tables, which need Keeper and the macros
	// shard and replica; off for one server a shard; auto or empty for what an
	// existing store has, else for on where there is Keeper.
	Replicated string
}

// PrepareCluster is Prepare for a cluster: each of its servers gets the
// database, local tables that hold its shard's rows, and Distributed tables over
// those. A server that has nothing of it, because it was added or replaced,
// takes the tables of another one over. What existing shards hold stays there.
//
// All servers must be up while there is something to do. Where all is done,
// one server of each shard is enough.
func PrepareCluster(ctx context.Context, dsn string, config Cluster) (*clickhouse.Cluster, error) {
	if err := createDatabase(ctx, dsn); err != nil {
		return nil, err
	}
	c, err := clickhouse.OpenCluster(ctx, dsn, config.Name)
	if err != nil {
		return nil, err
	}
	known, err := known()
	if err == nil {
		err = migrateCluster(ctx, dsn, c, config.Replicated, known)
	}
	if err == nil {
		err = readable(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare cluster %s: %w", config.Name, err), c.Close())
	}
	return c, nil
}

// readable refuses a cluster that is read through a server that is none of it.
func readable(ctx context.Context, c *clickhouse.Cluster) error {
	got, err := form(ctx, c)
	if err == nil && got == "" {
		err = errors.New("the DSN's server is not one of the cluster's, so it has no tables to read them all")
	}
	return err
}

// member is one of a cluster's servers as the migration sees it.
type member struct {
	clickhouse.Server
	shard  int // index in Cluster.Shards
	form   string
	done   []migration
	macros map[string]string
	away   error // why it does not answer
}

// look asks all of c's servers for what they have.
func look(ctx context.Context, dsn string, c *clickhouse.Cluster) []*member {
	var all []*member
	var asked sync.WaitGroup
	for i, shard := range c.Shards {
		for _, server := range shard.Servers {
			m := &member{Server: server, shard: i}
			all = append(all, m)
			asked.Go(func() { m.away = m.look(ctx, dsn) })
		}
	}
	asked.Wait()
	return all
}

func (m *member) look(ctx context.Context, dsn string) error {
	opts, err := clickhouse.Parse(dsn)
	if err != nil {
		return err
	}
	opts.Addr = []string{m.Addr}
	if err := createDatabaseOn(ctx, opts); err != nil {
		return err
	}
	if m.form, err = form(ctx, m); err != nil {
		return err
	}
	if m.done, err = applied(ctx, m); err != nil {
		return err
	}
	var names, values []string
	if err := m.QueryRow(ctx, "SELECT groupArray(macro), groupArray(substitution) FROM system.macros").Scan(&names, &values); err != nil {
		return fmt.Errorf("read its macros: %w", err)
	}
	m.macros = map[string]string{}
	for i := range names {
		m.macros[names[i]] = values[i]
	}
	return nil
}

// A store's form is the comment of schema_migrations: empty for one server's.
func formOf(cluster string, replicated bool) string {
	return fmt.Sprintf("cluster %s, replicated: %t", cluster, replicated)
}

func form(ctx context.Context, conn driver.Conn) (string, error) {
	var comment string // of no row: empty
	const read = "SELECT max(comment) FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
	if err := conn.QueryRow(ctx, read).Scan(&comment); err != nil {
		return "", fmt.Errorf("read comment of schema_migrations: %w", err)
	}
	return comment, nil
}

// ofForm refuses a store that has another form than want.
func ofForm(ctx context.Context, conn driver.Conn, want string) error {
	got, err := form(ctx, conn)
	if err != nil || got == want || got == "" && want != "" {
		return err
	}
	return fmt.Errorf("the database belongs to a store of another form (%s): name that cluster with --cluster, or use another database", got)
}

// migrateCluster brings all servers of c to known.
func migrateCluster(ctx context.Context, dsn string, c *clickhouse.Cluster, replicated string, known []migration) error {
	members := look(ctx, dsn, c)
	up := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m.away != nil })
	for i, shard := range c.Shards {
		if !slices.ContainsFunc(up, func(m *member) bool { return m.shard == i }) {
			at := slices.IndexFunc(members, func(m *member) bool { return m.shard == i })
			return fmt.Errorf("no server of shard %d answers: %w", shard.Number, members[at].away)
		}
	}
	on, err := replication(ctx, c, up, replicated)
	if err != nil {
		return err
	}
	pending, err := pendingOf(up, known)
	if err != nil || !slices.ContainsFunc(pending, func(p []migration) bool { return len(p) > 0 }) {
		return err
	}
	for _, m := range members {
		if m.away != nil {
			return fmt.Errorf("there are migrations to apply, for which all servers must be up: %w", m.away)
		}
	}
	// One of all who migrate this cluster works: its first server has the lock.
	lock, ctx, err := acquire(ctx, members[0], schemaLease)
	if err != nil {
		return fmt.Errorf("lock schema: %w", err)
	}
	defer lock.release(ctx)
	for _, m := range members { // others may have worked while we waited
		if m.done, err = applied(ctx, m); err != nil {
			return err
		}
	}
	steps, err := distribute(known, c.Name, on)
	if err != nil {
		return err
	}
	if err := apply(ctx, members, formOf(c.Name, on), known, steps); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	return nil
}

// pendingOf gives what each of members lacks of known.
func pendingOf(members []*member, known []migration) ([][]migration, error) {
	all := make([][]migration, len(members))
	for i, m := range members {
		var err error
		if all[i], err = compare(known, m.done); err != nil {
			return nil, fmt.Errorf("server %s: %w", m.Addr, err)
		}
	}
	return all, nil
}

// replication says whether the tables are replicated, or why they cannot be
// as want says.
func replication(ctx context.Context, c *clickhouse.Cluster, up []*member, want string) (bool, error) {
	on := want == "on"
	if want == "" || want == "auto" {
		const keeper = "SELECT count() > 0 FROM system.tables WHERE database = 'system' AND name = 'zookeeper'"
		if err := up[0].QueryRow(ctx, keeper).Scan(&on); err != nil {
			return false, fmt.Errorf("look for Keeper: %w", err)
		}
		for _, m := range up {
			if m.form != "" {
				on = m.form == formOf(c.Name, true)
			}
		}
	}
	for _, m := range up {
		switch {
		case m.form == "" && len(m.done) > 0:
			return false, fmt.Errorf("server %s: the database holds a store of one server: use another database for the cluster", m.Addr)
		case m.form != "" && m.form != formOf(c.Name, on):
			return false, fmt.Errorf("server %s: the database belongs to a store of another form (%s)", m.Addr, m.form)
		}
	}
	if !on {
		for _, shard := range c.Shards {
			if len(shard.Servers) > 1 {
				return false, fmt.Errorf("shard %d has %d servers, and without replicated tables it can have one: configure Keeper on the servers, or say cluster.replicated: on if it is", shard.Number, len(shard.Servers))
			}
		}
		return false, nil
	}
	return true, replicable(c, up)
}

// replicable says what is missing for replicated tables: the macros that make
// the servers of one shard, and no others, replicas of one another.
func replicable(c *clickhouse.Cluster, up []*member) error {
	shards, replicas := map[string]int{}, map[string]string{}
	for _, m := range up {
		shard, replica := m.macros["shard"], m.macros["replica"]
		if shard == "" || replica == "" {
			return fmt.Errorf("server %s lacks the macro shard or replica, which replicated tables need: set <macros> in its configuration", m.Addr)
		}
		if other, taken := shards[shard]; taken && other != m.shard {
			return fmt.Errorf("server %s has the macro shard = %s, as a server of another shard has", m.Addr, shard)
		}
		if other, taken := replicas[shard+"/"+replica]; taken {
			return fmt.Errorf("servers %s and %s have the same macros shard = %s and replica = %s", other, m.Addr, shard, replica)
		}
		shards[shard], replicas[shard+"/"+replica] = m.shard, m.Addr
	}
	for i, shard := range c.Shards {
		own := 0
		for _, of := range shards {
			if of == i {
				own++
			}
		}
		if own > 1 {
			return fmt.Errorf("the servers of shard %d have different macros shard", shard.Number)
		}
		if len(shard.Servers) > 1 && !shard.InternalReplication {
			return fmt.Errorf("shard %d has no <internal_replication>true</internal_replication>: a Distributed table would write to each of its servers", shard.Number)
		}
	}
	return nil
}

// apply runs what is pending on each of members: each statement on all servers
// before the next one, and the records of a migration after its last statement.
func apply(ctx context.Context, members []*member, form string, known []migration, steps [][]step) error {
	for _, m := range members {
		if err := m.Exec(ctx, createMigrations+" COMMENT "+quoteText(form)); err != nil {
			return fmt.Errorf("create table schema_migrations on %s: %w", m.Addr, err)
		}
	}
	furthest := slices.MaxFunc(members, func(a, b *member) int { return len(a.done) - len(b.done) })
	for _, m := range members {
		if len(m.done) == 0 && len(furthest.done) > 0 {
			if err := m.takeOver(ctx, furthest); err != nil {
				return fmt.Errorf("take the tables of %s over to %s: %w", furthest.Addr, m.Addr, err)
			}
		}
	}
	pending, err := pendingOf(members, known)
	if err != nil {
		return err
	}
	for i, next := range known {
		var lacking []*member
		for n, m := range members {
			if slices.ContainsFunc(pending[n], func(p migration) bool { return p.version == next.version }) {
				lacking = append(lacking, m)
			}
		}
		if err := applyOne(ctx, lacking, next, steps[i]); err != nil {
			return fmt.Errorf("apply migration %s: %w", next, err)
		}
	}
	return nil
}

func applyOne(ctx context.Context, lacking []*member, next migration, steps []step) error {
	for i, s := range steps {
		served := map[int]bool{}
		for _, m := range lacking {
			if s.byShard && served[m.shard] {
				continue
			}
			served[m.shard] = true
			if err := m.step(ctx, s); err != nil {
				return fmt.Errorf("step %d on %s: %w", i+1, m.Addr, err)
			}
		}
	}
	for _, m := range lacking {
		if err := next.record(ctx, m); err != nil {
			return fmt.Errorf("%w (on %s)", err, m.Addr)
		}
	}
	return nil
}

// step runs s if it is to be run on this server.
func (m *member) step(ctx context.Context, s step) error {
	condition := s.when
	if s.over != "" {
		condition = "(SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = " + quoteText(s.over) + ")"
	}
	if condition != "" {
		var holds bool
		if err := m.QueryRow(ctx, "SELECT ifNull(toBool("+condition+"), false)").Scan(&holds); err != nil {
			return fmt.Errorf("ask whether there is something to do: %w", err)
		}
		if !holds {
			return nil
		}
	}
	// A table whose place in Keeper this server has taken was created by a run
	// that broke off later, and has another name by now.
	const replicaAlreadyExists = 253
	err := m.run(ctx, s.sql)
	if exception, ok := errors.AsType[*ch.Exception](err); ok && exception.Code == replicaAlreadyExists {
		return nil
	}
	return err
}

// run runs one statement. A change of a replicated table waits for all
// replicas; one that knows less of the table than Keeper does is asked again.
func (m *member) run(ctx context.Context, sql string) error {
	const tries, pause, cannotAssignAlter = 100, 100 * time.Millisecond, 517
	waiting := ch.Context(ctx, ch.WithSettings(ch.Settings{"alter_sync": 2}))
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := m.Exec(waiting, sql)
		if exception, ok := errors.AsType[*ch.Exception](err); !ok || exception.Code != cannotAssignAlter || try == tries {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

var createHead = regexp.MustCompile(`^CREATE (TABLE|MATERIALIZED VIEW|VIEW) `)

// takeOver gives m what from has. Statements as the engine shows them name
// macros, not their values, so a replica that is new in its shard joins it.
func (m *member) takeOver(ctx context.Context, from *member) error {
	rows, err := from.Query(ctx, `SELECT create_table_query FROM system.tables
WHERE database = currentDatabase() AND name != 'schema_migrations' AND NOT startsWith(name, 'schema_lock_') AND NOT is_temporary
ORDER BY multiIf(endsWith(engine, 'MergeTree'), 1, engine = 'Distributed', 2, 3), metadata_modification_time, name`)
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	var statements []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return fmt.Errorf("list tables: %w", err)
		}
		statements = append(statements, createHead.ReplaceAllString(s, "CREATE $1 IF NOT EXISTS "))
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	for len(statements) > 0 { // a view may need another one first
		var later []string
		for _, s := range statements {
			if err = m.run(ctx, s); err != nil {
				later = append(later, s)
			}
		}
		if len(later) == len(statements) {
			head, _, _ := strings.Cut(later[0], "(")
			return fmt.Errorf("%s: %w", strings.TrimSpace(head), err)
		}
		statements = later
	}
	for _, done := range from.done {
		if err := done.record(ctx, m); err != nil {
			return err
		}
	}
	m.done = from.done
	return nil
}
