SELECT DISTINCT function
FROM cold_starts
WHERE tenant = ${tenant:singlequote}
    AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace)
ORDER BY function
