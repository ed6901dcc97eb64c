-- As search.sql, for filters by what a correction changes: the rows are folded
-- before they are filtered by that, and after all else. Those of a request are found by the index on
-- request_id first.
SELECT
    {{template "line columns"}}
FROM logs FINAL
PREWHERE tenant = {tenant:String}
{{- range .Conditions}}
    AND {{.}}
{{- end}}
{{- if .OfRequest}}
    AND (namespace, function, ts, file_id, offset) IN
    (
        SELECT namespace, function, ts, file_id, offset
        FROM logs
        WHERE tenant = {tenant:String}
{{- range .Conditions}}
            AND {{.}}
{{- end}}
            AND request_id = {request:String}
    )
{{- end}}
WHERE tenant = {tenant:String}
{{- if .OfRequest}}
    AND identity(request_id) = {request:String} -- or the index is asked once more, for FINAL
{{- end}}
{{- if .Attributed}}
    AND toString(attribution) IN {attributions:Array(String)}
{{- end}}
ORDER BY
{{- if .OldestFirst}}
    ts, file_id, offset, namespace, function
{{- else}}
    ts DESC, file_id DESC, offset DESC, namespace DESC, function DESC
{{- end}}
LIMIT {limit:UInt32}
