package main

import (
	"maps"
	"slices"
	"strings"
)

// A variant is one shape of the table of lines.
type variant struct {
	name, about string
	columns     map[string]string // the types and codecs that differ from columns; "" leaves the column out
	fill        map[string]string // what fills a column instead of the base's
	order       string            // what follows (tenant, namespace, function in the sort key
	primary     string            // the same of the primary key, if it is shorter
	inside      []string          // indices and projections
	settings    string
	beside      []string // statements for tables beside it; TABLE is its name
	find        string   // how a request is found: all, keys or index
	word        string   // the condition on a token; WORD is the token
	newest      string   // the sort order in which the newest lines are read, if it is not by ts
}

// columns are those of internal/schema/sql, in their order.
var columns = []struct{ name, kind string }{
	{"tenant", "LowCardinality(String)"},
	{"namespace", "LowCardinality(String)"},
	{"function", "LowCardinality(String)"},
	{"version", "LowCardinality(String)"},
	{"instance", "String CODEC(ZSTD(1))"},
	{"host", "LowCardinality(String)"},
	{"ts", "DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1))"},
	{"stream", "Enum8('stdout' = 1, 'stderr' = 2, 'platform' = 3)"},
	{"request_id", "String CODEC(ZSTD(1))"},
	{"attribution", "Enum8('explicit' = 1, 'window' = 2, 'init' = 3, 'late' = 4, 'ambiguous' = 5, 'none' = 6)"},
	{"candidates", "Array(String)"},
	{"packed", "String CODEC(ZSTD(1))"},
	{"truncated", "UInt64 CODEC(ZSTD(1))"},
	{"file_id", "UInt64 CODEC(ZSTD(1))"},
	{"offset", "UInt64 CODEC(Delta(8), ZSTD(1))"},
	{"revision", "UInt64 CODEC(Delta(8), ZSTD(1))"},
	{"severity", "UInt8 CODEC(ZSTD(1))"},
	{"trace_id", "String CODEC(ZSTD(1))"},
	{"span_id", "String CODEC(ZSTD(1))"},
	{"attributes", "Map(LowCardinality(String), String) CODEC(ZSTD(1))"},
	{"raw", "String CODEC(ZSTD(1))"},
}

const (
	bucket = "toStartOfFiveMinutes(ts)"

	// Ways to find a request.
	findAll   = "all"   // read the function, or everything
	findKeys  = "keys"  // look its keys up in the table itself, then read those
	findIndex = "index" // look its keys up in a table of its own

	substring = "position(packed, 'WORD') > 0"
	token     = "hasToken(lower(packed), 'WORD')"
	// bodyOf is the line's text, of what is stored.
	bodyOf = "    body String ALIAS replaceOne(packed, '\\x01', request_id)"

	// Sort keys of a table of requests, behind the tenant.
	byRequest = "request_id, namespace, function, instance, first"
	byTime    = "namespace, function, first, request_id, instance"

	byRequestBloom = "INDEX by_request request_id TYPE bloom_filter(0.001) GRANULARITY 1"
)

// requests is a table with the span of each request's lines, and the view that
// fills it.
func requests(order string, inside ...string) []string {
	clauses := strings.Join(append([]string{""}, inside...), ",\n    ")
	settings := ""
	if strings.Contains(clauses, "PROJECTION") {
		settings = "\nSETTINGS deduplicate_merge_projection_mode = 'rebuild'"
	}
	return []string{
		`CREATE TABLE TABLE_requests
(
    day        Date CODEC(ZSTD(1)),
    tenant     LowCardinality(String),
    request_id String CODEC(ZSTD(1)),
    namespace  LowCardinality(String),
    function   LowCardinality(String),
    instance   LowCardinality(String),
    first      DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    last       DateTime64(9, 'UTC') CODEC(ZSTD(1))` + clauses + `
)
ENGINE = ReplacingMergeTree PARTITION BY day ORDER BY (tenant, ` + order + `)` + settings,
		`CREATE MATERIALIZED VIEW TABLE_requests_view TO TABLE_requests AS
SELECT toDate(ts) AS day, tenant, request_id, namespace, function, instance, min(ts) AS first, max(ts) AS last
FROM TABLE WHERE request_id != '' GROUP BY day, tenant, request_id, namespace, function, instance`,
	}
}

