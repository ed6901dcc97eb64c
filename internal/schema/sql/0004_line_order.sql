-- Within five minutes of a function the lines of one file lie together, which
-- is what compresses; and a bloom filter finds a request whose invocation is
-- not known. What was measured is in docs/schema.md.
--
-- A sort key cannot be changed, so this is a new table that takes the old
-- one's place before it takes its lines: what is inserted meanwhile is in the
-- new one already. A line that is copied twice folds into one.
CREATE TABLE IF NOT EXISTS logs_by_time
(
    tenant      LowCardinality(String),
    namespace   LowCardinality(String),
    function    LowCardinality(String),
    version     LowCardinality(String),
    instance    String CODEC(ZSTD(1)),
    host        LowCardinality(String),
    ts          DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    stream      Enum8('stdout' = 1, 'stderr' = 2, 'platform' = 3),
    request_id  String CODEC(ZSTD(1)),
    attribution Enum8('explicit' = 1, 'window' = 2, 'init' = 3, 'late' = 4, 'ambiguous' = 5, 'none' = 6),
    candidates  Array(String),
    body        String CODEC(ZSTD(1)),
    truncated   UInt64 CODEC(ZSTD(1)),
    file_id     UInt64 CODEC(ZSTD(1)),
    offset      UInt64 CODEC(Delta(8), ZSTD(1)),
    revision    UInt64 CODEC(Delta(8), ZSTD(1)),
    severity    UInt8 CODEC(ZSTD(1)),
    trace_id    String CODEC(ZSTD(1)),
    span_id     String CODEC(ZSTD(1)),
    attributes  Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    raw         String CODEC(ZSTD(1)),
    INDEX by_request request_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toDate(ts)
ORDER BY (tenant, namespace, function, toStartOfFiveMinutes(ts), file_id, ts, offset)
SETTINGS non_replicated_deduplication_window = 1000;

-- From here on logs_by_time is the old table, in the order that its name says.
IF (SELECT sorting_key = 'tenant, namespace, function, ts, file_id, offset' FROM system.tables WHERE database = currentDatabase() AND name = 'logs') THEN
EXCHANGE TABLES logs AND logs_by_time;

IF (SELECT total_rows > 0 FROM system.tables WHERE database = currentDatabase() AND name = 'logs_by_time') THEN
INSERT INTO logs SELECT * FROM logs_by_time SETTINGS max_partitions_per_insert_block = 0;

DROP TABLE IF EXISTS logs_by_time;
