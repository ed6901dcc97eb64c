-- The layers that the starts of a time range needed: those that time was spent
-- on most come first.
SELECT
    digest,
    max(bytes) AS size,
    count() AS starts,
    countIf(cache = 'miss') AS pulls,
    countIf(cache = 'hit') AS hits,
    countIf(cache = 'lazy') AS lazy,
    uniqExact(namespace, function) AS functions,
    sum(ifNull(greatest(dateDiff('nanosecond', download_start, download_end), 0), 0)) AS download_ns,
    sum(ifNull(greatest(dateDiff('nanosecond', unpack_start, unpack_end), 0), 0)) AS unpack_ns
FROM layers FINAL
WHERE tenant = {tenant:String}
    AND (namespace, function, instance) IN
    (
        SELECT namespace, function, instance
        FROM cold_starts FINAL
        WHERE tenant = {tenant:String}
{{- range .Conditions}}
            AND {{.}}
{{- end}}
    )
GROUP BY digest
ORDER BY download_ns + unpack_ns DESC, size DESC, digest
LIMIT {limit:UInt32}
