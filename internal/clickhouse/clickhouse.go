// Package clickhouse opens connections to ClickHouse and says of its errors
// whether trying again can help. It knows nothing of Coldscope's tables
// (internal/schema does) and nothing of how the engine is run
// (clickhouse/embedded does).
package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// What a DSN that does not say otherwise gets.
const (
	dialTimeout     = 5 * time.Second
	readTimeout     = 2 * time.Minute // between two packets of one answer
	connMaxLifetime = 30 * time.Minute
	maxOpenConns    = 32
	maxIdleConns    = 8
)

// Open connects to the ClickHouse that dsn names
// (clickhouse://user:password@host:9000/database) over the native protocol,
// and pings it. Parameters in the DSN (dial_timeout, max_open_conns, secure,
// any setting, …) win over the defaults here.
//
// The connection is a pool, safe for concurrent use; the caller closes it.
// Errors name the host and the database, never the password.
func Open(ctx context.Context, dsn string) (driver.Conn, error) {
	opts, err := Parse(dsn)
	if err != nil {
		return nil, err
	}
	return OpenOptions(ctx, opts)
}

// Parse reads a DSN and fills in the defaults of this package.
func Parse(dsn string) (*clickhousego.Options, error) {
	opts, err := clickhousego.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("parse ClickHouse DSN: %w (want clickhouse://USER:PASSWORD@HOST:9000/DATABASE)", err)
	}
	if opts.Protocol != clickhousego.Native {
		return nil, errors.New("parse ClickHouse DSN: only the native protocol is supported: use clickhouse://… and the server's native port (9000, with TLS 9440 and ?secure=true) instead of http(s)://")
	}
	if opts.Compression == nil {
		opts.Compression = &clickhousego.Compression{Method: clickhousego.CompressionLZ4}
		if local(opts.Addr) {
			opts.Compression.Method = clickhousego.CompressionNone // memory is faster than any codec
		}
	}
	opts.DialTimeout = cmp.Or(opts.DialTimeout, dialTimeout)
	opts.ReadTimeout = cmp.Or(opts.ReadTimeout, readTimeout)
	opts.ConnMaxLifetime = cmp.Or(opts.ConnMaxLifetime, connMaxLifetime)
	opts.MaxOpenConns = cmp.Or(opts.MaxOpenConns, maxOpenConns)
	opts.MaxIdleConns = cmp.Or(opts.MaxIdleConns, min(maxIdleConns, opts.MaxOpenConns))
	return opts, nil
}

// local reports whether all addresses are of this machine.
func local(addrs []string) bool {
	for _, addr := range addrs {
		host, _, err := net.SplitHostPort(addr)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			return false
		}
	}
	return true
}

// OpenOptions is Open for options that Parse returned and the caller changed.
func OpenOptions(ctx context.Context, opts *clickhousego.Options) (driver.Conn, error) {
	conn, err := clickhousego.Open(opts)
	if err == nil {
		if err = conn.Ping(ctx); err == nil {
			return conn, nil
		}
		_ = conn.Close() // the ping's error says more
	}
	return nil, fmt.Errorf("connect to ClickHouse at %s, database %q, as user %q: %w",
		strings.Join(opts.Addr, ","), cmp.Or(opts.Auth.Database, "default"), cmp.Or(opts.Auth.Username, "default"), err)
}
