-- The layers of the images of instances.
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
    AND namespace = {namespace:String}
    AND ({function:String} = '' OR function = {function:String})
    AND instance IN {instances:Array(String)}
ORDER BY download_start IS NULL, download_start, digest
LIMIT {rows:UInt32}
