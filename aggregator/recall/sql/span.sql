-- What never changes of a line is looked at before rows are folded, and before
-- texts are read: whose it is, and by the second when it was. A span of more than
-- an hour has all of its instance's lines looked at.
WITH 3600 AS long
SELECT tenant, namespace, function, version, instance, host, ts, toString(stream) AS stream, request_id, toString(attribution) AS attribution,
       candidates, body, truncated, file_id, offset, revision, severity, trace_id, span_id, attributes, raw
FROM logs FINAL
INNER JOIN wanted USING (tenant, namespace, function, instance)
PREWHERE (tenant, namespace, function) IN (SELECT tenant, namespace, function FROM wanted)
  AND ts >= {since:DateTime64(9, 'UTC')}
  AND ts <= {until:DateTime64(9, 'UTC')}
  AND (instance, if(instance IN (SELECT instance FROM wanted WHERE toUnixTimestamp(last) - toUnixTimestamp(first) > long), 0, toUnixTimestamp(ts)))
      IN (SELECT instance, arrayJoin(if(toUnixTimestamp(last) - toUnixTimestamp(first) > long, [0],
              range(toUnixTimestamp(first), least(toUnixTimestamp(last), toUnixTimestamp(first) + long) + 1))) FROM wanted)
  AND logs.stream != 'platform'
WHERE ts BETWEEN first AND last
ORDER BY ts DESC
LIMIT {limit:UInt32} BY tenant, namespace, function, instance
