SELECT
    namespace,
    function,
    count() AS requests,
    countIf(cold) AS cold_requests,
    countIf(cold) / count() AS cold_ratio,
    quantileIf(0.5)(assumeNotNull(cold_wait_ns) / 1e9, cold_wait_ns > 0) AS wait_p50,
    quantileIf(0.99)(assumeNotNull(cold_wait_ns) / 1e9, cold_wait_ns > 0) AS wait_p99
FROM invocations FINAL
WHERE tenant = ${tenant:singlequote}
    AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
    AND $__conditionalAll(function IN (${function:singlequote}), $function)
    AND $__timeFilter(started_at)
GROUP BY namespace, function
ORDER BY cold_ratio DESC, namespace, function
LIMIT 100
