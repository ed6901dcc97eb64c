-- The collectors' accounts of the log files that they read: one row a file,
-- and of several the one that has read furthest. What became of the lines of a
-- time is said by the files whose lines are from that time.
CREATE TABLE IF NOT EXISTS ledgers
(
    tenant          LowCardinality(String),
    namespace       LowCardinality(String),
    function        LowCardinality(String),
    instance        String CODEC(ZSTD(1)),
    file_id         String CODEC(ZSTD(1)),
    host            LowCardinality(String),
    `from`          Nullable(DateTime64(9, 'UTC')),
    `to`            Nullable(DateTime64(9, 'UTC')),
    through         Nullable(DateTime64(9, 'UTC')),
    bytes           Int64,
    lines           Int64,
    truncated_lines Int64,
    truncated_bytes Int64,
    refused_lines   Int64,
    lost_bytes      Int64,
    late_lines      Int64,
    complete        Bool,
    revision        UInt64
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (tenant, namespace, function, instance, file_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- Pieces of log files that nobody can read any more. A file and an offset name
-- one; what has no file (file_id is '') is named by its event.
CREATE TABLE IF NOT EXISTS gaps
(
    tenant    LowCardinality(String),
    namespace LowCardinality(String),
    function  LowCardinality(String),
    instance  String CODEC(ZSTD(1)),
    file_id   String CODEC(ZSTD(1)),
    offset    Int64,
    event     UInt64,
    host      LowCardinality(String),
    `from`    Nullable(DateTime64(9, 'UTC')),
    `to`      DateTime64(9, 'UTC'),
    bytes     Int64,
    reason    LowCardinality(String),
    revision  UInt64
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (tenant, namespace, function, instance, file_id, offset, event)
SETTINGS non_replicated_deduplication_window = 1000;

ALTER TABLE cold_starts ADD COLUMN IF NOT EXISTS cpu_time_ns Nullable(Int64);

-- What the host measured of an invocation. It stands beside what the platform
-- says, and counts where that says nothing: in columns of its own the order in
-- which the two arrive, and by which aggregators, makes no difference.
ALTER TABLE invocations
    ADD COLUMN IF NOT EXISTS usage_memory_peak Nullable(Int64),
    ADD COLUMN IF NOT EXISTS usage_cpu_time_ns Nullable(Int64),
    ADD COLUMN IF NOT EXISTS usage_shared Nullable(Bool);
