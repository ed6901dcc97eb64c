-- Lines in the order in which they were written or corrected, from behind a
-- revision on: a revision is the writer's clock in nanoseconds.
SELECT
    {{template "line columns"}}
FROM logs
WHERE tenant = {tenant:String}
{{- range .Conditions}}
    AND {{.}}
{{- end}}
ORDER BY revision, ts, file_id, offset
LIMIT {limit:UInt32}
