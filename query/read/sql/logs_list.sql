SELECT
{{- if .Order}}
    {{template "invocation columns"}}
{{- else}}
    count() AS total
{{- end}}
{{template "logs_matching.sql"}}
{{- if .Order}}
ORDER BY {{.Order}}
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
{{- end}}
SETTINGS use_skip_indexes_if_final = 1, use_skip_indexes_if_final_exact_mode = 1
