-- How many instances were brought up, and how long that took.
SELECT
    count() AS starts,
    quantile(0.5)(took) AS p50,
    quantile(0.9)(took) AS p90,
    quantile(0.99)(took) AS p99
FROM
(
    SELECT assumeNotNull(dateDiff('nanosecond', demanded_at, ready_at)) / 1e9 AS took
    FROM cold_starts FINAL
    WHERE tenant = ${tenant:singlequote}
        AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
        AND $__conditionalAll(function IN (${function:singlequote}), $function)
        AND ready_at IS NOT NULL
        AND $__timeFilter(demanded_at)
)
