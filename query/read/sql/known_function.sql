-- Whether anything is stored of a function: what its platform told, or a line.
SELECT 1 AS found FROM invocations WHERE tenant = {tenant:String} AND namespace = {namespace:String} AND function = {function:String} LIMIT 1
UNION ALL
SELECT 1 AS found FROM cold_starts WHERE tenant = {tenant:String} AND namespace = {namespace:String} AND function = {function:String} LIMIT 1
UNION ALL
SELECT 1 AS found FROM logs WHERE tenant = {tenant:String} AND namespace = {namespace:String} AND function = {function:String} LIMIT 1
