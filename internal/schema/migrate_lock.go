package schema

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// schemaLease is how long the lock lasts without a sign of its owner, and so
// how long others wait after a crash. A live owner renews it in a third of that.
const schemaLease = 15 * time.Second

var errLockLost = errors.New("another process took the schema's lock over, because this one gave no sign for too long")

// A lock is a table, schema_lock_N, whose comment names its owner and the
// moment, by the server's clock, at which its lease ends. ClickHouse gives a
// CREATE TABLE of one name to exactly one caller, and the comment comes into
// being with the table.
//
// The table with the highest N is the lock. Whoever finds its lease over creates
// N+1; of several who do, one succeeds. So the number is also the fencing
// token: an owner that was away renews and releases its own N only, and sees
// by a higher one that it has lost. The highest table is never dropped,
// or a process that slept since it read N could create N+1 a second time;
// should lower ones be gone, such a process creates one that is not the
// highest, sees that, and drops it again.
type lock struct {
	conn  driver.Conn
	lease time.Duration
	owner string
	n     uint64
	until time.Time // by our clock, when the lease that acquire took is over

	cancel  context.CancelCauseFunc
	renewer sync.WaitGroup
}

// acquire waits for the lock. The returned context is cancelled, with
// errLockLost as its cause, when somebody else may hold it; release must be
// called.
func acquire(ctx context.Context, conn driver.Conn, lease time.Duration) (*lock, context.Context, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	hostname = notInHostname.ReplaceAllString(hostname, "_") // it goes into a statement
	l := &lock{conn: conn, lease: lease, owner: fmt.Sprintf("%s/%d/%s", hostname, os.Getpid(), rand.Text())}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		won, err := l.try(ctx)
		if err != nil {
			if ctx.Err() != nil { // of which the driver makes an i/o timeout
				err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
			}
			return nil, nil, err
		}
		if won {
			break
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-tick.C:
		}
	}
	held, cancel := context.WithCancelCause(ctx)
	l.cancel = cancel
	l.renewer.Go(func() { l.renew(held) })
	return l, held, nil
}

// held is a lock table as the server describes it.
type held struct {
	n    uint64
	left time.Duration // of its lease; 0 or less: free
}

// try makes one attempt.
func (l *lock) try(ctx context.Context) (won bool, err error) {
	l.until = time.Now().Add(l.lease) // before the server's clock is read
	tables, now, err := l.read(ctx)
	if err != nil {
		return false, err
	}
	var last held
	if len(tables) > 0 {
		last = tables[len(tables)-1]
	}
	if last.left > 0 {
		return false, nil
	}
	l.n = last.n + 1
	err = l.conn.Exec(ctx, fmt.Sprintf("CREATE TABLE %s (nothing UInt8) ENGINE = Null COMMENT '%s'", l.table(l.n), l.comment(now.Add(l.lease))))
	if exception := (*clickhousego.Exception)(nil); errors.As(err, &exception) && exception.Code == tableAlreadyExists {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("create table %s: %w", l.table(l.n), err)
	}
	if tables, _, err = l.read(ctx); err != nil {
		return false, err
	}
	if len(tables) == 0 || tables[len(tables)-1].n != l.n {
		return false, l.drop(ctx, l.n)
	}
	for _, t := range tables[:len(tables)-1] {
		if err := l.drop(ctx, t.n); err != nil {
			return false, err
		}
	}
	return true, nil
}

const tableAlreadyExists = 57

var notInHostname = regexp.MustCompile(`[^A-Za-z0-9.-]`)

var lockComment = regexp.MustCompile(`^held by \S+ until ([0-9]+)$`)

func (l *lock) table(n uint64) string { return "schema_lock_" + strconv.FormatUint(n, 10) }

// comment is what the lock's table says of itself. An until in the past
// means that nobody holds it.
func (l *lock) comment(until time.Time) string {
	return fmt.Sprintf("held by %s until %d", l.owner, until.UnixMilli())
}

// read lists the lock tables in order, and the server's time.
func (l *lock) read(ctx context.Context) ([]held, time.Time, error) {
	var now time.Time
	if err := l.conn.QueryRow(ctx, "SELECT now64(3, 'UTC')").Scan(&now); err != nil {
		return nil, now, fmt.Errorf("read server's time: %w", err)
	}
	rows, err := l.conn.Query(ctx, `SELECT toUInt64(extract(name, '^schema_lock_([0-9]+)$')) AS n, comment
FROM system.tables WHERE database = currentDatabase() AND match(name, '^schema_lock_[0-9]+$') ORDER BY n`)
	if err != nil {
		return nil, now, fmt.Errorf("list lock tables: %w", err)
	}
	defer rows.Close()
	var tables []held
	for rows.Next() {
		var h held
		var comment string
		if err := rows.Scan(&h.n, &comment); err != nil {
			return nil, now, fmt.Errorf("list lock tables: %w", err)
		}
		if match := lockComment.FindStringSubmatch(comment); match != nil {
			if until, err := strconv.ParseInt(match[1], 10, 64); err == nil {
				h.left = time.UnixMilli(until).Sub(now)
			}
		}
		tables = append(tables, h)
	}
	if err := rows.Err(); err != nil {
		return nil, now, fmt.Errorf("list lock tables: %w", err)
	}
	return tables, now, nil
}

// renew prolongs the lease until ctx ends. It ends ctx itself when the lock is
// lost, or when the lease is over because it could not be prolonged.
func (l *lock) renew(ctx context.Context) {
	over := time.AfterFunc(time.Until(l.until), func() { l.cancel(errLockLost) })
	defer over.Stop()
	tick := time.NewTicker(l.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		until := time.Now().Add(l.lease)
		switch err := l.prolong(ctx); {
		case err == nil:
			over.Reset(time.Until(until))
		case errors.Is(err, errLockLost):
			l.cancel(errLockLost)
			return
		} // any other error may pass before the lease is over
	}
}

func (l *lock) prolong(ctx context.Context) error {
	tables, now, err := l.read(ctx)
	if err != nil {
		return err
	}
	if len(tables) == 0 || tables[len(tables)-1].n != l.n {
		return errLockLost
	}
	return l.setComment(ctx, now.Add(l.lease))
}

func (l *lock) setComment(ctx context.Context, until time.Time) error {
	if err := l.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s MODIFY COMMENT '%s'", l.table(l.n), l.comment(until))); err != nil {
		return fmt.Errorf("change comment of %s: %w", l.table(l.n), err)
	}
	return nil
}

// release lets the next one go ahead at once. Where that fails, it waits for
// the end of the lease.
func (l *lock) release(ctx context.Context) {
	l.cancel(nil)
	l.renewer.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.lease/3)
	defer cancel()
	_ = l.setComment(ctx, time.UnixMilli(0))
}

func (l *lock) drop(ctx context.Context, n uint64) error {
	if err := l.conn.Exec(ctx, "DROP TABLE IF EXISTS "+l.table(n)+" SYNC"); err != nil {
		return fmt.Errorf("drop table %s: %w", l.table(n), err)
	}
	return nil
}
