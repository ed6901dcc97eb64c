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
    substring(body, 1, {max_body:UInt32}) AS text,
    truncated,
    toUInt64(truncated + length(body) - length(text)) AS cut,
    instance = {instance:String} AS here,
    file_id,
    offset
FROM logs FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND ts >= fromUnixTimestamp64Nano({range_from:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Nano({range_to:Int64}, 'UTC')
    AND
    (
        (
            request_id = {request:String}
            AND (instance = '' OR NOT has(splitByChar('\n', {elsewhere:String}), instance))
            AND (instance != {instance:String} OR attribution = 'init' OR ts >= fromUnixTimestamp64Nano({own_from:Int64}, 'UTC'))
        )
        OR (
            instance = {instance:String}
            AND instance != ''
            AND request_id = ''
            AND ts >= fromUnixTimestamp64Nano({window_from:Int64}, 'UTC')
            AND ts <= fromUnixTimestamp64Nano({window_to:Int64}, 'UTC')
        )
        OR (instance = {instance:String} AND {cold:Bool} AND attribution = 'init')
    )
ORDER BY ts, file_id, offset
LIMIT {limit:UInt32}
