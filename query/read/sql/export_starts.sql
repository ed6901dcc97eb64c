-- Starts as they are exported, each with how long its phases were active.
SELECT
    toString(namespace) AS namespace,
    toString(function) AS function,
    ifNull(version, '') AS version,
    instance,
    life,
    ifNull(host, '') AS host,
    ifNull(initialization, '') AS initialization,
    ifNull(request_id, '') AS request_id,
    demanded_at,
    ready_at,
    stopped_at,
    ifNull(stop_reason, '') AS stop_reason,
    exit_code,
    ifNull(oom, false) AS oom,
    if(demanded_at IS NULL OR ready_at IS NULL, NULL, dateDiff('nanosecond', demanded_at, ready_at) / 1000000) AS total_ms,
    CAST(arraySort(p.of), 'Map(String, Float64)') AS phases_ms,
    ifNull(image, '') AS image,
    ifNull(digest, '') AS digest,
    image_bytes,
    ifNull(registry, '') AS registry,
    ifNull(region, '') AS region,
    memory_limit,
    memory_peak
FROM
(
    SELECT *
    FROM cold_starts FINAL
    WHERE tenant = {tenant:String}
{{- range .Conditions}}
        AND {{.}}
{{- end}}
) AS starts
LEFT ANY JOIN
(
    SELECT namespace, function, instance, groupArray((phase, took)) AS of
    FROM
    (
        SELECT
            namespace,
            function,
            instance,
            toString(phases.phase) AS phase,
            intervalLengthSum(toUnixTimestamp64Nano(start), toUnixTimestamp64Nano(end)) / 1000000 AS took
        FROM phases FINAL
        WHERE tenant = {tenant:String}
            AND (namespace, function, instance) IN
            (
                SELECT namespace, function, instance
                FROM cold_starts FINAL
                WHERE tenant = {tenant:String}
{{- range .Conditions}}
                    AND {{.}}
{{- end}}
            )
        GROUP BY namespace, function, instance, phase
    )
    GROUP BY namespace, function, instance
) AS p USING (namespace, function, instance)
ORDER BY starts.namespace, starts.function, coalesce(demanded_at, ready_at, stopped_at), instance, life
LIMIT {limit:UInt64}
