-- What else an instance handled around one of its requests: the nearest before it
-- and the nearest after it.
SELECT
    {{template "invocation columns"}}
FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND instance = {instance:String}
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at <= fromUnixTimestamp64Nano({until:Int64}, 'UTC')
    AND (started_at != fromUnixTimestamp64Nano({at:Int64}, 'UTC') OR request_id != {request:String})
ORDER BY abs(toUnixTimestamp64Nano(started_at) - {at:Int64}), request_id
LIMIT {side:UInt32} BY toUnixTimestamp64Nano(started_at) < {at:Int64}
