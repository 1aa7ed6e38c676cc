-- Small pieces that came together share a file: from which byte on each is in it. None where the
-- file is the piece.
ALTER TABLE safe_waiting ADD COLUMN at INTEGER;
ALTER TABLE safe_kept ADD COLUMN at INTEGER;
