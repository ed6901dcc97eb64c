-- The requests that waited behind a start: how many there are, and the first of
-- them in the order in which they came.
SELECT
    count() AS total,
    arrayMap(waited -> waited.2, groupArraySorted({{.}})((ifNull(queued_at, started_at), request_id))) AS first
FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND instance = {instance:String}
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at <= fromUnixTimestamp64Nano({until:Int64}, 'UTC')
    AND cold
    AND request_id != {request:String}
LIMIT 1
