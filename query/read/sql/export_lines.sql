-- Lines as they are exported: in the order of the sort key, by function and
-- time, so that nothing has to be sorted and little is held at a time.
SELECT
    toString(l.namespace) AS namespace,
    toString(l.function) AS function,
    toString(l.version) AS version,
    instance,
    toString(l.host) AS host,
    ts,
    toString(l.stream) AS stream,
    transform(toUInt8(if(severity = 0, 0, intDiv(severity - 1, 4) * 4 + 1)), [1, 5, 9, 13, 17, 21], ['trace', 'debug', 'info', 'warn', 'error', 'fatal'], 'unknown') AS level,
    body,
    truncated,
    request_id,
    toString(l.attribution) AS attribution,
    candidates,
    trace_id,
    span_id,
    CAST(l.attributes, 'Map(String, String)') AS attributes,
    leftPad(lower(hex(l.file_id)), 16, '0') AS file_id,
    offset
FROM
(
    SELECT
        namespace,
        function,
        version,
        instance,
        host,
        ts,
        stream,
        severity,
        body,
        truncated,
        request_id,
        attribution,
        candidates,
        trace_id,
        span_id,
        attributes,
        file_id,
        offset
    FROM logs FINAL
    WHERE tenant = {tenant:String}
{{- range .Conditions}}
        AND {{.}}
{{- end}}
    ORDER BY namespace, function, ts, file_id, offset
    LIMIT {limit:UInt64}
) AS l
