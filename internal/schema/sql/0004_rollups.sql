-- Figures by the minute, beside the rows that they are made of.
--
-- What is inserted may be a duplicate or a correction, so figures cannot be
-- summed up at the insert. An insert only marks its minutes as dirty; the
-- aggregator rolls them up again from the rows, once they are closed and quiet.
-- A minute is clean, and its figures count, while dirtied <= rolled; figures of
-- any other generation than rolled do not count. Both are nanoseconds of the
-- server's clock. The mark without a tenant says that all rows from before
-- there were marks have theirs.
CREATE TABLE IF NOT EXISTS rollup_marks
(
    kind      Enum8('lines' = 1, 'invocations' = 2, 'starts' = 3),
    tenant    LowCardinality(String),
    namespace LowCardinality(String),
    function  LowCardinality(String),
    minute    DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    dirtied   SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    rolled    SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    INDEX by_dirtied dirtied TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(minute)
ORDER BY (kind, tenant, namespace, function, minute)
SETTINGS index_granularity = 1024;

-- Facts of a start arrive one by one, and most do not tell the minute of its
-- demand. So they mark the instance, and an instance knows its minutes.
CREATE TABLE IF NOT EXISTS rollup_instances
(
    tenant    LowCardinality(String),
    namespace LowCardinality(String),
    function  LowCardinality(String),
    instance  String CODEC(ZSTD(1)),
    dirtied   SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    minutes   SimpleAggregateFunction(groupUniqArrayArray, Array(DateTime('UTC')))
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, namespace, function, instance);

CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_marks_lines TO rollup_marks AS
SELECT
    'lines' AS kind,
    tenant,
    namespace,
    function,
    toStartOfMinute(toDateTime(ts, 'UTC')) AS minute,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied
FROM logs
GROUP BY tenant, namespace, function, minute;

CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_marks_invocations TO rollup_marks AS
SELECT
    'invocations' AS kind,
    tenant,
    namespace,
    function,
    toStartOfMinute(toDateTime(started_at, 'UTC')) AS minute,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied
FROM invocations
GROUP BY tenant, namespace, function, minute;

CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_instances_starts TO rollup_instances AS
SELECT
    tenant,
    namespace,
    function,
    instance,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied,
    groupUniqArrayIf(toStartOfMinute(toDateTime(assumeNotNull(demanded_at), 'UTC')), demanded_at IS NOT NULL) AS minutes
FROM cold_starts
GROUP BY tenant, namespace, function, instance;

CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_instances_phases TO rollup_instances AS
SELECT
    tenant,
    namespace,
    function,
    instance,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied
FROM phases
GROUP BY tenant, namespace, function, instance;

-- The state of each minute, whatever marked it.
CREATE VIEW IF NOT EXISTS rollup_state AS
SELECT kind, tenant, namespace, function, minute, max(dirtied) AS dirtied, max(rolled) AS rolled
FROM
(
    SELECT toString(kind) AS kind, tenant, namespace, function, minute, dirtied, rolled
    FROM rollup_marks
    WHERE tenant != ''
    UNION ALL
    SELECT 'starts' AS kind, tenant, namespace, function, arrayJoin(minutes) AS minute, dirtied, toUInt64(0) AS rolled
    FROM
    (
        SELECT tenant, namespace, function, instance, max(dirtied) AS dirtied, groupUniqArrayArray(minutes) AS minutes
        FROM rollup_instances
        GROUP BY tenant, namespace, function, instance
    )
)
GROUP BY kind, tenant, namespace, function, minute;

-- Lines. severity is the lowest number of OpenTelemetry's range (1 trace, 5 debug,
-- 9 info, 13 warn, 17 error, 21 fatal), 0 for not said; bytes are those of the bodies.
CREATE TABLE IF NOT EXISTS line_minutes
(
    tenant     LowCardinality(String),
    namespace  LowCardinality(String),
    function   LowCardinality(String),
    minute     DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    version    LowCardinality(String),
    severity   UInt8,
    stream     Enum8('stdout' = 1, 'stderr' = 2, 'platform' = 3),
    lines      UInt64 CODEC(ZSTD(1)),
    bytes      UInt64 CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY toYYYYMM(minute)
ORDER BY (tenant, namespace, function, minute, version, severity, stream);

-- Invocations by the minute of their start at the instance. Times are nanoseconds.
CREATE TABLE IF NOT EXISTS invocation_minutes
(
    tenant         LowCardinality(String),
    namespace      LowCardinality(String),
    function       LowCardinality(String),
    minute         DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    version        LowCardinality(String),
    invocations    UInt64 CODEC(ZSTD(1)),
    errors         UInt64 CODEC(ZSTD(1)),
    cold           UInt64 CODEC(ZSTD(1)),
    last_seen      DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    duration_sum   Int64 CODEC(ZSTD(1)),
    durations      AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Int64) CODEC(ZSTD(1)),
    cold_wait_sum  Int64 CODEC(ZSTD(1)),
    cold_waits     AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Int64) CODEC(ZSTD(1)),
    generation     UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY toYYYYMM(minute)
ORDER BY (tenant, namespace, function, minute, version);

-- Finished starts by the minute of their demand: each phase, for as long as it
-- was active, and total from the demand to readiness. Times are nanoseconds.
CREATE TABLE IF NOT EXISTS start_minutes
(
    tenant     LowCardinality(String),
    namespace  LowCardinality(String),
    function   LowCardinality(String),
    minute     DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    version    LowCardinality(String),
    digest     String CODEC(ZSTD(1)),
    phase      LowCardinality(String),
    starts     UInt64 CODEC(ZSTD(1)),
    sum        Int64 CODEC(ZSTD(1)),
    max        Int64 CODEC(ZSTD(1)),
    durations  AggregateFunction(quantilesTDigest(0.5, 0.9, 0.95, 0.99), Int64) CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
PARTITION BY toYYYYMM(minute)
ORDER BY (tenant, namespace, function, minute, version, digest, phase);
