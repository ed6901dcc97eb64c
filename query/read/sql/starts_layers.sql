-- The layers of the starts that starts.sql gives, as far as they took time.
SELECT
    namespace,
    function,
    instance,
    digest,
    bytes,
    cache,
    download_start,
    download_end,
    unpack_start,
    unpack_end
FROM layers FINAL
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
    AND (download_start IS NOT NULL OR unpack_start IS NOT NULL)
ORDER BY download_start, digest
LIMIT {rows:UInt32}
