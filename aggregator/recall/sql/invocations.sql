SELECT tenant, namespace, function, instance, request_id, queued_at, started_at, ended_at, cold, trigger, usage_shared
FROM invocations FINAL
PREWHERE (tenant, namespace, function) IN (SELECT tenant, namespace, function FROM wanted)
  AND started_at >= {started:DateTime64(9, 'UTC')}
  AND instance IN (SELECT instance FROM wanted)
  AND (tenant, namespace, function, instance) IN (SELECT tenant, namespace, function, instance FROM wanted)
ORDER BY started_at DESC
LIMIT {limit:UInt32} BY tenant, namespace, function, instance
