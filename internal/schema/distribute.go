package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// distributor gives statements that are written for one server the form that
// they have in a cluster: a table is a local table on each server and a
// Distributed one over all of them; whatever stores reads and writes local
// tables, whatever is looked at reads the Distributed ones.
//
// A Distributed table holds nothing. So after each change of its local tables
// it is made anew, and nobody has to know which changes concern it.
type distributor struct {
	cluster    string
	replicated bool
	version    int // of the migration that is distributed

	tables, views, materialized map[string]bool // that exist by now
}

func newDistributor(cluster string, replicated bool) *distributor {
	return &distributor{
		cluster: cluster, replicated: replicated,
		tables: map[string]bool{}, views: map[string]bool{}, materialized: map[string]bool{},
	}
}

// step is one statement of a migration in a cluster.
type step struct {
	sql     string
	byShard bool   // runs on one server of each shard; else on all servers
	when    string // runs where this scalar subquery is true; empty: always
	over    string // makes the Distributed table over this one, if there is one
}

// Each statement kind by how it begins. A name is a plain word.
var (
	createTable        = regexp.MustCompile(`(?i)^CREATE TABLE IF NOT EXISTS (\w+)(?: AS (\w+))?\b`)
	createView         = regexp.MustCompile(`(?i)^CREATE (?:OR REPLACE VIEW|VIEW IF NOT EXISTS) (\w+)\b`)
	createMaterialized = regexp.MustCompile(`(?i)^CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO (\w+)\b`)
	alterTable         = regexp.MustCompile(`(?i)^ALTER TABLE (\w+)\b`)
	dropTable          = regexp.MustCompile(`(?i)^DROP (?:TABLE|VIEW) IF EXISTS (\w+)( SYNC)?$`)
	exchangeTables     = regexp.MustCompile(`(?i)^EXCHANGE TABLES (\w+) AND (\w+)$`)
	renameTable        = regexp.MustCompile(`(?i)^RENAME TABLE (?:IF EXISTS )?(\w+) TO (\w+)$`)
	insertSelect       = regexp.MustCompile(`(?i)^INSERT INTO (\w+)\b`)

	// Of IF (SELECT …) THEN, a statement in a line of its own.
	conditionHead = regexp.MustCompile(`(?s)^IF (\(SELECT .*?\)) THEN\n(.*)$`)
	quotedWord    = regexp.MustCompile(`'(\w+)'`)

	engineClause = regexp.MustCompile(`(?i)\bENGINE\s*=\s*(\w+)\b(?:\s*\(([^()]*)\))?`)
	tableUse     = regexp.MustCompile(`(?i)\b(FROM|JOIN|INTO|TO|TABLE)\s+(\w+)\b`)
	shardColumns = []string{"tenant", "namespace", "function"}
)

// migration gives the steps of m. It must be called for all migrations in
// their order, also those that are done: names have the meaning that the
// statements before gave them.
func (d *distributor) migration(m migration) ([]step, error) {
	d.version = m.version
	var steps []step
	for i, statement := range m.statements {
		s, err := d.statement(strings.TrimSpace(statement))
		if err != nil {
			return nil, fmt.Errorf("migration %s: statement %d has no form for a cluster: %w", m, i+1, err)
		}
		steps = append(steps, s...)
	}
	return steps, nil
}

func (d *distributor) statement(s string) ([]step, error) {
	if match := conditionHead.FindStringSubmatch(s); match != nil {
		steps, err := d.statement(match[2])
		if err != nil {
			return nil, err
		}
		steps[0].when = d.condition(match[1]) // the others can always be repeated
		return steps, nil
	}
	head := blank.ReplaceAllString(s, " ")
	switch {
	case createTable.MatchString(head):
		match := createTable.FindStringSubmatch(head)
		return d.createTable(s, match[1], match[2])
	case createView.MatchString(head):
		d.views[createView.FindStringSubmatch(head)[1]] = true
		return everywhere(s), nil
	case createMaterialized.MatchString(head):
		match := createMaterialized.FindStringSubmatch(head)
		if !d.tables[match[2]] {
			return nil, unknownTable(match[2])
		}
		d.materialized[match[1]] = true
		return everywhere(d.local(s)), nil
	case alterTable.MatchString(head):
		name := alterTable.FindStringSubmatch(head)[1]
		switch {
		case d.materialized[name]:
			return everywhere(d.local(s)), nil
		case d.tables[name]:
			return append(everywhere(d.window(d.local(s))), d.over(name)), nil
		}
		return nil, unknownTable(name)
	case dropTable.MatchString(head):
		return d.drop(s, dropTable.FindStringSubmatch(head)[1])
	case exchangeTables.MatchString(head):
		match := exchangeTables.FindStringSubmatch(head)
		return d.exchange(match[1], match[2])
	case renameTable.MatchString(head):
		match := renameTable.FindStringSubmatch(head)
		return d.rename(match[1], match[2])
	case insertSelect.MatchString(head):
		name := insertSelect.FindStringSubmatch(head)[1]
		if !d.tables[name] {
			return nil, unknownTable(name)
		}
		return []step{{sql: d.local(s), byShard: true}}, nil
	}
	first, _, _ := strings.Cut(s, "\n")
	return nil, fmt.Errorf("%q is none of CREATE TABLE|VIEW|MATERIALIZED VIEW … TO with IF NOT EXISTS, ALTER TABLE, DROP TABLE|VIEW IF EXISTS, EXCHANGE TABLES a AND b, RENAME TABLE a TO b, INSERT INTO … SELECT, with plain names", first)
}

