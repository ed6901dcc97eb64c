-- The layers of the starts that starts.sql gives, as far as they took time.
SELECT
    namespace,
    function,
    instance,
    digest,
    bytes,
    cache,
    download_start,
    download_end,
    unpack_start,
    unpack_end
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
            AND demanded_at IS NOT NULL
        ORDER BY demanded_at DESC, instance DESC
        LIMIT {limit:UInt32}
    )
    AND (download_start IS NOT NULL OR unpack_start IS NOT NULL)
ORDER BY download_start, digest
LIMIT {rows:UInt32}
