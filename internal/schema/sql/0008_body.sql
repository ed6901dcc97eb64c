-- The line's text, as it always was for whoever reads it.
ALTER TABLE logs ADD COLUMN IF NOT EXISTS body String ALIAS replaceOne(packed, '\x01', request_id);
