-- The starts of a function before one of its starts, newest first.
SELECT
    instance,
    version,
    host,
    initialization,
    coalesce(demanded_at, ready_at) AS begun_at,
    ready_at,
    stopped_at,
    stop_reason,
    exit_code,
    oom,
    digest,
    memory_limit
FROM cold_starts FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND (instance != {instance:String} OR life != {life:UInt32})
    AND begun_at < fromUnixTimestamp64Nano({at:Int64}, 'UTC')
ORDER BY begun_at DESC, instance DESC
LIMIT {limit:UInt32}
