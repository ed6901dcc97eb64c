-- The functions of which a platform has told, with the first that was told of
-- them and the first of their newest version.
SELECT
    function,
    min(first) AS added,
    max(if(version = '', NULL, first)) AS versioned,
    argMax(last_trigger, last) AS last_trigger
FROM
(
    SELECT
        function,
        ifNull(version, '') AS version,
        min(started_at) AS first,
        max(started_at) AS last,
        argMax(trigger, started_at) AS last_trigger
    FROM invocations
    WHERE tenant = {tenant:String} AND namespace = {namespace:String}
    GROUP BY function, version
    UNION ALL
    SELECT
        function,
        ifNull(version, '') AS version,
        min(assumeNotNull(coalesce(demanded_at, ready_at, stopped_at))) AS first,
        max(assumeNotNull(coalesce(demanded_at, ready_at, stopped_at))) AS last,
        CAST(NULL, 'Nullable(String)') AS last_trigger
    FROM cold_starts
    WHERE tenant = {tenant:String} AND namespace = {namespace:String} AND coalesce(demanded_at, ready_at, stopped_at) IS NOT NULL
    GROUP BY function, version
) AS versions
GROUP BY function
ORDER BY function
LIMIT {limit:UInt32}
