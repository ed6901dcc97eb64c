-- The starts of a time range, newest first.
SELECT
    {{template "start columns"}}
FROM cold_starts FINAL
WHERE tenant = {tenant:String}
{{- range .Conditions}}
    AND {{.}}
{{- end}}
    AND demanded_at IS NOT NULL
ORDER BY demanded_at DESC, instance DESC
LIMIT {limit:UInt32}
