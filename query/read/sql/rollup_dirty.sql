-- The minutes whose figures do not count, but their rows.
SELECT namespace, function, minute
FROM rollup_state
WHERE tenant = {tenant:String}
    AND kind = {kind:String}
    AND ({namespace:String} = '' OR namespace = {namespace:String})
    AND ({function:String} = '' OR function = {function:String})
    AND minute >= fromUnixTimestamp({first:UInt32})
    AND minute < fromUnixTimestamp({end:UInt32})
    AND dirtied > rolled
LIMIT {rows:UInt32}
