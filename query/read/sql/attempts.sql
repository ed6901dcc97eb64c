-- The attempts of one request, newest first. They are found by the index on
-- request_id, which FINAL misses nothing by: all rows of an attempt have the same.
SELECT
    namespace,
    function,
    started_at,
    request_id,
    instance,
    version,
    trigger,
    queued_at,
    ended_at,
    status,
    http_status,
    error,
    duration_ns,
    memory_peak,
    cpu_time_ns,
    bytes_in,
    bytes_out,
    cold,
    cold_wait_ns,
    usage_memory_peak,
    usage_cpu_time_ns,
    usage_shared,
    closed_at,
    closed_status,
    closed_error,
    closed_by
FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND ({namespace:String} = '' OR namespace = {namespace:String})
    AND ({function:String} = '' OR function = {function:String})
    AND request_id = {request:String}
ORDER BY started_at DESC, instance DESC
LIMIT {limit:UInt32}
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 0
