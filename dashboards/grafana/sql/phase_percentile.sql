SELECT
    $__timeInterval(began) AS time,
    phase,
    quantile({{quantile}})(took) AS seconds
FROM
(
    SELECT
        namespace, function, instance, phase,
        min(start) AS began,
        sum(dateDiff('nanosecond', start, end)) / 1e9 AS took
    FROM phases FINAL
    WHERE tenant = ${tenant:singlequote}
        AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
        AND $__conditionalAll(function IN (${function:singlequote}), $function)
        AND $__timeFilter(start)
    GROUP BY namespace, function, instance, phase
)
GROUP BY time, phase
ORDER BY time, phase
