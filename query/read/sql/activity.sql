-- What a function's instances were doing at a time: their requests that were
-- open, and when the last one had ended.
SELECT
    instance,
    countIf(ifNull(coalesce(ended_at, closed_at) > fromUnixTimestamp64Nano({at:Int64}, 'UTC'), true)) AS open,
    maxIf(coalesce(ended_at, closed_at), coalesce(ended_at, closed_at) <= fromUnixTimestamp64Nano({at:Int64}, 'UTC')) AS last_end
FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at < fromUnixTimestamp64Nano({at:Int64}, 'UTC')
GROUP BY instance
ORDER BY open DESC, last_end DESC, instance
LIMIT {limit:UInt32}
