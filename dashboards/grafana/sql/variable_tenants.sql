SELECT DISTINCT tenant FROM cold_starts ORDER BY tenant
