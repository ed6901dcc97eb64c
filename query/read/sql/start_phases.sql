-- The phases of the starts of instances.
SELECT
    namespace,
    function,
    instance,
    phase,
    start,
    end,
    error,
    attributes
FROM phases FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND ({function:String} = '' OR function = {function:String})
    AND instance IN {instances:Array(String)}
ORDER BY start, end, phase
LIMIT {rows:UInt32}
