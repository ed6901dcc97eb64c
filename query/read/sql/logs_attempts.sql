-- All attempts of requests, in their order. The rows of an attempt all have its
-- key, so that they need not be folded.
WITH arraySort(groupUniqArray((started_at, instance))) AS attempts
SELECT
    function,
    request_id,
    arrayMap(attempt -> attempt.1, attempts) AS starts,
    arrayMap(attempt -> attempt.2, attempts) AS instances
FROM invocations
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND ({function:String} = '' OR function = {function:String})
    AND request_id IN {requests:Array(String)}
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
GROUP BY function, request_id
LIMIT {limit:UInt32}
