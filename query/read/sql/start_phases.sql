-- The phases of one instance's start.
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
    AND function = {function:String}
    AND instance = {instance:String}
ORDER BY start, end, phase
LIMIT {rows:UInt32}
