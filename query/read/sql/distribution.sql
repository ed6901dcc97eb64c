-- How long finished starts and their phases took, by what the starts have in
-- common. A phase counts for as long as it was active in its start.
WITH
    finished AS
    (
        SELECT
            namespace,
            function,
            instance,
            life,
            assumeNotNull(demanded_at) AS demanded,
            assumeNotNull(ready_at) AS ready,
            {{.Group}} AS group
        FROM cold_starts FINAL
        WHERE tenant = {tenant:String}
{{- range .Conditions}}
            AND {{.}}
{{- end}}
            AND demanded_at IS NOT NULL
            AND ready_at IS NOT NULL
    )
SELECT
    group,
    phase,
    count() AS starts,
    avg(took) AS mean,
    max(took) AS longest,
    quantilesTDigest(0.5, 0.9, 0.95, 0.99)(took) AS quantiles,
    sumForEach(arrayMap(bound -> toUInt64(took <= bound), {bounds:Array(Int64)})) AS within
FROM
(
    SELECT group, 'total' AS phase, toInt64(dateDiff('nanosecond', demanded, ready)) AS took
    FROM finished
    UNION ALL
    SELECT
        any(finished.group) AS group,
        intervals.phase AS phase,
        toInt64(intervalLengthSum(toUnixTimestamp64Nano(intervals.start), toUnixTimestamp64Nano(intervals.end))) AS took
    FROM
    (
        SELECT tenant, namespace, function, instance, toString(phases.phase) AS phase, start, end
        FROM phases FINAL
        WHERE tenant = {tenant:String}
            AND (namespace, function, instance) IN (SELECT namespace, function, instance FROM finished)
    ) AS intervals
    INNER JOIN finished USING (namespace, function, instance)
    WHERE tenant = {tenant:String} AND intervals.start >= finished.demanded AND intervals.start <= finished.ready
    GROUP BY namespace, function, instance, finished.life, phase
)
GROUP BY group, phase
ORDER BY group, phase
LIMIT {limit:UInt32}
