// Package erase deletes all data of one tenant, or of one function of it, on
// request.
//
// The deletion is the engine's: it rewrites the parts in the background, goes on
// after a restart, and what is gone is gone from the disk. First the rows go,
// then, by a second call, the figures that were made of them, which a rolling
// aggregator could write again for as long as there are rows. All that was
// acknowledged before the first call is gone when a call says done. What is
// written meanwhile may stay, such as lines that collectors still have to send
// or corrections of lines that an aggregator remembers: a later call
// finds it. So a function is best removed from its platform first.
package erase

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/internal/wire"
)

// Path is where the handler answers.
const Path = "/api/v1/admin/data"

// Scope says whose data is deleted: all of the tenant's, or one function's.
type Scope struct{ Tenant, Namespace, Function string }

// Validate says what is missing.
func (s Scope) Validate() error {
	switch {
	case s.Tenant == "":
		return fmt.Errorf("tenant is missing: say whose data")
	case (s.Namespace == "") != (s.Function == ""):
		return fmt.Errorf("namespace and function go together: a function's name alone may be another one's, too")
	}
	return nil
}

// Progress is how far a deletion is.
type Progress struct {
	Tables []Table `json:"tables"` // those that still have rows, or are being worked on
	Done   bool    `json:"done"`
}

// Table is what is left in one table.
type Table struct {
	Table   string `json:"table"`
	Rows    uint64 `json:"rows"`    // left
	Running bool   `json:"running"` // a deletion is under way
}

// Eraser deletes. It is safe for concurrent use.
type Eraser struct {
	conn   driver.Conn
	logger *slog.Logger
}

// New makes an eraser over conn, which stays the caller's.
func New(conn driver.Conn, logger *slog.Logger) *Eraser { return &Eraser{conn, logger} }

func (s Scope) condition() string {
	c := "tenant = " + quote(s.Tenant)
	if s.Function != "" {
		c += " AND namespace = " + quote(s.Namespace) + " AND function = " + quote(s.Function)
	}
	return c
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// Progress says what is left of the scope's data, on all of a cluster's servers
// together.
func (e *Eraser) Progress(ctx context.Context, s Scope) (Progress, error) {
	p := Progress{Tables: []Table{}}
	stores := schema.Stores(e.conn)
	tables, err := tables(ctx, stores[0])
	if err != nil {
		return p, err
	}
	for _, name := range tables {
		t := Table{Table: name}
		for _, store := range stores {
			if err := t.look(ctx, store, s); err != nil {
				return p, err
			}
		}
		if t.Rows > 0 || t.Running {
			p.Tables = append(p.Tables, t)
		}
	}
	p.Done = len(p.Tables) == 0
	return p, nil
}

// look adds what is left of the table on one server.
func (t *Table) look(ctx context.Context, store schema.Store, s Scope) error {
	name := store.Table(t.Table)
	var rows uint64
	if err := store.QueryRow(ctx, "SELECT count() FROM "+name+" WHERE "+s.condition()).Scan(&rows); err != nil {
		return fmt.Errorf("count what is left in %s: %w", name, err)
	}
	var running bool
	const look = "SELECT count() > 0 FROM system.mutations WHERE database = currentDatabase() AND table = $1 AND NOT is_done AND NOT is_killed"
	if err := store.QueryRow(ctx, look, name).Scan(&running); err != nil {
		return fmt.Errorf("look for deletions under way on %s: %w", name, err)
	}
	t.Rows, t.Running = t.Rows+rows, t.Running || running
	return nil
}

// tables lists the tables that hold tenants' data, those with rows before
// those with figures.
func tables(ctx context.Context, store schema.Store) ([]string, error) {
	var names []string
	const list = `SELECT groupArray(name) FROM
(
    SELECT name FROM system.tables
    WHERE database = currentDatabase() AND endsWith(engine, 'MergeTree')
        AND name IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'function')
    ORDER BY name
)`
	if err := store.QueryRow(ctx, list).Scan(&names); err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	for i, name := range names {
		names[i] = store.Name(name)
	}
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case figures(a) == figures(b):
			return 0
		case figures(b):
			return -1
		}
		return 1
	})
	return names, nil
}

