-- Requests as they are exported: by function and time.
SELECT
    toString(v.namespace) AS namespace,
    toString(v.function) AS function,
    ifNull(v.version, '') AS version,
    instance,
    request_id,
    ifNull(v.trigger, '') AS trigger,
    queued_at,
    started_at,
    coalesce(v.ended_at, closed_at) AS ended_at,
    coalesce(v.status, closed_status, 'running') AS status,
    http_status,
    ifNull(if(v.status IS NULL, closed_error, v.error), '') AS error,
    if(v.status IS NULL, ifNull(v.closed_by, ''), '') AS closed_by,
    coalesce(duration_ns, if(v.status IS NULL AND v.ended_at IS NULL AND closed_status IS NOT NULL, greatest(dateDiff('nanosecond', started_at, closed_at), 0), NULL)) / 1000000 AS duration_ms,
    ifNull(v.cold, false) AS cold,
    if(ifNull(v.cold, false), cold_wait_ns / 1000000, NULL) AS cold_wait_ms,
    coalesce(v.memory_peak, usage_memory_peak) AS memory_peak,
    coalesce(cpu_time_ns, usage_cpu_time_ns) / 1000000 AS cpu_time_ms,
    bytes_in,
    bytes_out
FROM
(
    SELECT *
    FROM invocations FINAL
    WHERE tenant = {tenant:String}
{{- range .Conditions}}
        AND {{.}}
{{- end}}
    ORDER BY namespace, function, started_at, request_id, instance
    LIMIT {limit:UInt64}
) AS v
