-- What a request's own lines say of it, by instance, the newest first. They are
-- found by the index on request_id, which finds rows with the request, old ones,
-- too; their keys find all rows of these lines, since a line may have been
-- corrected to be another request's. FINAL would do that with the index, too, but
-- over all that lies between the parts' keys.
SELECT
    namespace,
    function,
    instance,
    argMax(version, ts) AS version,
    argMax(host, ts) AS host,
    min(ts) AS first,
    max(ts) AS last
FROM logs FINAL
PREWHERE tenant = {tenant:String}
    AND (namespace, function, ts, file_id, offset) GLOBAL IN
    (
        SELECT namespace, function, ts, file_id, offset
        FROM logs
        WHERE tenant = {tenant:String}
            AND ({namespace:String} = '' OR namespace = {namespace:String})
            AND ({function:String} = '' OR function = {function:String})
            AND request_id = {request:String}
            AND attribution = 'explicit'
    )
WHERE tenant = {tenant:String}
    AND identity(request_id) = {request:String} -- or the index is asked once more, for FINAL
    AND attribution = 'explicit'
GROUP BY namespace, function, instance
ORDER BY first DESC, last DESC, namespace, function, instance
LIMIT {limit:UInt32}
