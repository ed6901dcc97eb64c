-- Starts of instances in the order of their beginning, from behind the cursor's
-- row on.
SELECT
    {{template "start columns"}},
    memory_peak,
    cpu_time_ns,
    assumeNotNull(coalesce(demanded_at, ready_at, stopped_at)) AS begun_at,
    if(demanded_at IS NULL OR ready_at IS NULL, -1, toInt64(dateDiff('nanosecond', assumeNotNull(demanded_at), assumeNotNull(ready_at)))) AS took
FROM cold_starts FINAL
WHERE tenant = {tenant:String}
    AND coalesce(demanded_at, ready_at, stopped_at) IS NOT NULL
{{- range .Conditions}}
    AND {{.}}
{{- end}}
ORDER BY {{if .Slowest}}took DESC, {{end}}begun_at DESC, namespace DESC, function DESC, instance DESC, life DESC
LIMIT {limit:UInt32}
