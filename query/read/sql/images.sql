-- The images that were started in a time range, and what that took: those that
-- time was spent on most come first.
WITH
    starts AS
    (
        SELECT
            namespace,
            function,
            instance,
            ifNull(digest, '') AS of,
            image AS name,
            registry AS source,
            region AS place,
            image_bytes AS size,
            host AS target,
            life,
            demanded_at AS demanded
        FROM cold_starts FINAL
        WHERE tenant = {tenant:String}
            AND ifNull(digest, '') != ''
{{- range .Conditions}}
            AND {{.}}
{{- end}}
    )
SELECT
    of AS digest,
    ifNull(max(name), '') AS image,
    ifNull(max(source), '') AS registry,
    ifNull(max(place), '') AS region,
    max(size) AS bytes,
    count() AS starts,
    countIf(pulled > 0) AS pulls,
    uniqExact(namespace, function) AS functions,
    uniqExactIf(target, target IS NOT NULL) AS hosts,
    sum(pulled) AS pull_ns,
    sum(unpacked) AS unpack_ns,
    sum(layer_hits) AS hits,
    sum(layer_count) AS layers,
    sum(loaded) AS loaded_bytes,
    min(demanded) AS first_seen,
    max(demanded) AS last_seen
FROM
(
    SELECT
        namespace,
        function,
        of,
        name,
        source,
        place,
        size,
        target,
        demanded,
        -- An instance that came back has its image already.
        if(life = 0, p.pulled, 0) AS pulled,
        if(life = 0, p.unpacked, 0) AS unpacked,
        if(life = 0, l.hits, 0) AS layer_hits,
        if(life = 0, l.layers, 0) AS layer_count,
        if(life = 0, l.loaded, 0) AS loaded
    FROM starts
    LEFT ANY JOIN
    (
        SELECT
            namespace,
            function,
            instance,
            toInt64(intervalLengthSumIf(toUnixTimestamp64Nano(start), toUnixTimestamp64Nano(end), phase = 'pull')) AS pulled,
            toInt64(intervalLengthSumIf(toUnixTimestamp64Nano(start), toUnixTimestamp64Nano(end), phase = 'unpack')) AS unpacked
        FROM phases FINAL
        WHERE tenant = {tenant:String}
            AND (namespace, function, instance) IN (SELECT namespace, function, instance FROM starts)
        GROUP BY namespace, function, instance
    ) AS p USING (namespace, function, instance)
    LEFT ANY JOIN
    (
        SELECT namespace, function, instance, countIf(cache = 'hit') AS hits, count() AS layers, sumIf(bytes, cache = 'miss') AS loaded
        FROM layers FINAL
        WHERE tenant = {tenant:String}
            AND (namespace, function, instance) IN (SELECT namespace, function, instance FROM starts)
        GROUP BY namespace, function, instance
    ) AS l USING (namespace, function, instance)
)
GROUP BY of
ORDER BY pull_ns + unpack_ns DESC, starts DESC, of
LIMIT {limit:UInt32}
