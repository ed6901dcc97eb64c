-- Lines by steps of time and by what they have in common: from figures by the
-- minute where all that is asked is in them, and for minutes that are dirty or
-- cut by the range, and for all else, from the rows.
SELECT
    fromUnixTimestamp64Milli(intDiv(toInt64({{if .Rolled}}toUnixTimestamp(minute) * 1000{{else}}minute{{end}}), {step:Int64}) * {step:Int64}, 'UTC') AS time,
    group,
    sum(figures.lines) AS lines,
    sum(figures.bytes) AS bytes
FROM
(
{{- if .Rolled}}
    SELECT minute, {{.Group}} AS group, lines, bytes
    FROM line_minutes
    WHERE tenant = {tenant:String}
        AND minute >= fromUnixTimestamp({first:UInt32})
        AND minute < fromUnixTimestamp({end:UInt32})
        AND ({namespace:String} = '' OR namespace = {namespace:String})
        AND ({function:String} = '' OR function = {function:String})
        AND (namespace, function, minute) NOT IN (SELECT namespace, function, minute FROM dirty)
    {{template "latest"}}
{{- range .Kept}}
        AND {{.}}
{{- end}}
{{- if .Rows}}
    UNION ALL
{{- end}}
{{- end}}
{{- if .Rows}}
    SELECT
        {{if .Rolled}}toStartOfMinute(toDateTime(ts, 'UTC')){{else}}toUnixTimestamp64Milli(ts){{end}} AS minute,
        {{.Group}} AS group,
        {{if .Rolled}}count() AS lines, sum(length(body)) AS bytes{{else}}toUInt64(1) AS lines, length(body) AS bytes{{end}}
    FROM logs FINAL
    WHERE tenant = {tenant:String}
{{- range .Conditions}}
        AND {{.}}
{{- end}}
{{- if .Rolled}}
        AND
        (
            ts < toDateTime64(fromUnixTimestamp({first:UInt32}), 9, 'UTC')
            OR ts >= toDateTime64(fromUnixTimestamp({end:UInt32}), 9, 'UTC')
            OR (namespace, function, toStartOfMinute(toDateTime(ts, 'UTC'))) IN (SELECT namespace, function, minute FROM dirty)
        )
    GROUP BY minute, group
{{- end}}
{{- end}}
) AS figures
GROUP BY time, group
ORDER BY time, group
LIMIT {limit:UInt32}
