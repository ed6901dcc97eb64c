-- What the store has of the sample functions' lines. Each line of theirs ends
-- in " n=<its number on the instance> r=<start of its request's ID, or ->".
SELECT
    instance,
    count() AS rows,
    uniqExact(n) AS numbers,
    max(n) AS highest,
    countIf(if(r = '-', attribution = 'init', r != '' AND startsWith(request_id, r))) AS attributed
FROM
(
    SELECT
        instance, request_id, toString(attribution) AS attribution,
        toUInt64OrZero(extract(body, ' n=(\\d+) r=\\S+$')) AS n,
        extract(body, ' n=\\d+ r=(\\S+)$') AS r
    FROM logs FINAL
    WHERE tenant = {tenant:String} AND namespace = 'demo' AND ts >= {since:DateTime64(9, 'UTC')} AND stream != 'platform'
)
GROUP BY instance
