-- The starts of a time range, newest first.
SELECT
    namespace,
    function,
    instance,
    life,
    version,
    host,
    initialization,
    request_id,
    demanded_at,
    ready_at,
    stopped_at,
    stop_reason,
    exit_code,
    oom,
    image,
    digest,
    image_bytes,
    registry,
    region,
    memory_limit,
    clock_offset_ns
FROM cold_starts FINAL
WHERE tenant = {tenant:String}
{{- range .Conditions}}
    AND {{.}}
{{- end}}
    AND demanded_at IS NOT NULL
ORDER BY demanded_at DESC, instance DESC
LIMIT {limit:UInt32}
