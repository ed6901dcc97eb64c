-- 0001_facts
CREATE TABLE IF NOT EXISTS logs_local
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
    revision    UInt64 CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/logs_0001', '{replica}', revision)
PARTITION BY toDate(ts)
ORDER BY (tenant, namespace, function, ts, file_id, offset)
SETTINGS replicated_deduplication_window = 1000;
CREATE OR REPLACE TABLE logs AS logs_local
ENGINE = Distributed('two_shards', currentDatabase(), logs_local, cityHash64(tenant, namespace, function));
CREATE TABLE IF NOT EXISTS invocations_local
(
    tenant       LowCardinality(String),
    namespace    LowCardinality(String),
    function     LowCardinality(String),
    started_at   DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    request_id   String CODEC(ZSTD(1)),
    instance     String CODEC(ZSTD(1)),
    version      Nullable(String),
    trigger      Nullable(String),
    queued_at    Nullable(DateTime64(9, 'UTC')),
    ended_at     Nullable(DateTime64(9, 'UTC')),
    status       Nullable(String),
    http_status  Nullable(UInt16),
    error        Nullable(String),
    duration_ns  Nullable(Int64),
    memory_peak  Nullable(Int64),
    cpu_time_ns  Nullable(Int64),
    bytes_in     Nullable(Int64),
    bytes_out    Nullable(Int64),
    cold         Nullable(Bool),
    cold_wait_ns Nullable(Int64),
    INDEX by_request request_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplicatedCoalescingMergeTree('/clickhouse/tables/{shard}/{database}/invocations_0001', '{replica}')
PARTITION BY toDate(started_at)
ORDER BY (tenant, namespace, function, started_at, request_id, instance)
SETTINGS replicated_deduplication_window = 1000;
CREATE OR REPLACE TABLE invocations AS invocations_local
ENGINE = Distributed('two_shards', currentDatabase(), invocations_local, cityHash64(tenant, namespace, function));
CREATE TABLE IF NOT EXISTS cold_starts_local
(
    tenant         LowCardinality(String),
    namespace      LowCardinality(String),
    function       LowCardinality(String),
    instance       String CODEC(ZSTD(1)),
    version        Nullable(String),
    host           Nullable(String),
    initialization Nullable(String),
    request_id     Nullable(String),
    demanded_at    Nullable(DateTime64(9, 'UTC')),
    ready_at       Nullable(DateTime64(9, 'UTC')),
    stopped_at     Nullable(DateTime64(9, 'UTC')),
    stop_reason    Nullable(String),
    exit_code      Nullable(Int32),
    oom            Nullable(Bool),
    memory_peak    Nullable(Int64),
    image          Nullable(String),
    digest         Nullable(String),
    image_bytes    Nullable(Int64),
    registry       Nullable(String),
    region         Nullable(String),
    memory_limit   Nullable(Int64)
)
ENGINE = ReplicatedCoalescingMergeTree('/clickhouse/tables/{shard}/{database}/cold_starts_0001', '{replica}')
ORDER BY (tenant, namespace, function, instance)
SETTINGS replicated_deduplication_window = 1000;
CREATE OR REPLACE TABLE cold_starts AS cold_starts_local
ENGINE = Distributed('two_shards', currentDatabase(), cold_starts_local, cityHash64(tenant, namespace, function));
CREATE TABLE IF NOT EXISTS phases_local
(
    tenant     LowCardinality(String),
    namespace  LowCardinality(String),
    function   LowCardinality(String),
    instance   String CODEC(ZSTD(1)),
    phase      LowCardinality(String),
    start      DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    end        DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    version    LowCardinality(String),
    error      String,
    attributes Map(LowCardinality(String), String),
    revision   UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/phases_0001', '{replica}', revision)
PARTITION BY toDate(start)
ORDER BY (tenant, namespace, function, instance, phase, start)
SETTINGS replicated_deduplication_window = 1000;
CREATE OR REPLACE TABLE phases AS phases_local
ENGINE = Distributed('two_shards', currentDatabase(), phases_local, cityHash64(tenant, namespace, function));
CREATE TABLE IF NOT EXISTS layers_local
(
    tenant         LowCardinality(String),
    namespace      LowCardinality(String),
    function       LowCardinality(String),
    instance       String CODEC(ZSTD(1)),
    digest         String CODEC(ZSTD(1)),
    bytes          Int64,
    cache          LowCardinality(String),
    download_start Nullable(DateTime64(9, 'UTC')),
    download_end   Nullable(DateTime64(9, 'UTC')),
    unpack_start   Nullable(DateTime64(9, 'UTC')),
    unpack_end     Nullable(DateTime64(9, 'UTC')),
    revision       UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/layers_0001', '{replica}', revision)
ORDER BY (tenant, namespace, function, instance, digest)
SETTINGS replicated_deduplication_window = 1000;
CREATE OR REPLACE TABLE layers AS layers_local
ENGINE = Distributed('two_shards', currentDatabase(), layers_local, cityHash64(tenant, namespace, function));
-- 0002_accounts
CREATE TABLE IF NOT EXISTS ledgers_local
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/ledgers_0002', '{replica}', revision)
ORDER BY (tenant, namespace, function, instance, file_id)
SETTINGS replicated_deduplication_window = 1000;
CREATE OR REPLACE TABLE ledgers AS ledgers_local
ENGINE = Distributed('two_shards', currentDatabase(), ledgers_local, cityHash64(tenant, namespace, function));
CREATE TABLE IF NOT EXISTS gaps_local
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/gaps_0002', '{replica}', revision)
ORDER BY (tenant, namespace, function, instance, file_id, offset, event)
SETTINGS replicated_deduplication_window = 1000;
CREATE OR REPLACE TABLE gaps AS gaps_local
ENGINE = Distributed('two_shards', currentDatabase(), gaps_local, cityHash64(tenant, namespace, function));
ALTER TABLE cold_starts_local ADD COLUMN IF NOT EXISTS cpu_time_ns Nullable(Int64);
CREATE OR REPLACE TABLE cold_starts AS cold_starts_local
ENGINE = Distributed('two_shards', currentDatabase(), cold_starts_local, cityHash64(tenant, namespace, function));
ALTER TABLE invocations_local
    ADD COLUMN IF NOT EXISTS usage_memory_peak Nullable(Int64),
    ADD COLUMN IF NOT EXISTS usage_cpu_time_ns Nullable(Int64),
    ADD COLUMN IF NOT EXISTS usage_shared Nullable(Bool);
CREATE OR REPLACE TABLE invocations AS invocations_local
ENGINE = Distributed('two_shards', currentDatabase(), invocations_local, cityHash64(tenant, namespace, function));
-- 0003_lines
ALTER TABLE logs_local
    ADD COLUMN IF NOT EXISTS severity UInt8 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS trace_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS span_id String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS raw String CODEC(ZSTD(1));
CREATE OR REPLACE TABLE logs AS logs_local
ENGINE = Distributed('two_shards', currentDatabase(), logs_local, cityHash64(tenant, namespace, function));
