-- Now, and when the oldest insert that is under way began (0: there is none).
SELECT
    toUnixTimestamp64Nano(now64(9)) AS now,
    minOrDefault(now - toInt64(elapsed * 1e9))
FROM system.processes
WHERE query_kind = 'Insert' AND current_database = currentDatabase()
