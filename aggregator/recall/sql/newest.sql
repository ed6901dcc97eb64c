SELECT tenant, namespace, function, instance, max(ts), max(revision)
FROM logs
WHERE (tenant, namespace, function) IN (SELECT tenant, namespace, function FROM wanted)
  AND ts >= {since:DateTime64(9, 'UTC')}
  AND instance IN (SELECT instance FROM wanted)
  AND (tenant, namespace, function, instance) IN (SELECT tenant, namespace, function, instance FROM wanted)
  AND logs.stream != 'platform'
GROUP BY tenant, namespace, function, instance
