-- The phases of the starts that starts.sql gives.
SELECT
    namespace,
    function,
    instance,
    phase,
    start,
    end,
    error,
    attributes
FROM phases FINAL
WHERE tenant = {tenant:String}
    AND (namespace, function, instance) IN
    (
        SELECT namespace, function, instance
        FROM cold_starts FINAL
        WHERE tenant = {tenant:String}
{{- range .Conditions}}
            AND {{.}}
{{- end}}
            AND demanded_at IS NOT NULL
        ORDER BY demanded_at DESC, instance DESC
        LIMIT {limit:UInt32}
    )
ORDER BY start, end, phase
LIMIT {rows:UInt32}
