-- The dirty minutes that something has marked since the cursor, newest first.
WITH recent AS
(
    SELECT tenant, namespace, function, minute
    FROM rollup_marks
    WHERE kind = {kind:String} AND tenant != '' AND dirtied > {cursor:UInt64}
)
SELECT tenant, namespace, function, minute, max(rollup_marks.dirtied) AS dirtied
FROM rollup_marks
WHERE kind = {kind:String} AND (tenant, namespace, function, minute) IN (SELECT * FROM recent)
GROUP BY tenant, namespace, function, minute
HAVING dirtied > max(rolled)
ORDER BY minute DESC, tenant, namespace, function
LIMIT {limit:UInt32}
