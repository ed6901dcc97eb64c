INSERT INTO start_minutes (tenant, namespace, function, minute, version, digest, phase, starts, sum, max, durations, generation)
WITH
    marked AS
    (
        SELECT tenant, namespace, function, minute
        FROM rollup_marks
        WHERE kind = 'starts' AND dirtied = {generation:UInt64}
    ),
    finished AS
    (
        SELECT
            tenant,
            namespace,
            function,
            instance,
            toStartOfMinute(toDateTime(assumeNotNull(demanded_at), 'UTC')) AS minute,
            ifNull(cold_starts.version, '') AS version,
            ifNull(cold_starts.digest, '') AS digest,
            assumeNotNull(dateDiff('nanosecond', demanded_at, ready_at)) AS took
        FROM cold_starts FINAL
        WHERE demanded_at IS NOT NULL
            AND ready_at IS NOT NULL
            AND (tenant, namespace, function) IN (SELECT tenant, namespace, function FROM marked)
            AND (tenant, namespace, function, minute) IN (SELECT tenant, namespace, function, minute FROM marked)
            AND demanded_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
            AND demanded_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
    ),
    intervals AS
    (
        SELECT
            tenant,
            namespace,
            function,
            instance,
            phase,
            toInt64(intervalLengthSum(toUnixTimestamp64Nano(start), toUnixTimestamp64Nano(end))) AS took
        FROM phases FINAL
        WHERE (tenant, namespace, function, instance) IN (SELECT tenant, namespace, function, instance FROM finished)
        GROUP BY tenant, namespace, function, instance, phase
    )
SELECT
    tenant,
    namespace,
    function,
    minute,
    version,
    digest,
    phase,
    count(),
    sum(took),
    max(took),
    quantilesTDigestState(0.5, 0.9, 0.95, 0.99)(took),
    {generation:UInt64}
FROM
(
    SELECT tenant, namespace, function, minute, version, digest, 'total' AS phase, took FROM finished
    UNION ALL
    SELECT tenant, namespace, function, minute, version, digest, phase, intervals.took AS took
    FROM intervals INNER JOIN finished USING (tenant, namespace, function, instance)
)
GROUP BY tenant, namespace, function, minute, version, digest, phase
