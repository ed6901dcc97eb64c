SELECT
    demanded,
    namespace,
    function,
    version,
    request_id,
    seconds,
    longest_phase,
    longest_seconds,
    image_bytes,
    image,
    digest,
    host,
    initialization
FROM
(
    SELECT
        namespace, function, instance,
        assumeNotNull(demanded_at) AS demanded,
        ifNull(version, '') AS version,
        ifNull(request_id, '') AS request_id,
        assumeNotNull(dateDiff('nanosecond', demanded_at, ready_at)) / 1e9 AS seconds,
        ifNull(image_bytes, 0) AS image_bytes,
        ifNull(image, '') AS image,
        ifNull(digest, '') AS digest,
        ifNull(host, '') AS host,
        ifNull(initialization, '') AS initialization
    FROM cold_starts FINAL
    WHERE tenant = ${tenant:singlequote}
        AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
        AND $__conditionalAll(function IN (${function:singlequote}), $function)
        AND ready_at IS NOT NULL
        AND $__timeFilter(demanded_at)
    ORDER BY seconds DESC
    LIMIT 50
) AS starts
LEFT JOIN
(
    SELECT
        namespace, function, instance,
        argMax(phase, took) AS longest_phase,
        max(took) AS longest_seconds
    FROM
    (
        SELECT namespace, function, instance, phase, sum(dateDiff('nanosecond', start, end)) / 1e9 AS took
        FROM phases FINAL
        WHERE tenant = ${tenant:singlequote}
        AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
        AND $__conditionalAll(function IN (${function:singlequote}), $function)
        GROUP BY namespace, function, instance, phase
    )
    GROUP BY namespace, function, instance
) AS longest USING (namespace, function, instance)
ORDER BY seconds DESC
