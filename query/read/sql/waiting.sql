-- The requests that waited behind a start, in the order in which they came, and
-- how many there are.
SELECT
    request_id,
    count() OVER () AS total
FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND instance = {instance:String}
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at <= fromUnixTimestamp64Nano({until:Int64}, 'UTC')
    AND ifNull(cold, false)
    AND request_id != {request:String}
ORDER BY ifNull(queued_at, started_at), request_id
LIMIT {limit:UInt32}
