-- The start of one instance.
SELECT
    namespace,
    function,
    instance,
    version,
    host,
    initialization,
    request_id,
    demanded_at,
    ready_at,
    stopped_at,
    stop_reason,
    image,
    digest,
    image_bytes,
    registry,
    region,
    memory_limit
FROM cold_starts FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND instance = {instance:String}
LIMIT 1
