-- Invocations in the order that was asked for, from behind the cursor's row on.
-- The order of time reads the columns of a span of time; any other order first
-- finds which rows of the whole range it is about. What the sort key says is
-- applied before rows are folded, which is what costs.
SELECT
    {{template "invocation columns"}}
FROM invocations FINAL
PREWHERE tenant = {tenant:String}
{{- range .Key}}
    AND {{.}}
{{- end}}
{{- if .ByTime}}
WHERE tenant = {tenant:String}
{{- range .Conditions}}
    AND {{.}}
{{- end}}
{{- else}}
    AND (namespace, function, started_at, request_id, instance) IN
    (
        SELECT namespace, function, started_at, request_id, instance
        FROM invocations FINAL
        PREWHERE tenant = {tenant:String}
{{- range .Key}}
            AND {{.}}
{{- end}}
        WHERE tenant = {tenant:String}
{{- range .Conditions}}
            AND {{.}}
{{- end}}
        ORDER BY {{.Order}}
        LIMIT {limit:UInt32}
    )
{{- end}}
ORDER BY {{.Order}}
LIMIT {limit:UInt32}
