-- 0001_tables
CREATE TABLE IF NOT EXISTS a_local
(
    tenant    String,
    namespace String,
    function  String,
    ts        DateTime,
    n         UInt64,
    revision  UInt64,
    INDEX by_n n TYPE minmax GRANULARITY 1,
    PROJECTION p (SELECT _part_offset ORDER BY n)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/a_0001', '{replica}', revision)
PARTITION BY toDate(ts)
ORDER BY (tenant, namespace, function, ts)
TTL ts + toIntervalDay(30)
SETTINGS replicated_deduplication_window = 1000, deduplicate_merge_projection_mode = 'rebuild';
CREATE OR REPLACE TABLE a AS a_local
ENGINE = Distributed('two_shards', currentDatabase(), a_local, cityHash64(tenant, namespace, function));
CREATE TABLE IF NOT EXISTS sums_local (tenant String, namespace String, function String, n UInt64) ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/sums_0001', '{replica}') ORDER BY (tenant, namespace, function);
CREATE OR REPLACE TABLE sums AS sums_local
ENGINE = Distributed('two_shards', currentDatabase(), sums_local, cityHash64(tenant, namespace, function));
CREATE MATERIALIZED VIEW IF NOT EXISTS a_sums TO sums_local AS
SELECT tenant, namespace, function, sum(n) AS n
FROM a_local GROUP BY tenant, namespace, function;
CREATE VIEW IF NOT EXISTS newest AS SELECT * FROM a FINAL;
-- 0002_changes
ALTER TABLE a_local
    ADD COLUMN IF NOT EXISTS more String CODEC(ZSTD(1)),
    ADD INDEX IF NOT EXISTS by_more more TYPE bloom_filter GRANULARITY 1;
CREATE OR REPLACE TABLE a AS a_local
ENGINE = Distributed('two_shards', currentDatabase(), a_local, cityHash64(tenant, namespace, function));
ALTER TABLE a_local MODIFY TTL ts + toIntervalDay(7);
CREATE OR REPLACE TABLE a AS a_local
ENGINE = Distributed('two_shards', currentDatabase(), a_local, cityHash64(tenant, namespace, function));
ALTER TABLE a_local MODIFY SETTING replicated_deduplication_window = 500;
CREATE OR REPLACE TABLE a AS a_local
ENGINE = Distributed('two_shards', currentDatabase(), a_local, cityHash64(tenant, namespace, function));
ALTER TABLE a_sums MODIFY QUERY SELECT tenant, namespace, function, sum(n) AS n FROM a_local WHERE revision >= 0 GROUP BY tenant, namespace, function;
CREATE TABLE IF NOT EXISTS a_new_local AS a_local ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/a_new_0002', '{replica}', revision) ORDER BY (tenant, namespace, function, n, ts) SETTINGS deduplicate_merge_projection_mode = 'drop';
CREATE OR REPLACE TABLE a_new AS a_new_local
ENGINE = Distributed('two_shards', currentDatabase(), a_new_local, cityHash64(tenant, namespace, function));
CREATE OR REPLACE VIEW newest AS SELECT tenant, more FROM a FINAL;
DROP VIEW IF EXISTS a_sums;
DROP TABLE IF EXISTS sums;
DROP TABLE IF EXISTS sums_local SYNC;
-- where (SELECT sorting_key = 'tenant, namespace, function, ts' FROM system.tables WHERE database = currentDatabase() AND name = 'a_local')
EXCHANGE TABLES a_local AND a_new_local;
CREATE OR REPLACE TABLE a AS a_local
ENGINE = Distributed('two_shards', currentDatabase(), a_local, cityHash64(tenant, namespace, function));
CREATE OR REPLACE TABLE a_new AS a_new_local
ENGINE = Distributed('two_shards', currentDatabase(), a_new_local, cityHash64(tenant, namespace, function));
-- on one server of each shard
-- where (SELECT total_rows > 0 FROM system.tables WHERE database = currentDatabase() AND name = 'a_new_local')
INSERT INTO a_local SELECT * FROM a_new_local;
RENAME TABLE IF EXISTS a_new_local TO a_old_local;
DROP TABLE IF EXISTS a_new;
CREATE OR REPLACE TABLE a_old AS a_old_local
ENGINE = Distributed('two_shards', currentDatabase(), a_old_local, cityHash64(tenant, namespace, function));
DROP TABLE IF EXISTS a_old;
DROP TABLE IF EXISTS a_old_local SYNC;
