FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND namespace = {namespace:String}
    AND ({function:String} = '' OR function = {function:String})
    AND ({request:String} = '' OR request_id = {request:String})
    AND ({version:String} = '' OR ifNull(version, '') = {version:String})
    AND started_at >= fromUnixTimestamp64Nano({since:Int64}, 'UTC')
    AND started_at < fromUnixTimestamp64Nano({until:Int64}, 'UTC')
    AND (empty({statuses:Array(String)}) OR has({statuses:Array(String)}, coalesce(status, closed_status, 'running')))
    AND
    (
        {keyword:String} = ''
        OR (function, request_id) IN
        (
            SELECT function, request_id
            FROM logs FINAL
            WHERE tenant = {tenant:String}
                AND {keyword:String} != ''
                AND namespace = {namespace:String}
                AND ({function:String} = '' OR function = {function:String})
                AND ({request:String} = '' OR request_id = {request:String})
                AND request_id != ''
                AND ts >= fromUnixTimestamp64Nano({lines_since:Int64}, 'UTC')
                AND ts < fromUnixTimestamp64Nano({lines_until:Int64}, 'UTC')
                AND (stream = 'platform') = {platform:Bool}
                AND positionCaseInsensitiveUTF8(body, {keyword:String}) > 0
        )
    )