// with is v under another name, changed.
func (v variant) with(name, about string, change func(*variant)) variant {
	v.name, v.about = name, about
	v.columns, v.fill = maps.Clone(v.columns), maps.Clone(v.fill)
	if v.columns == nil {
		v.columns = map[string]string{}
	}
	if v.fill == nil {
		v.fill = map[string]string{}
	}
	v.inside, v.beside = slices.Clone(v.inside), slices.Clone(v.beside)
	change(&v)
	return v
}

func inside(clauses ...string) func(*variant) {
	return func(v *variant) {
		v.inside = append(v.inside, clauses...)
		v.find = findKeys
	}
}

func beside(statements []string) func(*variant) {
	return func(v *variant) { v.beside, v.find = statements, findIndex }
}

func column(name, kind string) func(*variant) {
	return func(v *variant) { v.columns[name] = kind }
}

func settings(s string) func(*variant) { return func(v *variant) { v.settings = s } }

// variants lists all of them, in the order in which the report shows them.
func variants() []variant {
	now := variant{name: "now", about: "migration 8 without its indices", order: "ts, file_id, offset", find: findAll, word: substring}
	inBuckets := now.with("bucket", "five minutes before ts", func(v *variant) {
		v.order, v.newest = bucket+", ts, file_id, offset", bucket+" DESC, ts DESC, file_id DESC, offset DESC"
	})
	byFile := now.with("bucket-file", "five minutes, then the file", func(v *variant) { v.order = bucket + ", file_id, ts, offset" })
	// The shape that all that follows varies.
	base := byFile.with("bloom", "bucket-file; request_id in a bloom filter", inside(byRequestBloom))
	list := []variant{
		now, inBuckets, byFile,
		now.with("bucket-instance", "five minutes, then the instance", func(v *variant) { v.order = bucket + ", instance, ts, file_id, offset" }),
		now.with("hour-file", "an hour, then the file", func(v *variant) { v.order = "toStartOfHour(ts), file_id, ts, offset" }),
		now.with("now-bloom", "now; request_id in a bloom filter", inside(byRequestBloom)),
		base,
		byFile.with("bloom-g4", "the same over four granules", inside("INDEX by_request request_id TYPE bloom_filter(0.001) GRANULARITY 4")),
		byFile.with("projection", "_part_offset by request_id", func(v *variant) {
			inside("PROJECTION by_request (SELECT _part_offset ORDER BY request_id)")(v)
			v.settings = "deduplicate_merge_projection_mode = 'rebuild'"
		}),
		byFile.with("projection-columns", "few columns by request_id", func(v *variant) {
			inside("PROJECTION by_request (SELECT tenant, namespace, function, request_id, ts ORDER BY request_id)")(v)
			v.settings = "deduplicate_merge_projection_mode = 'rebuild'"
		}),
		byFile.with("index", "a table by request_id, by a view", beside(requests(byRequest))),
		base.with("index-bloom", "that and the bloom filter", beside(requests(byRequest))),
		byFile.with("invocations-bloom", "a table by time with a bloom filter on request_id", beside(requests(byTime, byRequestBloom))),
		byFile.with("invocations-projection", "with a projection of _part_offset",
			beside(requests(byTime, "PROJECTION by_request (SELECT _part_offset ORDER BY request_id)"))),
		byFile.with("invocations-text", "with a text index on request_id",
			beside(requests(byTime, "INDEX by_request request_id TYPE text(tokenizer = 'array')"))),
		byFile.with("request-text", "request_id in a text index", inside("INDEX by_request request_id TYPE text(tokenizer = 'array')")),

		base.with("body-text", "bloom; body in a text index", func(v *variant) {
			inside("INDEX words lower(packed) TYPE text(tokenizer = 'splitByNonAlpha')")(v)
			v.word = token
		}),
		base.with("body-tokenbf", "bloom; body in tokenbf_v1(32768, 3, 0)", func(v *variant) {
			inside("INDEX words lower(packed) TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 1")(v)
			v.word = token
		}),

		base.with("body-zstd3", "bloom; body ZSTD(3)", column("packed", "String CODEC(ZSTD(3))")),
		base.with("body-zstd6", "bloom; body ZSTD(6)", column("packed", "String CODEC(ZSTD(6))")),
		base.with("body-lz4", "bloom; body LZ4", column("packed", "String CODEC(LZ4)")),
		base.with("body-blocks", "bloom; body in blocks of 1 MiB", column("packed", "String CODEC(ZSTD(1)) SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 1048576)")),
		base.with("body-zstd3-blocks", "bloom; body ZSTD(3) in blocks of 1 MiB", column("packed", "String CODEC(ZSTD(3)) SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 1048576)")),
		base.with("ts-doubledelta", "bloom; ts DoubleDelta", column("ts", "DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD(1))")),
		base.with("ts-plain", "bloom; ts ZSTD alone", column("ts", "DateTime64(9, 'UTC') CODEC(ZSTD(1))")),
		base.with("key-short", "bloom; the primary key ends at the five minutes", func(v *variant) { v.primary = bucket }),
		base.with("instance-lc", "bloom; instance LowCardinality", column("instance", "LowCardinality(String)")),
		base.with("body-whole", "bloom; the request's ID in the text, too", func(v *variant) { v.fill["packed"] = "body" }),
		base.with("revision-batch", "bloom; one revision a push", func(v *variant) {
			v.fill["revision"] = "revision - revision % 1000000"
		}),

		base.with("granule-2048", "bloom; index_granularity 2048", settings("index_granularity = 2048")),
		base.with("granule-16384", "bloom; index_granularity 16384", settings("index_granularity = 16384")),
		base.with("wide", "bloom; every part wide", settings("min_bytes_for_wide_part = 0")),
		base.with("compact-100m", "bloom; compact up to 100 MB", settings("min_bytes_for_wide_part = 100000000")),
		base.with("horizontal", "bloom; no vertical merges", settings("enable_vertical_merge_algorithm = 0")),
		base.with("merge-base-12", "bloom; a merge of parts of like size", settings("merge_selector_base = 12")),
		now.with("now-merge-10", "now; ten parts or more a merge", settings("min_parts_to_merge_at_once = 10")),
		base.with("merge-10", "bloom; ten parts or more a merge", settings("min_parts_to_merge_at_once = 10")),
		base.with("wide-late", "bloom; compact until merged twice", settings("min_level_for_wide_part = 2")),
	}
	return list
}

