-- What a function did, by version: from figures by the minute, and for minutes
-- that are dirty or cut by the range from the rows.
SELECT
    version,
    sum(figures.invocations) AS invocations,
    sum(figures.cold) AS cold_count,
    sum(figures.errors) AS errors,
    arrayMap(i -> quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(durations)[i], [1, 3, 4]) AS quantiles,
    min(figures.first_seen) AS first_seen,
    max(figures.last_seen) AS last_seen
FROM
(
    SELECT toString(invocation_minutes.version) AS version, invocations, cold, errors, durations, toDateTime64(minute, 9, 'UTC') AS first_seen, last_seen
    FROM invocation_minutes
    WHERE tenant = {tenant:String}
        AND namespace = {namespace:String}
        AND function = {function:String}
        AND minute >= fromUnixTimestamp({first:UInt32})
        AND minute < fromUnixTimestamp({end:UInt32})
        AND (namespace, function, minute) NOT IN (SELECT namespace, function, minute FROM dirty)
        AND (namespace, function, minute, generation) IN
        (
            SELECT namespace, function, minute, max(generation)
            FROM invocation_minutes
            WHERE tenant = {tenant:String}
                AND namespace = {namespace:String}
                AND function = {function:String}
                AND minute >= fromUnixTimestamp({first:UInt32})
                AND minute < fromUnixTimestamp({end:UInt32})
            GROUP BY namespace, function, minute
        )
    UNION ALL
    SELECT
        ifNull(invocations.version, '') AS version,
        count() AS invocations,
        countIf(ifNull(invocations.cold, false)) AS cold,
        countIf(coalesce(status, closed_status, '') IN ('error', 'timeout', 'oom')) AS errors,
        quantilesTDigestStateIf(0.5, 0.9, 0.95, 0.99)(assumeNotNull(duration_ns), duration_ns IS NOT NULL) AS durations,
        min(started_at) AS first_seen,
        max(started_at) AS last_seen
    FROM invocations FINAL
    WHERE tenant = {tenant:String}
        AND namespace = {namespace:String}
        AND function = {function:String}
        AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
        AND started_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
        AND
        (
            started_at < toDateTime64(fromUnixTimestamp({first:UInt32}), 9, 'UTC')
            OR started_at >= toDateTime64(fromUnixTimestamp({end:UInt32}), 9, 'UTC')
            OR (namespace, function, toStartOfMinute(toDateTime(started_at, 'UTC'))) IN (SELECT namespace, function, minute FROM dirty)
        )
    GROUP BY version
) AS figures
GROUP BY version
ORDER BY last_seen DESC, version
LIMIT {limit:UInt32}
