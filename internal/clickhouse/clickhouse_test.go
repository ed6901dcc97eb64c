package clickhouse_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func TestParseDefaults(t *testing.T) {
	opts, err := clickhouse.Parse("clickhouse://u:p@h:9000/d?max_open_conns=3&dial_timeout=9s")
	if err != nil {
		t.Fatal(err)
	}
	if opts.MaxOpenConns != 3 || opts.MaxIdleConns != 3 || opts.DialTimeout != 9*time.Second || opts.Compression == nil {
		t.Errorf("options from the DSN are lost: %+v", opts)
	}
	if opts, err = clickhouse.Parse("clickhouse://h"); err != nil || opts.MaxOpenConns == 0 || opts.DialTimeout == 0 || opts.ReadTimeout == 0 {
		t.Errorf("no defaults: %+v, %v", opts, err)
	}
	for dsn, want := range map[string]clickhousego.CompressionMethod{
		"clickhouse://10.0.0.1:9000": clickhousego.CompressionLZ4, "clickhouse://db:9000": clickhousego.CompressionLZ4,
		"clickhouse://127.0.0.1:9000": clickhousego.CompressionNone, "clickhouse://[::1]:9000": clickhousego.CompressionNone,
		"clickhouse://127.0.0.1:9000,10.0.0.1:9000": clickhousego.CompressionLZ4,
		"clickhouse://127.0.0.1:9000?compress=zstd": clickhousego.CompressionZSTD,
	} {
		if opts, err := clickhouse.Parse(dsn); err != nil || opts.Compression.Method != want {
			t.Errorf("%s: compression %v, %v, want %v", dsn, opts.Compression.Method, err, want)
		}
	}
}

// No error shows the password.
func TestOpenErrors(t *testing.T) {
	_, dsn := clickhousetest.DB(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	wrong := *u
	wrong.User = url.UserPassword("coldscope", "sEcrEt")
	for name, tc := range map[string]struct {
		dsn, want string
		retryable bool
	}{
		"nobody there":   {"clickhouse://u:sEcrEt@127.0.0.1:1/d", `connect to ClickHouse at 127.0.0.1:1, database "d", as user "u"`, true},
		"wrong password": {wrong.String(), "connect to ClickHouse at " + u.Host, false},
		"not a URL":      {"clickhouse://u:sEcrEt/@h:9000/d%zz", "parse ClickHouse DSN", false},
		"slash in it":    {"clickhouse://u:sEc/rEt@h:9000/d", "parse ClickHouse DSN", false},
		"http":           {"http://u:sEcrEt@127.0.0.1:8123/d", "only the native protocol", false},
		"no scheme":      {"127.0.0.1:9000", "parse ClickHouse DSN", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := clickhouse.Open(t.Context(), tc.dsn)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Open = %v, want %q", err, tc.want)
			}
			if text := fmt.Sprint(err); strings.Contains(text, "sEcrEt") || strings.Contains(text, "sEc") {
				t.Errorf("the error shows the password: %s", text)
			}
			if got := clickhouse.Retryable(err); got != tc.retryable {
				t.Errorf("Retryable = %t, want %t: %v", got, tc.retryable, err)
			}
		})
	}
}

func TestRetryable(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := conn.Exec(t.Context(), "CREATE TABLE x (n UInt8) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]bool{
		"SELEC 1":                      false,
		"SELECT toUInt8('x')":          false,
		"SELECT n FROM missing":        false,
		"INSERT INTO x SELECT 'x'":     false,
		"SELECT throwIf(1, 'thrown')":  false,
		"ALTER TABLE x ADD COLUMN n Z": false,
		"SELECT sum(sleepEachRow(0.1)) FROM numbers(50) SETTINGS max_execution_time = 0.2, max_block_size = 1": true,
		"SELECT groupArray(number) FROM numbers(10000000) SETTINGS max_memory_usage = 10000000":                true,
	} {
		err := conn.Exec(t.Context(), query)
		if err == nil {
			t.Errorf("%s: no error", query)
		} else if got := clickhouse.Retryable(fmt.Errorf("insert rows: %w", err)); got != want {
			t.Errorf("%s: Retryable = %t, want %t: %v", query, got, want, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := conn.Exec(ctx, "SELECT sleep(3)"); !clickhouse.Retryable(err) {
		t.Errorf("deadline: not retryable: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := conn.Exec(ctx, "SELECT 1"); clickhouse.Retryable(err) {
		t.Errorf("cancelled by the caller: retryable: %v", err)
	}
	if clickhouse.Retryable(nil) || clickhouse.Retryable(errors.New("any")) {
		t.Error("no error, or an unknown one, is retryable")
	}
}

// The numbers mean what their names say.
func TestRetryableCodes(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	for code, want := range clickhouse.RetryableCodes {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT errorCodeToName($1)", code).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%d is %s, not %s", code, got, want)
		}
	}
}
