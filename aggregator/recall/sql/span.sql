-- What never changes of a line is looked at before rows are folded, and before
-- texts are read: whose it is, and by the tenth of a second when it was. A span
-- of more than a minute has all of its instance's lines looked at.
WITH 600 AS long,
     wanted_ticks AS (SELECT instance, intDiv(toUnixTimestamp64Milli(first), 100) AS begin, intDiv(toUnixTimestamp64Milli(last), 100) AS end FROM wanted)
SELECT tenant, namespace, function, version, instance, host, ts, toString(stream) AS stream, request_id, toString(attribution) AS attribution,
       candidates, body, truncated, file_id, offset, revision, severity, trace_id, span_id, attributes, raw
FROM logs FINAL
INNER JOIN wanted USING (tenant, namespace, function, instance)
PREWHERE (tenant, namespace, function) IN (SELECT tenant, namespace, function FROM wanted)
  AND ts >= {since:DateTime64(9, 'UTC')}
  AND ts <= {until:DateTime64(9, 'UTC')}
  AND (instance, if(instance IN (SELECT instance FROM wanted_ticks WHERE end - begin > long), 0, intDiv(toUnixTimestamp64Milli(ts), 100)))
      IN (SELECT instance, arrayJoin(if(end - begin > long, [toInt64(0)], range(begin, least(end, begin + long) + 1))) FROM wanted_ticks)
  AND logs.stream != 'platform'
WHERE ts BETWEEN first AND last
ORDER BY ts DESC
LIMIT {limit:UInt32} BY tenant, namespace, function, instance
