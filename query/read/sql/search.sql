-- Lines in the order of time, from behind the cursor's line on. A line that is
-- stored several times, until the engine merges its rows, comes as often, its
-- latest revision first: the caller drops the others. Nothing that this query
-- filters by differs between the revisions of a line. So neither FINAL nor
-- LIMIT BY is needed, and only what the order needs is read of all rows.
SELECT
    {{template "line columns"}}
FROM logs
WHERE tenant = {tenant:String}
{{- range .Conditions}}
    AND {{.}}
{{- end}}
ORDER BY
{{- if .OldestFirst}}
    ts, file_id, offset, namespace, function, revision DESC
{{- else}}
    ts DESC, file_id DESC, offset DESC, namespace DESC, function DESC, revision DESC
{{- end}}
LIMIT {limit:UInt32}
