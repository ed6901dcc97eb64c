-- As the sum by phase, for each step of time and divided by its starts.
SELECT
    time,
    [{{names}}][k + 1] AS phase,
    (covered - leadInFrame(covered, 1, 0) OVER (PARTITION BY time ORDER BY k ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING))
        / first_value(starts) OVER (PARTITION BY time ORDER BY k ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) / 1e9 AS seconds
FROM
(
    SELECT $__timeInterval(demanded) AS time, k, toInt64(sum(length)) AS covered, count() AS starts
    FROM
    (
        SELECT namespace, function, instance, demanded, k, intervalLengthSum(lower, upper) AS length
        FROM
        (
            SELECT
                namespace, function, instance, demanded, k,
                toUnixTimestamp64Nano(greatest(start, demanded)) AS lower,
                toUnixTimestamp64Nano(least(end, ready)) AS upper
            FROM
            (
                {{intervals}}
            )
            ARRAY JOIN range(toUInt64(rank)) AS k
        )
        WHERE upper > lower
        GROUP BY namespace, function, instance, demanded, k
    )
    GROUP BY time, k
)
ORDER BY time, k
