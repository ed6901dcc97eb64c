-- Whether all rows have marks. The mark that says so has no tenant.
SELECT count() > 0 AS complete
FROM rollup_marks FINAL
WHERE tenant = {tenant:String} AND kind = {kind:String} AND rolled > 0
LIMIT 1
