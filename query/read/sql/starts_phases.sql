-- The phases of the starts that starts.sql gives.
SELECT
    namespace,
    function,
    instance,
    phase,
    start,
    end,
    error,
    attributes
FROM phases FINAL
WHERE tenant = {tenant:String}
    AND (namespace, function, instance) IN
    (
        SELECT namespace, function, instance
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
    )
ORDER BY start, end, phase
LIMIT {rows:UInt32}
