-- Invocations, newest first, from behind the cursor's row on.
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
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
    AND started_at <= fromUnixTimestamp64Nano({after_started:Int64}, 'UTC')
    AND (started_at, request_id, instance)
        < (fromUnixTimestamp64Nano({after_started:Int64}, 'UTC'), {after_request:String}, {after_instance:String})
    AND ({status:String} = '' OR coalesce(status, closed_status, 'running') = {status:String})
    AND ({cold:String} = '' OR ifNull(cold, false) = ({cold:String} = 'true'))
ORDER BY started_at DESC, request_id DESC, instance DESC
LIMIT {limit:UInt32}
