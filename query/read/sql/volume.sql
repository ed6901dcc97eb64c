-- Lines by steps of time, severity and stream: from figures by the minute, and
-- for minutes that are dirty or cut by the range from the rows.
SELECT
    toStartOfInterval(minute, INTERVAL {step:UInt32} MINUTE, 'UTC') AS time,
    severity,
    stream,
    sum(figures.lines) AS lines,
    sum(figures.bytes) AS bytes
FROM
(
    SELECT minute, severity, toString(line_minutes.stream) AS stream, lines, bytes
    FROM line_minutes
    WHERE tenant = {tenant:String}
        AND ({namespace:String} = '' OR namespace = {namespace:String})
        AND ({function:String} = '' OR function = {function:String})
        AND minute >= fromUnixTimestamp({first:UInt32})
        AND minute < fromUnixTimestamp({end:UInt32})
        AND (namespace, function, minute) NOT IN (SELECT namespace, function, minute FROM dirty)
    {{template "latest"}}
        AND ({version:String} = '' OR version = {version:String})
{{- if .Rows}}
    UNION ALL
    SELECT
        toStartOfMinute(toDateTime(ts, 'UTC')) AS minute,
        toUInt8(if(logs.severity = 0, 0, intDiv(logs.severity - 1, 4) * 4 + 1)) AS severity,
        toString(logs.stream) AS stream,
        count() AS lines,
        toUInt64(sum(length(packed) + if(position(packed, '\x01') = 0, 0, length(request_id) - 1))) AS bytes -- length(body)
    FROM logs FINAL
    WHERE tenant = {tenant:String}
        AND ({namespace:String} = '' OR namespace = {namespace:String})
        AND ({function:String} = '' OR function = {function:String})
        AND ({version:String} = '' OR version = {version:String})
        AND ts >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
        AND ts < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
        AND
        (
            ts < toDateTime64(fromUnixTimestamp({first:UInt32}), 9, 'UTC')
            OR ts >= toDateTime64(fromUnixTimestamp({end:UInt32}), 9, 'UTC')
            OR (namespace, function, toStartOfMinute(toDateTime(ts, 'UTC'))) IN (SELECT namespace, function, minute FROM dirty)
        )
    GROUP BY minute, severity, stream
{{- end}}
) AS figures
GROUP BY time, severity, stream
ORDER BY time, severity, stream
LIMIT {limit:UInt32}
