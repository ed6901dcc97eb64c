-- The images of a function's starts, by version.
SELECT
    ifNull(version, '') AS version,
    ifNull(digest, '') AS digest,
    count() AS starts,
    min(coalesce(demanded_at, ready_at, stopped_at)) AS first_seen,
    max(coalesce(demanded_at, ready_at, stopped_at)) AS last_seen
FROM cold_starts FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND coalesce(demanded_at, ready_at, stopped_at) >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND coalesce(demanded_at, ready_at, stopped_at) < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
GROUP BY version, digest
ORDER BY last_seen DESC, version, digest
LIMIT {limit:UInt32}
