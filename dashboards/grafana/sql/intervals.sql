WITH starts AS
(
    SELECT namespace, function, instance, assumeNotNull(demanded_at) AS demanded, assumeNotNull(ready_at) AS ready
    FROM cold_starts FINAL
    WHERE tenant = ${tenant:singlequote}
        AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
        AND $__conditionalAll(function IN (${function:singlequote}), $function)
        AND ready_at IS NOT NULL
        AND $__timeFilter(demanded_at)
)
SELECT namespace, function, instance, demanded, ready, start, end, indexOf([{{names}}], phase) AS rank
FROM
(
    SELECT namespace, function, instance, phase, start, end
    FROM phases FINAL
    WHERE tenant = ${tenant:singlequote}
        AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
        AND $__conditionalAll(function IN (${function:singlequote}), $function)
) AS intervals
INNER JOIN starts USING (namespace, function, instance)
UNION ALL
SELECT namespace, function, instance, demanded, ready, demanded AS start, ready AS end, 1 AS rank
FROM starts
