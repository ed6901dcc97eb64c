SELECT DISTINCT namespace FROM cold_starts WHERE tenant = ${tenant:singlequote} ORDER BY namespace
