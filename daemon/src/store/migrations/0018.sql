-- Folders that safes are mounted on whenever the device is unlocked.
CREATE TABLE mount_mark (
    folder TEXT PRIMARY KEY,
    safe BLOB NOT NULL CHECK (length(safe) = 16),
    read_only INTEGER NOT NULL CHECK (read_only IN (0, 1))
) STRICT;
