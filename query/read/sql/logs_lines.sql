-- What functions printed for requests. They are found by the index on
-- request_id; the exact mode sees where a line was corrected to be another's.
SELECT
    function,
    instance,
    request_id,
    ts,
    attribution,
    substring(body, 1, {max_body:UInt32}) AS text
FROM logs FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND ({function:String} = '' OR function = {function:String})
    AND request_id IN {requests:Array(String)}
    AND stream != 'platform'
    AND ts >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Nano({until:Int64}, 'UTC')
ORDER BY function, ts, file_id, offset
LIMIT {lines:UInt32} BY function, instance, request_id
LIMIT {limit:UInt32}
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 1
