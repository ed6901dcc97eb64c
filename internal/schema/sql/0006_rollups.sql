-- Figures by the minute, beside the rows that they are made of.
--
-- What is inserted may be a duplicate or a correction, so figures cannot be
-- summed up at the insert. An insert only marks its minutes as dirty; the
-- aggregator rolls them up again from the rows, once they are closed and quiet.
-- A minute is clean, and its figures of the highest generation count, while
-- dirtied <= rolled. Both are nanoseconds of the server's clock. The mark without a tenant says that all rows from before
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

-- The store in the shape of OpenTelemetry's ClickHouse exporter, for tools that
-- know that one. A request is a trace: its ID is the trace's where it is a UUID or
-- 32 hexadecimal digits, else its MD5. Lines without a request keep the trace
-- that they name themselves; what a request's line names is in its attributes.
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

-- An invocation is the span of its trace, with the start that it demanded below
-- it and that one's phases below that. A start that no request demanded is a
-- trace of its own.
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

-- When a trace begins and its last span begins, as Grafana asks for it.
CREATE OR REPLACE VIEW otel_traces_trace_id_ts AS
SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End
FROM otel_traces
WHERE TraceId != ''
GROUP BY TraceId;
