-- What instances handled in a time.
SELECT
    namespace,
    function,
    instance,
    count() AS requests,
    countIf(coalesce(status, closed_status, '') IN ('error', 'timeout', 'oom')) AS errors,
    countIf(coalesce(ended_at, closed_at) IS NULL AND coalesce(status, closed_status) IS NULL) AS open,
    max(coalesce(ended_at, closed_at, started_at)) AS last
FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND instance IN {instances:Array(String)}
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
GROUP BY namespace, function, instance
LIMIT {limit:UInt32}
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 0
