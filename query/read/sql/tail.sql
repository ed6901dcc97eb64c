-- Lines in the order in which they were written or corrected, from behind a
-- revision on: a revision is the writer's clock in nanoseconds.
SELECT
    ts,
    namespace,
    function,
    version,
    instance,
    host,
    stream,
    severity,
    request_id,
    attribution,
    candidates,
    substring(body, 1, {max_body:UInt32}) AS text,
    truncated,
    toUInt64(truncated + length(body) - length(text)) AS cut,
    trace_id,
    span_id,
    attributes,
    file_id,
    offset,
    revision
FROM logs
WHERE tenant = {tenant:String}
{{- range .Conditions}}
    AND {{.}}
{{- end}}
ORDER BY revision, ts, file_id, offset
LIMIT {limit:UInt32}
