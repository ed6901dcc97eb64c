-- The first request of each life of instances: life is how many of the given
-- times, at which an instance's lives began, it had behind it.
WITH min((started_at, request_id)) AS earliest
SELECT
    function,
    instance,
    arrayCount(
        begin -> begin <= toUnixTimestamp64Nano(started_at),
        {begins:Array(Array(Int64))}[indexOf({keys:Array(String)}, concat(function, '\n', instance))]) AS life,
    earliest.1 AS started,
    earliest.2 AS request
FROM invocations
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND ({function:String} = '' OR function = {function:String})
    AND instance IN {instances:Array(String)}
GROUP BY function, instance, life
ORDER BY function, instance, life
LIMIT {limit:UInt32}
