-- A start's bandwidth: its bytes over the time in which at least one layer was downloading.
SELECT
    $__timeInterval(began) AS time,
    quantile(0.5)(bandwidth) AS p50,
    quantile(0.1)(bandwidth) AS p10
FROM
(
    SELECT
        namespace, function, instance,
        assumeNotNull(min(download_start)) AS began,
        sum(bytes) * 1e9 / intervalLengthSum(
            toUnixTimestamp64Nano(assumeNotNull(download_start)),
            toUnixTimestamp64Nano(assumeNotNull(download_end))) AS bandwidth
    FROM layers FINAL
    WHERE tenant = ${tenant:singlequote}
        AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
        AND $__conditionalAll(function IN (${function:singlequote}), $function)
        AND download_end > download_start
        AND cache != 'hit'
        AND $__timeFilter(download_start)
    GROUP BY namespace, function, instance
)
GROUP BY time
ORDER BY time
