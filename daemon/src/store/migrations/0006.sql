-- Whether putting back what a server lost deals with an alarm: 0 it does not, 1 it would, 2 it has.
ALTER TABLE alarm ADD COLUMN mend INTEGER NOT NULL DEFAULT 0;
