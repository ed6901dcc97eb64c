-- As functions.sql: from figures by the minute, and for minutes that are dirty
-- or cut by the range from the rows.
SELECT
    namespace,
    function,
    sum(figures.invocations) AS invocations,
    sum(figures.cold) AS cold_count,
    sum(figures.errors) AS errors,
    arrayMap(i -> quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(durations)[i], [1, 3, 4]) AS quantiles,
    max(figures.last_seen) AS last_seen
FROM
(
    SELECT namespace, function, invocations, cold, errors, durations, last_seen
    FROM invocation_minutes
    WHERE tenant = {tenant:String}
        AND minute >= fromUnixTimestamp({first:UInt32})
        AND minute < fromUnixTimestamp({end:UInt32})
        AND (namespace, function, minute) NOT IN (SELECT namespace, function, minute FROM dirty)
        AND (namespace, function, minute, generation) IN
        (
            SELECT namespace, function, minute, max(generation)
            FROM invocation_minutes
            WHERE tenant = {tenant:String}
                AND minute >= fromUnixTimestamp({first:UInt32})
                AND minute < fromUnixTimestamp({end:UInt32})
            GROUP BY namespace, function, minute
        )
    UNION ALL
    SELECT
        namespace,
        function,
        count() AS invocations,
        countIf(ifNull(invocations.cold, false)) AS cold,
        countIf(coalesce(status, closed_status, '') IN ('error', 'timeout', 'oom')) AS errors,
        quantilesTDigestStateIf(0.5, 0.9, 0.95, 0.99)(assumeNotNull(duration_ns), duration_ns IS NOT NULL) AS durations,
        max(started_at) AS last_seen
    FROM invocations FINAL
    WHERE tenant = {tenant:String}
        AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
        AND started_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
        AND
        (
            started_at < toDateTime64(fromUnixTimestamp({first:UInt32}), 9, 'UTC')
            OR started_at >= toDateTime64(fromUnixTimestamp({end:UInt32}), 9, 'UTC')
            OR (namespace, function, toStartOfMinute(toDateTime(started_at, 'UTC'))) IN (SELECT namespace, function, minute FROM dirty)
        )
    GROUP BY namespace, function
) AS figures
GROUP BY namespace, function
ORDER BY invocations DESC, namespace, function
LIMIT {limit:UInt32}
