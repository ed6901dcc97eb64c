-- Compressed bytes that came over the network; cached layers have none.
SELECT
    $__timeInterval(began) AS time,
    concat(namespace, '/', function) AS name,
    sum(bytes) AS pulled
FROM
(
    SELECT namespace, function, bytes, assumeNotNull(download_start) AS began
    FROM layers FINAL
    WHERE tenant = ${tenant:singlequote}
        AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
        AND $__conditionalAll(function IN (${function:singlequote}), $function)
        AND download_end IS NOT NULL
        AND cache != 'hit'
        AND $__timeFilter(download_start)
)
GROUP BY time, name
ORDER BY time, name
