SELECT tenant, namespace, function, version, instance, host, ts, toString(stream) AS stream, request_id, toString(attribution) AS attribution,
       candidates, body, truncated, file_id, offset, revision, severity, trace_id, span_id, attributes, raw
FROM logs FINAL
WHERE tenant = {tenant:String}
  AND namespace = {namespace:String}
  AND function = {function:String}
  AND ts >= {from:DateTime64(9, 'UTC')}
  AND ts <= {to:DateTime64(9, 'UTC')}
  AND instance = {instance:String}
  AND logs.stream != 'platform'
ORDER BY ts DESC
LIMIT {limit:UInt32}
