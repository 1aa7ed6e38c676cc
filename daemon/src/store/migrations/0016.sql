-- The record whose snapshot the tree of a safe was started from, until the whole journal was folded.
ALTER TABLE safe ADD COLUMN started INTEGER CHECK (started > 0);
