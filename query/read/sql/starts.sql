-- The starts of a time range, newest first.
SELECT
    namespace,
    function,
    instance,
    life,
    version,
    host,
    initialization,
    request_id,
    demanded_at,
    ready_at,
    stopped_at,
    stop_reason,
    exit_code,
    oom,
    image,
    digest,
    image_bytes,
    registry,
    region,
    memory_limit,
    clock_offset_ns
FROM cold_starts FINAL
WHERE tenant = {tenant:String}
    AND ({namespace:String} = '' OR namespace = {namespace:String})
    AND ({function:String} = '' OR function = {function:String})
    AND ({version:String} = '' OR ifNull(version, '') = {version:String})
    AND ({initialization:String} = '' OR ifNull(initialization, '') = {initialization:String})
    AND demanded_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND demanded_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
ORDER BY demanded_at DESC, instance DESC
LIMIT {limit:UInt32}
