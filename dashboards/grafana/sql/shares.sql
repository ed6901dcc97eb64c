-- Every instant of a start is charged to one phase: the one that comes later in
-- the list of names, which is the order of a start but for unpack, since until
-- the pull has ended nothing could finish without it. other is what no phase
-- covers. It comes close to the critical path of the request's page, and as there
-- the parts add up to the whole: part k is what phases k and later cover, less
-- what those after k cover. The whole start takes part as the first of the names.
SELECT
    [{{names}}][k + 1] AS phase,
    (covered - leadInFrame(covered, 1, 0) OVER (ORDER BY k ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)) / 1e9 AS seconds
FROM
(
    SELECT k, toInt64(sum(length)) AS covered
    FROM
    (
        SELECT namespace, function, instance, k, intervalLengthSum(lower, upper) AS length
        FROM
        (
            SELECT
                namespace, function, instance, k,
                toUnixTimestamp64Nano(greatest(start, demanded)) AS lower,
                toUnixTimestamp64Nano(least(end, ready)) AS upper
            FROM
            (
                {{intervals}}
            )
            ARRAY JOIN range(toUInt64(rank)) AS k
        )
        WHERE upper > lower
        GROUP BY namespace, function, instance, k
    )
    GROUP BY k
)
ORDER BY k
