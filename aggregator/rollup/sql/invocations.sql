-- The index goes by the tuple, rows by its hash, which takes half the time. A
-- minute that comes along by a collision is computed as any other.
INSERT INTO invocation_minutes (tenant, namespace, function, minute, version, invocations, errors, cold, last_seen,
    duration_sum, durations, cold_wait_sum, cold_waits, generation)
SELECT
    tenant,
    namespace,
    function,
    toStartOfMinute(toDateTime(started_at, 'UTC')) AS minute,
    ifNull(invocations.version, '') AS version,
    count(),
    countIf(coalesce(status, closed_status, '') IN ('error', 'timeout', 'oom')),
    countIf(ifNull(cold, false)),
    max(started_at),
    sum(ifNull(duration_ns, 0)),
    quantilesTDigestStateIf(0.5, 0.9, 0.95, 0.99)(assumeNotNull(duration_ns), duration_ns IS NOT NULL),
    sumIf(ifNull(cold_wait_ns, 0), ifNull(cold, false)),
    quantilesTDigestStateIf(0.5, 0.9, 0.95, 0.99)(assumeNotNull(cold_wait_ns), ifNull(cold, false) AND cold_wait_ns IS NOT NULL),
    {generation:UInt64}
FROM invocations FINAL
WHERE indexHint((tenant, namespace, function, toStartOfMinute(toDateTime(started_at, 'UTC'))) IN
    (
        SELECT tenant, namespace, function, minute
        FROM rollup_marks
        WHERE kind = 'invocations' AND dirtied = {generation:UInt64}
    ))
    AND cityHash64(tenant, namespace, function, toStartOfMinute(toDateTime(started_at, 'UTC'))) IN
    (
        SELECT cityHash64(tenant, namespace, function, minute)
        FROM rollup_marks
        WHERE kind = 'invocations' AND dirtied = {generation:UInt64}
    )
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
GROUP BY tenant, namespace, function, minute, version
