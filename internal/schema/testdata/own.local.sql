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
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toDate(ts)
ORDER BY (tenant, namespace, function, ts, file_id, offset)
SETTINGS non_replicated_deduplication_window = 1000;
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
ENGINE = CoalescingMergeTree
PARTITION BY toDate(started_at)
ORDER BY (tenant, namespace, function, started_at, request_id, instance)
SETTINGS non_replicated_deduplication_window = 1000;
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
ENGINE = CoalescingMergeTree
ORDER BY (tenant, namespace, function, instance)
SETTINGS non_replicated_deduplication_window = 1000;
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
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toDate(start)
ORDER BY (tenant, namespace, function, instance, phase, start)
SETTINGS non_replicated_deduplication_window = 1000;
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
ENGINE = ReplacingMergeTree(revision)
ORDER BY (tenant, namespace, function, instance, digest)
SETTINGS non_replicated_deduplication_window = 1000;
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
ENGINE = ReplacingMergeTree(revision)
ORDER BY (tenant, namespace, function, instance, file_id)
SETTINGS non_replicated_deduplication_window = 1000;
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
ENGINE = ReplacingMergeTree(revision)
ORDER BY (tenant, namespace, function, instance, file_id, offset, event)
SETTINGS non_replicated_deduplication_window = 1000;
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
-- 0004_look_ups
ALTER TABLE logs_local ADD INDEX IF NOT EXISTS by_request request_id TYPE bloom_filter(0.001) GRANULARITY 1;
CREATE OR REPLACE TABLE logs AS logs_local
ENGINE = Distributed('two_shards', currentDatabase(), logs_local, cityHash64(tenant, namespace, function));
ALTER TABLE logs_local MATERIALIZE INDEX by_request;
CREATE OR REPLACE TABLE logs AS logs_local
ENGINE = Distributed('two_shards', currentDatabase(), logs_local, cityHash64(tenant, namespace, function));
ALTER TABLE logs_local ADD INDEX IF NOT EXISTS by_instance instance TYPE bloom_filter(0.001) GRANULARITY 1;
CREATE OR REPLACE TABLE logs AS logs_local
ENGINE = Distributed('two_shards', currentDatabase(), logs_local, cityHash64(tenant, namespace, function));
ALTER TABLE logs_local MATERIALIZE INDEX by_instance;
CREATE OR REPLACE TABLE logs AS logs_local
ENGINE = Distributed('two_shards', currentDatabase(), logs_local, cityHash64(tenant, namespace, function));
ALTER TABLE invocations_local ADD INDEX IF NOT EXISTS by_instance instance TYPE bloom_filter(0.001) GRANULARITY 1;
CREATE OR REPLACE TABLE invocations AS invocations_local
ENGINE = Distributed('two_shards', currentDatabase(), invocations_local, cityHash64(tenant, namespace, function));
ALTER TABLE invocations_local MATERIALIZE INDEX by_instance;
CREATE OR REPLACE TABLE invocations AS invocations_local
ENGINE = Distributed('two_shards', currentDatabase(), invocations_local, cityHash64(tenant, namespace, function));
-- 0005_merge
ALTER TABLE cold_starts_local
    ADD COLUMN IF NOT EXISTS life UInt32,
    MODIFY ORDER BY (tenant, namespace, function, instance, life);
CREATE OR REPLACE TABLE cold_starts AS cold_starts_local
ENGINE = Distributed('two_shards', currentDatabase(), cold_starts_local, cityHash64(tenant, namespace, function));
ALTER TABLE cold_starts_local
    ADD COLUMN IF NOT EXISTS clock_offset_ns Nullable(Int64),
    ADD COLUMN IF NOT EXISTS clock_slack_ns Nullable(Int64);
CREATE OR REPLACE TABLE cold_starts AS cold_starts_local
ENGINE = Distributed('two_shards', currentDatabase(), cold_starts_local, cityHash64(tenant, namespace, function));
ALTER TABLE invocations_local
    ADD COLUMN IF NOT EXISTS closed_at Nullable(DateTime64(9, 'UTC')),
    ADD COLUMN IF NOT EXISTS closed_status Nullable(String),
    ADD COLUMN IF NOT EXISTS closed_error Nullable(String),
    ADD COLUMN IF NOT EXISTS closed_by Nullable(String);
