-- A line that names its request has the request's ID twice: in its text and in
-- request_id. It is stored once: packed is the text with the byte 1 in place of
-- the ID. Rows from before have no such byte, and are what they were.
--
-- What follows is a migration of its own: by the time that body is there again,
-- this one is recorded and does not run a second time.
ALTER TABLE logs RENAME COLUMN IF EXISTS body TO packed;
