-- The attempts of one request, newest first. They are found by the index on
-- request_id, which FINAL misses nothing by: all rows of an attempt have the same.
SELECT
    {{template "invocation columns"}}
FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND ({namespace:String} = '' OR namespace = {namespace:String})
    AND ({function:String} = '' OR function = {function:String})
    AND request_id = {request:String}
ORDER BY started_at DESC, instance DESC
LIMIT {limit:UInt32}
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 0