CREATE OR REPLACE TABLE invocations AS invocations_local
ENGINE = Distributed('two_shards', currentDatabase(), invocations_local, cityHash64(tenant, namespace, function));
-- 0006_rollups
CREATE TABLE IF NOT EXISTS rollup_marks_local
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
CREATE OR REPLACE TABLE rollup_marks AS rollup_marks_local
ENGINE = Distributed('two_shards', currentDatabase(), rollup_marks_local, cityHash64(tenant, namespace, function));
CREATE TABLE IF NOT EXISTS rollup_instances_local
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
CREATE OR REPLACE TABLE rollup_instances AS rollup_instances_local
ENGINE = Distributed('two_shards', currentDatabase(), rollup_instances_local, cityHash64(tenant, namespace, function));
CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_marks_lines TO rollup_marks_local AS
SELECT
    'lines' AS kind,
    tenant,
    namespace,
    function,
    toStartOfMinute(toDateTime(ts, 'UTC')) AS minute,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied
FROM logs_local
GROUP BY tenant, namespace, function, minute;
CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_marks_invocations TO rollup_marks_local AS
SELECT
    'invocations' AS kind,
    tenant,
    namespace,
    function,
    toStartOfMinute(toDateTime(started_at, 'UTC')) AS minute,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied
FROM invocations_local
GROUP BY tenant, namespace, function, minute;
CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_instances_starts TO rollup_instances_local AS
SELECT
    tenant,
    namespace,
    function,
    instance,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied,
    groupUniqArrayIf(toStartOfMinute(toDateTime(assumeNotNull(demanded_at), 'UTC')), demanded_at IS NOT NULL) AS minutes
FROM cold_starts_local
GROUP BY tenant, namespace, function, instance;
CREATE MATERIALIZED VIEW IF NOT EXISTS rollup_instances_phases TO rollup_instances_local AS
SELECT
    tenant,
    namespace,
    function,
    instance,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied
FROM phases_local
GROUP BY tenant, namespace, function, instance;
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
CREATE TABLE IF NOT EXISTS line_minutes_local
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
CREATE OR REPLACE TABLE line_minutes AS line_minutes_local
ENGINE = Distributed('two_shards', currentDatabase(), line_minutes_local, cityHash64(tenant, namespace, function));
CREATE TABLE IF NOT EXISTS invocation_minutes_local
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
CREATE OR REPLACE TABLE invocation_minutes AS invocation_minutes_local
ENGINE = Distributed('two_shards', currentDatabase(), invocation_minutes_local, cityHash64(tenant, namespace, function));
CREATE TABLE IF NOT EXISTS start_minutes_local
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
CREATE OR REPLACE TABLE start_minutes AS start_minutes_local
ENGINE = Distributed('two_shards', currentDatabase(), start_minutes_local, cityHash64(tenant, namespace, function));
CREATE OR REPLACE VIEW otel_logs AS
SELECT
    ts AS Timestamp,
    toDateTime(ts, 'UTC') AS TimestampTime,
    multiIf(
        request_id = '', lower(trace_id),
        match(request_id, '^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$'), lower(replaceAll(request_id, '-', '')),
        lower(hex(MD5(request_id)))) AS TraceId,
    multiIf(
        request_id = '', lower(span_id),
        attribution = 'init', leftPad(lower(hex(sipHash64('start', instance))), 16, '0'),
        leftPad(lower(hex(sipHash64('invocation', request_id, instance))), 16, '0')) AS SpanId,
    toUInt8(0) AS TraceFlags,
    toLowCardinality(arrayElement(['', 'TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'], intDiv(severity + 3, 4) + 1)) AS SeverityText,
    severity AS SeverityNumber,
    function AS ServiceName,
    body AS Body,
    toLowCardinality('') AS ResourceSchemaUrl,
    CAST(map(
        'coldscope.tenant', toString(tenant), 'service.namespace', toString(namespace), 'service.name', toString(function),
        'service.version', toString(version), 'faas.name', concat(namespace, '/', function), 'faas.version', toString(version),
        'faas.instance', instance, 'host.name', toString(host)), 'Map(LowCardinality(String), String)') AS ResourceAttributes,
    toLowCardinality('') AS ScopeSchemaUrl,
    'coldscope' AS ScopeName,
    toLowCardinality('') AS ScopeVersion,
    CAST(map(), 'Map(LowCardinality(String), String)') AS ScopeAttributes,
    CAST(mapConcat(
        attributes,
        map('log.iostream', toString(stream), 'coldscope.attribution', toString(attribution)),
        if(request_id = '', map(), map('faas.invocation_id', request_id)),
        if(trace_id = '', map(), map('trace_id', trace_id, 'span_id', span_id))), 'Map(LowCardinality(String), String)') AS LogAttributes,
    '' AS EventName,
    tenant AS Tenant
