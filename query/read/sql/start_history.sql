-- How long finished starts and their phases took, by steps of time: from figures
-- by the minute, and for minutes that are dirty or cut by the range from the rows.
WITH
    finished AS
    (
        SELECT
            namespace,
            function,
            instance,
            toStartOfMinute(toDateTime(assumeNotNull(demanded_at), 'UTC')) AS minute,
            assumeNotNull(dateDiff('nanosecond', demanded_at, ready_at)) AS took
        FROM cold_starts FINAL
        WHERE tenant = {tenant:String}
            AND ({namespace:String} = '' OR namespace = {namespace:String})
            AND ({function:String} = '' OR function = {function:String})
            AND ({version:String} = '' OR ifNull(version, '') = {version:String})
            AND ({digest:String} = '' OR ifNull(digest, '') = {digest:String})
{{- if .Figures}}
            -- Instances know the minutes of their demands: so that few have to be folded.
            AND (namespace, function, instance) IN
            (
                SELECT namespace, function, instance
                FROM rollup_instances
                WHERE tenant = {tenant:String}
                    AND ({namespace:String} = '' OR namespace = {namespace:String})
                    AND ({function:String} = '' OR function = {function:String})
                    AND arrayExists(
                        m -> (toUnixTimestamp(m) + 60) * 1000000000 > {since:Int64}
                            AND toUnixTimestamp(m) * 1000000000 < {until:Int64}
                            AND
                            (
                                toUnixTimestamp(m) < {first:UInt32}
                                OR toUnixTimestamp(m) >= {end:UInt32}
                                OR (namespace, function, m) IN (SELECT namespace, function, minute FROM dirty)
                            ),
                        minutes)
            )
{{- end}}
            AND ready_at IS NOT NULL
            AND demanded_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
            AND demanded_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
            AND
            (
                demanded_at < toDateTime64(fromUnixTimestamp({first:UInt32}), 9, 'UTC')
                OR demanded_at >= toDateTime64(fromUnixTimestamp({end:UInt32}), 9, 'UTC')
                OR (namespace, function, minute) IN (SELECT namespace, function, minute FROM dirty)
            )
    )
SELECT
    toStartOfInterval(minute, INTERVAL {step:UInt32} MINUTE, 'UTC') AS time,
    phase,
    sum(figures.starts) AS starts,
    sum(figures.sum) AS sum,
    max(figures.max) AS max,
    quantilesTDigestMerge(0.5, 0.9, 0.95, 0.99)(durations) AS quantiles
FROM
(
    SELECT minute, toString(start_minutes.phase) AS phase, starts, sum, max, durations
    FROM start_minutes
    WHERE tenant = {tenant:String}
        AND ({namespace:String} = '' OR namespace = {namespace:String})
        AND ({function:String} = '' OR function = {function:String})
        AND ({version:String} = '' OR version = {version:String})
        AND ({digest:String} = '' OR digest = {digest:String})
        AND minute >= fromUnixTimestamp({first:UInt32})
        AND minute < fromUnixTimestamp({end:UInt32})
        AND (namespace, function, minute) NOT IN (SELECT namespace, function, minute FROM dirty)
        AND (namespace, function, minute, generation) IN
        (
            SELECT namespace, function, minute, max(generation)
            FROM start_minutes
            WHERE tenant = {tenant:String}
                AND ({namespace:String} = '' OR namespace = {namespace:String})
                AND ({function:String} = '' OR function = {function:String})
                AND minute >= fromUnixTimestamp({first:UInt32})
                AND minute < fromUnixTimestamp({end:UInt32})
            GROUP BY namespace, function, minute
        )
{{- if .Rows}}
    UNION ALL
    SELECT minute, phase, count() AS starts, sum(took) AS sum, max(took) AS max, quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(took) AS durations
    FROM
    (
        SELECT minute, 'total' AS phase, took FROM finished
        UNION ALL
        SELECT finished.minute AS minute, intervals.phase AS phase, intervals.took AS took
        FROM
        (
            SELECT
                namespace,
                function,
                instance,
                toString(phases.phase) AS phase,
                toInt64(intervalLengthSum(toUnixTimestamp64Nano(start), toUnixTimestamp64Nano(end))) AS took
            FROM phases FINAL
            WHERE tenant = {tenant:String}
                AND (namespace, function, instance) IN (SELECT namespace, function, instance FROM finished)
            GROUP BY namespace, function, instance, phase
        ) AS intervals
        INNER JOIN finished USING (namespace, function, instance)
    )
    GROUP BY minute, phase
{{- end}}
) AS figures
GROUP BY time, phase
ORDER BY time, phase
LIMIT {limit:UInt32}