func figures(table string) bool {
	return strings.HasSuffix(table, "_minutes") || strings.HasPrefix(table, "rollup_")
}

// Erase orders the deletion of what is left and says how far it is. It is
// called again until that says done.
func (e *Eraser) Erase(ctx context.Context, s Scope) (Progress, error) {
	stores := schema.Stores(e.conn)
	before := make([]uint64, len(stores)) // on each server's clock
	for i, store := range stores {
		if err := store.QueryRow(ctx, "SELECT toUInt64(toUnixTimestamp64Nano(now64(9)))").Scan(&before[i]); err != nil {
			return Progress{}, fmt.Errorf("ask for the server's time: %w", err)
		}
	}
	p, err := e.Progress(ctx, s)
	if err != nil {
		return p, err
	}
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{"mutations_sync": 0}))
	rows := len(p.Tables) > 0 && !figures(p.Tables[0].Table)
	for i, t := range p.Tables {
		if t.Running || t.Rows == 0 || rows && figures(t.Table) {
			continue
		}
		for n, store := range stores {
			where := s.condition()
			if strings.HasPrefix(t.Table, "rollup_") {
				// An aggregator may count on marks whose time is to come: rows that were not there yet
				// when we looked are known by them.
				where += fmt.Sprintf(" AND dirtied < %d", before[n])
			}
			if err := store.Exec(ctx, "ALTER TABLE "+store.Table(t.Table)+" DELETE WHERE "+where); err != nil {
				return p, fmt.Errorf("delete from %s: %w", t.Table, err)
			}
		}
		p.Tables[i].Running = true
	}
	return p, nil
}

// ServeHTTP answers GET with the progress and DELETE with the progress after
// ordering what is left to be ordered: 200 when all is gone, else 202. Who may
// do that is checked before the port's handlers, by path and by the tenant of the
// header; so that of the query has to be the same.
func (e *Eraser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s := Scope{q.Get("tenant"), q.Get("namespace"), q.Get("function")}
	if err := s.Validate(); err != nil {
		problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	if of := wire.Tenant(r); of != s.Tenant {
		problem(w, http.StatusForbidden, fmt.Sprintf("the data is tenant %q's, the request is for tenant %q: both have to be named, in the query and in %s", s.Tenant, of, wire.HeaderTenant))
		return
	}
	var p Progress
	var err error
	switch r.Method {
	case http.MethodGet:
		p, err = e.Progress(r.Context(), s)
	case http.MethodDelete:
		p, err = e.Erase(r.Context(), s)
		access.Audit(r.Context(), e.logger, "delete data", err, slog.String("of", s.Tenant), slog.String("namespace", s.Namespace),
			slog.String("function", s.Function), slog.String("remote", r.RemoteAddr), slog.Bool("all_gone", p.Done))
	default:
		w.Header().Set("Allow", "GET, DELETE")
		problem(w, http.StatusMethodNotAllowed, "GET and DELETE are known here")
		return
	}
	switch {
	case clickhouse.Retryable(err):
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, "the store is not reachable or is busy: try again")
	case err != nil:
		e.logger.ErrorContext(r.Context(), "data could not be deleted", "error", err)
		problem(w, http.StatusInternalServerError, "the deletion failed; the service's log says why")
	case p.Done:
		answer(w, "application/json", http.StatusOK, p)
	default:
		answer(w, "application/json", http.StatusAccepted, p)
	}
}

func answer(w http.ResponseWriter, kind string, code int, body any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nobody to tell
}

// problem answers by RFC 9457.
func problem(w http.ResponseWriter, code int, detail string) {
	answer(w, "application/problem+json", code, map[string]any{"title": http.StatusText(code), "status": code, "detail": detail})
}