FROM logs FINAL;
CREATE OR REPLACE VIEW otel_traces AS
SELECT
    Timestamp,
    TraceId,
    SpanId,
    ParentSpanId,
    '' AS TraceState,
    SpanName,
    SpanKind,
    ServiceName,
    CAST(mapConcat(
        Resource,
        map('coldscope.tenant', toString(Tenant), 'service.namespace', toString(Namespace), 'service.name', toString(ServiceName),
            'faas.name', concat(Namespace, '/', ServiceName))), 'Map(LowCardinality(String), String)') AS ResourceAttributes,
    'coldscope' AS ScopeName,
    '' AS ScopeVersion,
    CAST(mapFilter((k, v) -> v != '', Attributes), 'Map(LowCardinality(String), String)') AS SpanAttributes,
    toUInt64(greatest(dateDiff('nanosecond', Timestamp, EndTime), 0)) AS Duration,
    StatusCode,
    StatusMessage,
    CAST([], 'Array(DateTime64(9))') AS `Events.Timestamp`,
    CAST([], 'Array(LowCardinality(String))') AS `Events.Name`,
    CAST([], 'Array(Map(LowCardinality(String), String))') AS `Events.Attributes`,
    CAST([], 'Array(String)') AS `Links.TraceId`,
    CAST([], 'Array(String)') AS `Links.SpanId`,
    CAST([], 'Array(String)') AS `Links.TraceState`,
    CAST([], 'Array(Map(LowCardinality(String), String))') AS `Links.Attributes`,
    Tenant
FROM
(
    SELECT
        tenant AS Tenant,
        namespace AS Namespace,
        function AS ServiceName,
        ifNull(least(queued_at, started_at), started_at) AS Timestamp,
        coalesce(ended_at, closed_at, started_at) AS EndTime,
        if(match(request_id, '^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$'),
            lower(replaceAll(request_id, '-', '')), lower(hex(MD5(request_id)))) AS TraceId,
        leftPad(lower(hex(sipHash64('invocation', request_id, instance))), 16, '0') AS SpanId,
        '' AS ParentSpanId,
        toString(function) AS SpanName,
        'Server' AS SpanKind,
        multiIf(coalesce(status, closed_status, '') IN ('error', 'timeout', 'oom'), 'Error', coalesce(status, closed_status, '') = 'ok', 'Ok', 'Unset') AS StatusCode,
        if(StatusCode = 'Error', coalesce(nullIf(error, ''), nullIf(closed_error, ''), status, closed_status, ''), '') AS StatusMessage,
        map('service.version', ifNull(version, ''), 'faas.version', ifNull(version, ''), 'faas.instance', instance) AS Resource,
        map('faas.invocation_id', request_id, 'faas.coldstart', if(ifNull(cold, false), 'true', 'false'), 'faas.trigger', ifNull(trigger, ''),
            'coldscope.status', coalesce(status, closed_status, 'running'), 'http.response.status_code', ifNull(toString(http_status), ''),
            'coldscope.cold_wait_ns', ifNull(toString(cold_wait_ns), '')) AS Attributes
    FROM invocations FINAL
    UNION ALL
    SELECT
        tenant AS Tenant,
        namespace AS Namespace,
        function AS ServiceName,
        assumeNotNull(demanded_at) AS Timestamp,
        ifNull(ifNull(ready_at, stopped_at), assumeNotNull(demanded_at)) AS EndTime,
        multiIf(
            ifNull(request_id, '') = '', lower(hex(MD5(instance))),
            match(ifNull(request_id, ''), '^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$'),
            lower(replaceAll(ifNull(request_id, ''), '-', '')), lower(hex(MD5(ifNull(request_id, ''))))) AS TraceId,
        leftPad(lower(hex(sipHash64('start', instance))), 16, '0') AS SpanId,
        if(ifNull(request_id, '') = '', '', leftPad(lower(hex(sipHash64('invocation', ifNull(request_id, ''), instance))), 16, '0')) AS ParentSpanId,
        'cold start' AS SpanName,
        'Internal' AS SpanKind,
        if(ready_at IS NULL AND stopped_at IS NOT NULL, 'Error', 'Unset') AS StatusCode,
        if(StatusCode = 'Error', ifNull(stop_reason, ''), '') AS StatusMessage,
        map('service.version', ifNull(version, ''), 'faas.version', ifNull(version, ''), 'faas.instance', instance, 'host.name', ifNull(host, '')) AS Resource,
        map('faas.invocation_id', ifNull(request_id, ''), 'coldscope.initialization', ifNull(initialization, ''), 'container.image.name', ifNull(image, ''),
            'container.image.id', ifNull(digest, ''), 'coldscope.image_bytes', ifNull(toString(image_bytes), '')) AS Attributes
    FROM cold_starts FINAL
    WHERE demanded_at IS NOT NULL
    UNION ALL
    SELECT
        tenant AS Tenant,
        namespace AS Namespace,
        function AS ServiceName,
        start AS Timestamp,
        end AS EndTime,
        multiIf(
            starts.request = '', lower(hex(MD5(instance))),
            match(starts.request, '^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$'),
            lower(replaceAll(starts.request, '-', '')), lower(hex(MD5(starts.request)))) AS TraceId,
        leftPad(lower(hex(sipHash64('phase', instance, toString(phase), start))), 16, '0') AS SpanId,
        leftPad(lower(hex(sipHash64('start', instance))), 16, '0') AS ParentSpanId,
        toString(phase) AS SpanName,
        'Internal' AS SpanKind,
        if(error = '', 'Unset', 'Error') AS StatusCode,
        error AS StatusMessage,
        map('service.version', toString(version), 'faas.version', toString(version), 'faas.instance', instance) AS Resource,
        mapConcat(CAST(attributes, 'Map(String, String)'), map('coldscope.phase', toString(phase), 'faas.invocation_id', starts.request)) AS Attributes
    FROM
    (
        SELECT tenant, namespace, function, instance, phase, start, end, version, error, attributes
        FROM phases FINAL
    ) AS intervals
    LEFT ANY JOIN
    (
        SELECT tenant, namespace, function, instance, ifNull(request_id, '') AS request
        FROM cold_starts FINAL
    ) AS starts USING (tenant, namespace, function, instance)
);
CREATE OR REPLACE VIEW otel_traces_trace_id_ts AS
SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End
FROM otel_traces
WHERE TraceId != ''
GROUP BY TraceId;
-- 0007_packed
ALTER TABLE logs_local RENAME COLUMN IF EXISTS body TO packed;
CREATE OR REPLACE TABLE logs AS logs_local
ENGINE = Distributed('two_shards', currentDatabase(), logs_local, cityHash64(tenant, namespace, function));
-- 0008_body
ALTER TABLE logs_local ADD COLUMN IF NOT EXISTS body String ALIAS replaceOne(packed, '\x01', request_id);
CREATE OR REPLACE TABLE logs AS logs_local
ENGINE = Distributed('two_shards', currentDatabase(), logs_local, cityHash64(tenant, namespace, function));
-- 0009_marks
ALTER TABLE rollup_marks_lines MODIFY QUERY
SELECT
    'lines' AS kind,
    tenant,
    namespace,
    function,
    toStartOfMinute(toDateTime(ts, 'UTC')) AS minute,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied
