SELECT tenant, namespace, function, version, instance, host, ts, toString(stream) AS stream, request_id, toString(attribution) AS attribution,
       candidates, body, truncated, file_id, offset, revision, severity, trace_id, span_id, attributes, raw
FROM logs FINAL
PREWHERE (tenant, namespace, function) IN (SELECT tenant, namespace, function FROM wanted)
  AND ts >= {since:DateTime64(9, 'UTC')}
  AND instance IN (SELECT instance FROM wanted)
  AND (tenant, namespace, function, instance) IN (SELECT tenant, namespace, function, instance FROM wanted)
  AND logs.stream != 'platform'
ORDER BY ts DESC
LIMIT {limit:UInt32} BY tenant, namespace, function, instance
