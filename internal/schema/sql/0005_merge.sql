-- An instance that has stopped may come back under its name: each life of it is
-- a start of its own.
ALTER TABLE cold_starts
    ADD COLUMN IF NOT EXISTS life UInt32,
    MODIFY ORDER BY (tenant, namespace, function, instance, life);

-- How far the platform's clock is ahead of that of the instance's host, and how
-- far that may be wrong. NULL: nothing says that it is another clock.
ALTER TABLE cold_starts
    ADD COLUMN IF NOT EXISTS clock_offset_ns Nullable(Int64),
    ADD COLUMN IF NOT EXISTS clock_slack_ns Nullable(Int64);

-- What its instance's end says of an invocation that nobody has told the end of.
-- It stands beside what the platform says, and counts where that says nothing,
-- in whatever order and by whatever aggregators the two arrive.
ALTER TABLE invocations
    ADD COLUMN IF NOT EXISTS closed_at Nullable(DateTime64(9, 'UTC')),
    ADD COLUMN IF NOT EXISTS closed_status Nullable(String),
    ADD COLUMN IF NOT EXISTS closed_error Nullable(String),
    ADD COLUMN IF NOT EXISTS closed_by Nullable(String);