func unknownTable(name string) error {
	return fmt.Errorf("%s is no table that the statements before it created", name)
}

func everywhere(sql ...string) []step {
	steps := make([]step, len(sql))
	for i := range sql {
		steps[i].sql = sql[i]
	}
	return steps
}

// local has s use the local tables.
func (d *distributor) local(s string) string {
	return tableUse.ReplaceAllStringFunc(s, func(use string) string {
		at := len(use) - len(tableUse.FindStringSubmatch(use)[2])
		if name := use[at:]; d.tables[name] {
			return use[:at] + Local(name)
		}
		return use
	})
}

// condition has s ask about the local tables, which it may also name in quotes,
// as system tables are asked.
func (d *distributor) condition(s string) string {
	return quotedWord.ReplaceAllStringFunc(d.local(s), func(word string) string {
		if name := strings.Trim(word, "'"); d.tables[name] {
			return quoteText(Local(name))
		}
		return word
	})
}

// over makes the Distributed table.
func (d *distributor) over(name string) step {
	return step{over: Local(name), sql: fmt.Sprintf("CREATE OR REPLACE TABLE %s AS %s\nENGINE = Distributed(%s, currentDatabase(), %s, %s)",
		name, Local(name), quoteText(d.cluster), Local(name), ShardKey)}
}

func quoteText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func (d *distributor) createTable(s, name, like string) ([]step, error) {
	if like == "" {
		for _, column := range shardColumns {
			if !regexp.MustCompile(`\b` + column + `\b`).MatchString(s) {
				return nil, fmt.Errorf("table %s has no column %s, and rows are sharded by %s", name, column, ShardKey)
			}
		}
	} else if !d.tables[like] {
		return nil, unknownTable(like)
	}
	d.tables[name] = true
	s, err := d.engine(s, name)
	if err != nil {
		return nil, err
	}
	// The first use is the head's; s may name others, as in AS other.
	at := createTableName.FindStringIndex(s)
	s = s[:at[1]-len(name)] + Local(name) + s[at[1]:]
	if like != "" {
		s = regexp.MustCompile(`(?i)\bAS\s+`+like+`\b`).ReplaceAllString(s, "AS "+Local(like))
	}
	return append(everywhere(d.window(s)), d.over(name)), nil
}

var createTableName = regexp.MustCompile(`(?i)^CREATE\s+TABLE\s+IF\s+NOT\s+EXISTS\s+\w+`)

// engine makes the table's engine a replicated one. All replicas of a shard
// name the same place in Keeper: {shard}, {database} and {replica} are the
// server's macros. The migration's number is in it because a table may be
// renamed or exchanged, and another one created under its first name.
func (d *distributor) engine(s, name string) (string, error) {
	all := engineClause.FindAllStringSubmatchIndex(s, -1)
	if len(all) != 1 {
		return "", fmt.Errorf("table %s has %d ENGINE clauses, want 1", name, len(all))
	}
	at := all[0]
	engine, arguments := s[at[2]:at[3]], ""
	if !strings.HasSuffix(engine, "MergeTree") || strings.HasPrefix(engine, "Replicated") {
		return "", fmt.Errorf("table %s has engine %s, want one of the MergeTree family, not replicated", name, engine)
	}
	if !d.replicated {
		return s, nil
	}
	if at[4] >= 0 && strings.TrimSpace(s[at[4]:at[5]]) != "" {
		arguments = ", " + s[at[4]:at[5]]
	}
	return fmt.Sprintf("%sENGINE = Replicated%s('/clickhouse/tables/{shard}/{database}/%s_%04d', '{replica}'%s)%s",
		s[:at[0]], engine, name, d.version, arguments, s[at[1]:]), nil
}

// window names the deduplication setting that counts.
func (d *distributor) window(s string) string {
	if !d.replicated {
		return s
	}
	return strings.ReplaceAll(s, "non_replicated_deduplication_window", "replicated_deduplication_window")
}

func (d *distributor) drop(s, name string) ([]step, error) {
	switch {
	case d.tables[name]:
		delete(d.tables, name)
		return everywhere("DROP TABLE IF EXISTS "+name, "DROP TABLE IF EXISTS "+Local(name)+" SYNC"), nil
	case d.views[name], d.materialized[name]:
		delete(d.views, name)
		delete(d.materialized, name)
		return everywhere(s), nil
	}
	return nil, unknownTable(name)
}

func (d *distributor) exchange(a, b string) ([]step, error) {
	for _, name := range []string{a, b} {
		if !d.tables[name] {
			return nil, unknownTable(name)
		}
	}
	return append(everywhere(fmt.Sprintf("EXCHANGE TABLES %s AND %s", Local(a), Local(b))), d.over(a), d.over(b)), nil
}

func (d *distributor) rename(from, to string) ([]step, error) {
	if !d.tables[from] {
		return nil, unknownTable(from)
	}
	delete(d.tables, from)
	d.tables[to] = true
	return append(everywhere(
		fmt.Sprintf("RENAME TABLE IF EXISTS %s TO %s", Local(from), Local(to)),
		"DROP TABLE IF EXISTS "+from,
	), d.over(to)), nil
}

// distribute gives the steps of each of known.
func distribute(known []migration, cluster string, replicated bool) ([][]step, error) {
	d := newDistributor(cluster, replicated)
	all := make([][]step, len(known))
	for i, m := range known {
		var err error
		if all[i], err = d.migration(m); err != nil {
			return nil, err
		}
	}
	return all, nil
}