// table is the name of the variant's table.
func (v *variant) table() string { return "v_" + strings.ReplaceAll(v.name, "-", "_") }

// create gives the statements that make its tables.
func (v *variant) create() []string {
	var lines []string
	for _, c := range columns {
		kind, changed := v.columns[c.name]
		if !changed {
			kind = c.kind
		}
		if kind != "" {
			lines = append(lines, "    "+c.name+" "+kind)
		}
	}
	lines = append(lines, bodyOf)
	for _, clause := range v.inside {
		lines = append(lines, "    "+clause)
	}
	sql := "CREATE TABLE " + v.table() + "\n(\n" + strings.Join(lines, ",\n") + "\n)\nENGINE = ReplacingMergeTree(revision)\nPARTITION BY toDate(ts)\n"
	if v.primary != "" {
		sql += "PRIMARY KEY (tenant, namespace, function, " + v.primary + ")\n"
	}
	sql += "ORDER BY (tenant, namespace, function, " + v.order + ")\nSETTINGS non_replicated_deduplication_window = 1000"
	if v.settings != "" {
		sql += ", " + v.settings
	}
	statements := []string{sql}
	for _, s := range v.beside {
		statements = append(statements, strings.ReplaceAll(s, "TABLE_", v.table()+"_"))
	}
	for i := 1; i < len(statements); i++ {
		statements[i] = strings.ReplaceAll(statements[i], "FROM TABLE", "FROM "+v.table())
	}
	return statements
}

// insert gives the statement that copies the base's lines of a time.
func (v *variant) insert(into string) string {
	var names, values []string
	for _, c := range columns {
		kind, changed := v.columns[c.name]
		if changed && kind == "" {
			continue
		}
		names = append(names, c.name)
		value := c.name
		if f := v.fill[c.name]; f != "" {
			value = f
		}
		values = append(values, value)
	}
	return "INSERT INTO " + into + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(values, ", ") +
		" FROM base WHERE ts >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Nano({to:Int64}, 'UTC')"
}
