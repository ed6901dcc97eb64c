-- The index goes by the tuple, rows by its hash, which takes half the time. A
-- minute that comes along by a collision is computed as any other.
INSERT INTO line_minutes (tenant, namespace, function, minute, version, severity, stream, lines, bytes, generation)
SELECT
    tenant,
    namespace,
    function,
    toStartOfMinute(toDateTime(ts, 'UTC')) AS minute,
    version,
    toUInt8(if(logs.severity = 0, 0, intDiv(logs.severity - 1, 4) * 4 + 1)) AS severity,
    stream,
    count(),
    sum(length(packed) + if(position(packed, '\x01') = 0, 0, length(request_id) - 1)), -- length(body), for a tenth of it
    {generation:UInt64}
FROM logs FINAL
WHERE indexHint((tenant, namespace, function, toStartOfMinute(toDateTime(ts, 'UTC'))) IN
    (
        SELECT tenant, namespace, function, minute
        FROM rollup_marks
        WHERE kind = 'lines' AND dirtied = {generation:UInt64}
    ))
    AND cityHash64(tenant, namespace, function, toStartOfMinute(toDateTime(ts, 'UTC'))) IN
    (
        SELECT cityHash64(tenant, namespace, function, minute)
        FROM rollup_marks
        WHERE kind = 'lines' AND dirtied = {generation:UInt64}
    )
    AND ts >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND ts < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
GROUP BY tenant, namespace, function, minute, version, severity, stream
