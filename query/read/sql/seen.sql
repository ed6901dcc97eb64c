-- What a request's own lines say of it, by instance, the newest first. They are
-- found by the index on request_id; then the rows of these lines are read again by
-- their keys, since a line may have been corrected to be another request's. FINAL
-- would do that too, but over all that lies between the parts' keys.
WITH named AS
    (
        SELECT
            namespace,
            function,
            ts,
            file_id,
            offset
        FROM logs
        WHERE tenant = {tenant:String}
            AND ({namespace:String} = '' OR namespace = {namespace:String})
            AND ({function:String} = '' OR function = {function:String})
            AND request_id = {request:String}
            AND attribution = 'explicit'
    )
SELECT
    namespace,
    function,
    instance,
    argMax(version, ts) AS version,
    argMax(host, ts) AS host,
    min(ts) AS first,
    max(ts) AS last
FROM
(
    SELECT
        tenant,
        namespace,
        function,
        instance,
        version,
        host,
        ts,
        request_id,
        attribution
    FROM logs
    WHERE tenant = {tenant:String}
        AND (namespace, function, ts, file_id, offset) GLOBAL IN (SELECT namespace, function, ts, file_id, offset FROM named)
    ORDER BY
        namespace,
        function,
        ts,
        file_id,
        offset,
        revision DESC
    LIMIT 1 BY
        namespace,
        function,
        ts,
        file_id,
        offset
)
WHERE tenant = {tenant:String}
    AND request_id = {request:String}
    AND attribution = 'explicit'
GROUP BY
    namespace,
    function,
    instance
ORDER BY first DESC, last DESC, namespace, function, instance
LIMIT {limit:UInt32}
