SELECT tenant, namespace, function, instance, initialization, request_id, demanded_at, ready_at, stopped_at
FROM cold_starts FINAL
WHERE (tenant, namespace, function, instance) IN (SELECT tenant, namespace, function, instance FROM wanted)
