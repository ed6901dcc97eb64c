-- The starts of instances: one each, unless it came back after it had stopped.
SELECT
    {{template "start columns"}},
    memory_peak
FROM cold_starts FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND ({function:String} = '' OR function = {function:String})
    AND instance IN {instances:Array(String)}
ORDER BY coalesce(demanded_at, ready_at, stopped_at), life
LIMIT {limit:UInt32}
