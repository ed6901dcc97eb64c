-- Rows are merged less often: up to twice as many parts at once. And what was
-- just inserted is in one file, not in two of each column: it is merged soon.
ALTER TABLE logs MODIFY SETTING merge_selector_base = 10, min_level_for_wide_part = 1;
ALTER TABLE invocations MODIFY SETTING merge_selector_base = 10, min_level_for_wide_part = 1;
