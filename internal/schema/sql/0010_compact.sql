-- What was just inserted is in one file, not in two of each column: it is merged soon.
ALTER TABLE logs MODIFY SETTING min_level_for_wide_part = 1;
ALTER TABLE invocations MODIFY SETTING min_level_for_wide_part = 1;
