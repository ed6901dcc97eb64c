-- The minutes of one kind whose figures do not count, but their rows: what
-- rollup_state has, without looking at the other kinds.
SELECT namespace, function, minute
FROM
(
    SELECT namespace, function, minute, dirtied, rolled
    FROM rollup_marks
    WHERE tenant = {tenant:String}
        AND kind = {kind:String}
        AND ({namespace:String} = '' OR namespace = {namespace:String})
        AND ({function:String} = '' OR function = {function:String})
        AND minute >= fromUnixTimestamp({first:UInt32})
        AND minute < fromUnixTimestamp({end:UInt32})
{{- if .Starts}}
    UNION ALL
    SELECT namespace, function, arrayJoin(minutes) AS minute, dirtied, toUInt64(0) AS rolled
    FROM rollup_instances FINAL
    WHERE tenant = {tenant:String}
        AND ({namespace:String} = '' OR namespace = {namespace:String})
        AND ({function:String} = '' OR function = {function:String})
        AND minute >= fromUnixTimestamp({first:UInt32})
        AND minute < fromUnixTimestamp({end:UInt32})
{{- end}}
) AS marks
GROUP BY namespace, function, minute
HAVING max(marks.dirtied) > max(marks.rolled)
LIMIT {rows:UInt32}
