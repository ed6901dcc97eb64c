SELECT tenant, namespace, function, instance, version, host, initialization, request_id, demanded_at, ready_at, stopped_at,
       stop_reason, exit_code, oom, memory_peak, cpu_time_ns, image, digest, image_bytes, registry, region, memory_limit,
       life, clock_offset_ns, clock_slack_ns
FROM cold_starts FINAL
PREWHERE (tenant, namespace, function, instance) IN (SELECT tenant, namespace, function, instance FROM wanted)
ORDER BY life
