-- The accounts of an instance's log files, those that reach furthest first. A
-- file that was quiet reaches as far as it was looked at.
SELECT
    file_id,
    `from`,
    assumeNotNull(greatest(`to`, ifNull(through, `to`))) AS reach,
    refused_lines,
    truncated_lines,
    late_lines,
    complete
FROM ledgers FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND instance = {instance:String}
    AND `from` IS NOT NULL
    AND `to` IS NOT NULL
ORDER BY reach DESC
LIMIT {limit:UInt32}
