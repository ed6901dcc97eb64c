-- What was lost of an instance's log files and may be from the window.
SELECT
    file_id,
    offset,
    host,
    `from`,
    `to`,
    bytes,
    reason
FROM gaps FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND function = {function:String}
    AND instance = {instance:String}
    AND (`from` IS NULL OR `from` <= fromUnixTimestamp64Nano({window_to:Int64}, 'UTC'))
    AND `to` >= fromUnixTimestamp64Nano({window_from:Int64}, 'UTC')
ORDER BY `to`, file_id, offset, event
LIMIT {limit:UInt32}
