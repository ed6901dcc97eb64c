-- What each function did in a time range.
SELECT
    namespace,
    function,
    count() AS invocations,
    countIf(ifNull(cold, false)) AS cold_count,
    countIf(coalesce(status, closed_status, '') IN ('error', 'timeout', 'oom')) AS errors,
    quantilesTDigest(0.5, 0.95, 0.99)(duration_ns) AS quantiles,
    max(started_at) AS last_seen
FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
GROUP BY namespace, function
ORDER BY invocations DESC, namespace, function
LIMIT {limit:UInt32}
