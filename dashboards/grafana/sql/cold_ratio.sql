SELECT
    $__timeInterval(started_at) AS time,
    concat(namespace, '/', function) AS name,
    countIf(cold) / count() AS ratio
FROM invocations FINAL
WHERE tenant = ${tenant:singlequote}
    AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
    AND $__conditionalAll(function IN (${function:singlequote}), $function)
    AND $__timeFilter(started_at)
GROUP BY time, name
ORDER BY time, name
