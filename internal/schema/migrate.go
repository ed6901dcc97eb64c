package schema

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// Prepare makes a store ready for use: it creates the database that dsn names
// if it is missing, opens it and migrates it. The caller closes the connection.
func Prepare(ctx context.Context, dsn string) (driver.Conn, error) {
	if err := createDatabase(ctx, dsn); err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	if err := Migrate(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// createDatabase connects without the database, which ClickHouse refuses as
// long as it does not exist.
func createDatabase(ctx context.Context, dsn string) error {
	opts, err := clickhouse.Parse(dsn)
	if err != nil {
		return err
	}
	name := opts.Auth.Database
	if name == "" || name == "default" {
		return nil
	}
	opts.Auth.Database = ""
	opts.MaxOpenConns, opts.MaxIdleConns = 1, 1
	conn, err := clickhouse.OpenOptions(ctx, opts)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is pending on it
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT count() > 0 FROM system.databases WHERE name = $1", name).Scan(&exists); err != nil {
		return fmt.Errorf("look for database %s: %w", name, err)
	}
	if exists { // so that a user without the right to create one can work in it
		return nil
	}
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(name)); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

func quoteName(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// Migrate brings the connection's database to this binary's version. It only
// goes forward, and does nothing where there is nothing to do. It refuses a
// schema that is newer than this binary, and one whose applied migrations are
// not the ones this binary holds.
//
// Any number of processes may call it at once, and any of them may die at any
// moment. ClickHouse has neither transactions over DDL nor locks, so this
// rests on two things:
//
//   - Every statement can be repeated (load refuses others), and a migration is
//     recorded in schema_migrations after its last statement. What a crash left
//     half done is done again from its first statement, and recording it
//     twice folds into one row.
//   - One process at a time works, under the lease of migrate_lock.go. A process
//     that stalls for longer than its lease finds it lost before its next
//     statement. One statement that was already on its way can then overlap with the
//     next owner's; it is a statement that owner repeats or finds done,
//     because migrations are the same for both: their checksums are compared.
//
// The lock is per server. Two processes that migrate two replicas at once
// have only the first of the two to rely on.
func Migrate(ctx context.Context, conn driver.Conn) error {
	known, err := known()
	if err != nil {
		return err
	}
	return migrate(ctx, conn, known)
}

// Version is the schema version that this binary knows: the number of its
// last migration.
func Version() int {
	known, err := known()
	if err != nil {
		panic(err) // embedded files that a test loads
	}
	return len(known)
}

func known() ([]migration, error) {
	sub, err := fs.Sub(sqlFiles, "sql")
	if err != nil {
		return nil, err
	}
	return load(sub)
}

// migration is one numbered file.
type migration struct {
	version    int
	name       string
	statements []string
	checksum   string // of the statements: comments may change
}

func (m migration) String() string { return fmt.Sprintf("%04d_%s", m.version, m.name) }

var fileName = regexp.MustCompile(`^([0-9]{4})_([a-z0-9_]+)\.sql$`)

// load reads NNNN_name.sql files, numbered from 1 without gaps.
func load(files fs.FS) ([]migration, error) {
	entries, err := fs.ReadDir(files, ".") // in order of name
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	var all []migration
	for _, entry := range entries {
		match := fileName.FindStringSubmatch(entry.Name())
		if match == nil {
			return nil, fmt.Errorf("read migrations: %s is not named NNNN_name.sql", entry.Name())
		}
		version, err := strconv.Atoi(match[1])
		if err != nil || version != len(all)+1 {
			return nil, fmt.Errorf("read migrations: %s follows number %d", entry.Name(), len(all))
		}
		content, err := fs.ReadFile(files, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		m := migration{version: version, name: match[2], statements: split(string(content))}
		if len(m.statements) == 0 {
			return nil, fmt.Errorf("read migrations: %s holds no statement", entry.Name())
		}
		for _, statement := range m.statements {
			if err := repeatable(statement); err != nil {
				return nil, fmt.Errorf("read migrations: %s: %w", entry.Name(), err)
			}
		}
		sum := sha256.Sum256([]byte(strings.Join(m.statements, ";\n")))
		m.checksum = hex.EncodeToString(sum[:])
		all = append(all, m)
	}
	return all, nil
}

// split cuts a file at each `;` that ends a line. Lines that are only a comment or
// only space are left out.
func split(content string) []string {
	var statements []string
	var lines []string
	flush := func() {
		if len(lines) > 0 {
			statements = append(statements, strings.Join(lines, "\n"))
			lines = nil
		}
	}
	for line := range strings.Lines(content) {
		line = strings.TrimRight(line, " \t\r\n")
		text := strings.TrimSpace(line)
		if text == "" || strings.HasPrefix(text, "--") {
			continue
		}
		body, ends := strings.CutSuffix(line, ";")
		if strings.TrimSpace(body) != "" {
			lines = append(lines, body)
		}
		if ends {
			flush()
		}
	}
	flush()
	return statements
}

var (
	blank       = regexp.MustCompile(`\s+`)
	unsafeAdd   = regexp.MustCompile(`\bADD (COLUMN|INDEX|PROJECTION|CONSTRAINT|STATISTICS) `)
	unsafeDrop  = regexp.MustCompile(`\b(DROP|RENAME) (COLUMN|INDEX|PROJECTION|CONSTRAINT|STATISTICS) `)
	guardedWith = regexp.MustCompile(`^IF (NOT )?EXISTS `)
)

// repeatable refuses a statement that fails or does harm when it runs a second
// time.
func repeatable(statement string) error {
	s := blank.ReplaceAllString(strings.ToUpper(statement), " ") + " "
	verb, _, _ := strings.Cut(s, " ")
	bad := false
	switch verb {
	case "CREATE":
		bad = !strings.Contains(s, " IF NOT EXISTS ") && !strings.HasPrefix(s, "CREATE OR REPLACE ")
	case "DROP":
		bad = !strings.Contains(s, " IF EXISTS ")
	case "ALTER":
		for _, unsafe := range []*regexp.Regexp{unsafeAdd, unsafeDrop} {
			for _, at := range unsafe.FindAllStringIndex(s, -1) {
				bad = bad || !guardedWith.MatchString(s[at[1]:])
			}
		}
	default:
		bad = true
	}
	if !bad {
		return nil
	}
	first, _, _ := strings.Cut(statement, "\n")
	return fmt.Errorf("statement %q cannot run twice: only CREATE, ALTER and DROP with IF [NOT] EXISTS or OR REPLACE can", first)
}

// migrate is Migrate for any list of migrations.
func migrate(ctx context.Context, conn driver.Conn, known []migration) error {
	done, err := applied(ctx, conn)
	if err != nil {
		return err
	}
	if pending, err := compare(known, done); err != nil || len(pending) == 0 {
		return err
	}
	lock, ctx, err := acquire(ctx, conn, schemaLease)
	if err != nil {
		return fmt.Errorf("lock schema: %w", err)
	}
	defer lock.release(ctx)

	if err := conn.Exec(ctx, createMigrations); err != nil {
		return fmt.Errorf("create table schema_migrations: %w", err)
	}
	if done, err = applied(ctx, conn); err != nil { // others may have worked while we waited
		return err
	}
	pending, err := compare(known, done)
	if err != nil {
		return err
	}
	for _, m := range pending {
		if err := m.apply(ctx, conn); err != nil {
			if lost := context.Cause(ctx); lost != nil {
				err = lost
			}
			return fmt.Errorf("apply migration %s: %w", m, err)
		}
	}
	return nil
}

const createMigrations = `CREATE TABLE IF NOT EXISTS schema_migrations
(
    version    UInt32,
    name       String,
    checksum   String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree ORDER BY version`

// apply runs the migration's statements and records it.
func (m migration) apply(ctx context.Context, conn driver.Conn) error {
	for i, statement := range m.statements {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("statement %d: %w", i+1, err)
		}
	}
	const record = "INSERT INTO schema_migrations (version, name, checksum) SELECT $1, $2, $3"
	if err := conn.Exec(ctx, record, m.version, m.name, m.checksum); err != nil {
		return fmt.Errorf("record it: %w", err)
	}
	return nil
}

// applied lists what was recorded, in order of version.
func applied(ctx context.Context, conn driver.Conn) ([]migration, error) {
	var exists bool
	const look = "SELECT count() > 0 FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
	if err := conn.QueryRow(ctx, look).Scan(&exists); err != nil {
		return nil, fmt.Errorf("look for table schema_migrations: %w", err)
	}
	if !exists {
		return nil, nil
	}
	rows, err := conn.Query(ctx, "SELECT version, name, checksum FROM schema_migrations FINAL ORDER BY version")
	if err != nil {
		return nil, fmt.Errorf("read schema_migrations: %w", err)
	}
	defer rows.Close()
	var all []migration
	for rows.Next() {
		var m migration
		var version uint32
		if err := rows.Scan(&version, &m.name, &m.checksum); err != nil {
			return nil, fmt.Errorf("read schema_migrations: %w", err)
		}
		m.version = int(version)
		all = append(all, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read schema_migrations: %w", err)
	}
	return all, nil
}

// compare returns what of known is yet to be done, or why done is not for this
// binary.
func compare(known, done []migration) ([]migration, error) {
	if len(done) > 0 {
		if at := done[len(done)-1].version; at > len(known) {
			return nil, fmt.Errorf("schema is at version %d, this coldscope knows %d: upgrade coldscope to the release that wrote it, or use another database", at, len(known))
		}
	}
	var pending []migration
	for _, m := range known {
		i, found := slices.BinarySearchFunc(done, m.version, func(d migration, v int) int { return d.version - v })
		switch {
		case !found:
			pending = append(pending, m)
		case done[i].checksum != m.checksum:
			return nil, fmt.Errorf("migration %s was applied with other statements than this coldscope holds (recorded as %s, checksum %.12s, here %.12s): the database was made by a modified build; use the build that made it, or another database",
				m, done[i], done[i].checksum, m.checksum)
		}
	}
	return pending, nil
}