FROM logs_local
WHERE getSetting('log_comment') != 'coldscope: marked'
GROUP BY tenant, namespace, function, minute;
ALTER TABLE rollup_marks_invocations MODIFY QUERY
SELECT
    'invocations' AS kind,
    tenant,
    namespace,
    function,
    toStartOfMinute(toDateTime(started_at, 'UTC')) AS minute,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied
FROM invocations_local
WHERE getSetting('log_comment') != 'coldscope: marked'
GROUP BY tenant, namespace, function, minute;
ALTER TABLE rollup_instances_starts MODIFY QUERY
SELECT
    tenant,
    namespace,
    function,
    instance,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied,
    groupUniqArrayIf(toStartOfMinute(toDateTime(assumeNotNull(demanded_at), 'UTC')), demanded_at IS NOT NULL) AS minutes
FROM cold_starts_local
WHERE getSetting('log_comment') != 'coldscope: marked'
GROUP BY tenant, namespace, function, instance;
ALTER TABLE rollup_instances_phases MODIFY QUERY
SELECT
    tenant,
    namespace,
    function,
    instance,
    toUInt64(toUnixTimestamp64Nano(now64(9))) AS dirtied
FROM phases_local
WHERE getSetting('log_comment') != 'coldscope: marked'
GROUP BY tenant, namespace, function, instance;
-- 0010_compact
ALTER TABLE logs_local MODIFY SETTING min_level_for_wide_part = 1;
CREATE OR REPLACE TABLE logs AS logs_local
ENGINE = Distributed('two_shards', currentDatabase(), logs_local, cityHash64(tenant, namespace, function));
ALTER TABLE invocations_local MODIFY SETTING min_level_for_wide_part = 1;
CREATE OR REPLACE TABLE invocations AS invocations_local
ENGINE = Distributed('two_shards', currentDatabase(), invocations_local, cityHash64(tenant, namespace, function));
