-- As pending.sql, for minutes that are marked by way of their instances, too.
WITH
    touched AS
    (
        SELECT tenant, namespace, function, arrayJoin(groupUniqArrayArray(minutes)) AS minute, max(rollup_instances.dirtied) AS dirtied
        FROM rollup_instances
        WHERE (tenant, namespace, function, instance) IN
        (
            SELECT tenant, namespace, function, instance FROM rollup_instances WHERE dirtied > {cursor:UInt64}
        )
        GROUP BY tenant, namespace, function, instance
    ),
    recent AS
    (
        SELECT tenant, namespace, function, minute FROM touched
        UNION DISTINCT
        SELECT tenant, namespace, function, minute
        FROM rollup_marks
        WHERE kind = {kind:String} AND tenant != '' AND dirtied > {cursor:UInt64}
    )
SELECT tenant, namespace, function, minute, max(marks.dirtied) AS dirtied
FROM
(
    SELECT tenant, namespace, function, minute, dirtied, rolled
    FROM rollup_marks
    WHERE kind = {kind:String} AND (tenant, namespace, function, minute) IN (SELECT * FROM recent)
    UNION ALL
    SELECT tenant, namespace, function, minute, dirtied, toUInt64(0) AS rolled FROM touched
) AS marks
GROUP BY tenant, namespace, function, minute
HAVING dirtied > max(rolled)
ORDER BY minute DESC, tenant, namespace, function
LIMIT {limit:UInt32}
