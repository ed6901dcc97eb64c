-- What a request's own lines say of it, by instance, the newest first. They are
-- found by the index on request_id; the exact mode sees where a line was
-- corrected to be another request's.
SELECT
    namespace,
    function,
    instance,
    argMax(version, ts) AS version,
    argMax(host, ts) AS host,
    min(ts) AS first,
    max(ts) AS last
FROM logs FINAL
WHERE tenant = {tenant:String}
    AND ({namespace:String} = '' OR namespace = {namespace:String})
    AND ({function:String} = '' OR function = {function:String})
    AND request_id = {request:String}
    AND attribution = 'explicit'
GROUP BY
    namespace,
    function,
    instance
ORDER BY first DESC, last DESC, namespace, function, instance
LIMIT {limit:UInt32}
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 1
