-- The lines of one attempt of a request: those that are its own (in the whole
-- range), but not those of other attempts, elsewhere or before on its instance; those
-- of its instance that nobody owns, from its start to its end; and if the
-- request waited for the instance's start, what was printed during that. The
-- range on ts is what makes the sort key prune.
SELECT
    ts,
    stream,
    request_id,
    attribution,
    candidates,
    substring(packed, 1, {max_body:UInt32}) AS text,
    length(packed) AS size,
    truncated,
    instance,
    file_id,
    offset
FROM logs FINAL
PREWHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND ts >= fromUnixTimestamp64Nano({range_from:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Nano({range_to:Int64}, 'UTC')
WHERE tenant = {tenant:String}
    AND
    (
        (
            request_id = {request:String}
{{- if .Elsewhere}}
            AND (instance = '' OR NOT has(splitByChar('\n', {elsewhere:String}), instance))
{{- end}}
{{- if .Again}}
            AND (instance != {instance:String} OR attribution = 'init' OR ts >= fromUnixTimestamp64Nano({own_from:Int64}, 'UTC'))
{{- end}}
        )
{{- if .Instance}}
        OR (
            instance = {instance:String}
            AND request_id = ''
            AND ts >= fromUnixTimestamp64Nano({window_from:Int64}, 'UTC')
            AND ts <= fromUnixTimestamp64Nano({window_to:Int64}, 'UTC')
        )
{{- end}}
{{- if .Cold}}
        OR (instance = {instance:String} AND attribution = 'init')
{{- end}}
    )
ORDER BY ts, file_id, offset
LIMIT {limit:UInt32}
