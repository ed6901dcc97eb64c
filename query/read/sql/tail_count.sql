-- How many lines a tail leaves out.
SELECT uniqExact(file_id, offset)
FROM logs
WHERE tenant = {tenant:String}
{{- range .Conditions}}
    AND {{.}}
{{- end}}
